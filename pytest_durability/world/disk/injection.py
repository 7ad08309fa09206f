"""Faults that a hand-written test asks for by file name wait here until the store reaches them.

Rule: each strikes once and says so; one that never struck makes the test fail, because it proved nothing.
"""

from __future__ import annotations

import errno as _errno
import fnmatch
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pytest_durability.errors import UsageError
from pytest_durability.faults import READS
from pytest_durability.history import Op
from pytest_durability.world.disk.gate import Decision, Fail, Mark, Short
from pytest_durability.world.disk.overlay import drop, save_around, tear

Match = str | Callable[[str], bool]
"""A file: a pattern for its path below the root (`*.json`), or a function of the path."""

KINDS = (
    "create",
    "write",
    "truncate",
    "rename",
    "unlink",
    "mkdir",
    "rmdir",
    "link",
    "symlink",
    "fsync",
    "fsync-dir",
    "sync",
    *READS,
    "*",
)


@dataclass(slots=True)
class Injection:
    """One waiting fault; `fired` once it has struck, `seq` then tells the operation (for lost and torn writes)."""

    what: str
    kind: str
    match: Match
    decision: Decision
    keep: int | None = None
    whole_save: bool = True
    fired: bool = False
    note: str = field(default="", repr=False)

    def covers(self, kind: str, path: str) -> bool:
        """Whether it strikes an operation of `kind` on `path`."""
        if self.kind != kind and (self.kind != "*" or kind in READS):
            return False
        if callable(self.match):
            return bool(self.match(path))
        name = path.rpartition("/")[2]
        return fnmatch.fnmatchcase(path, self.match) or fnmatch.fnmatchcase(name, self.match)


class Injections:
    """The gate of a hand-written test: waiting faults, and a disk that may be full."""

    def __init__(self) -> None:
        self.waiting: list[Injection] = []
        self._left: int | None = None
        self._full = False

    @property
    def reads(self) -> frozenset[str]:
        """The kinds of reads for which a fault waits."""
        return frozenset(one.kind for one in self.waiting if not one.fired and one.kind in READS)

    def lose(self, match: Match, *, whole_save: bool) -> Injection:
        """The next write to a matching file is acknowledged and never stored."""
        return self._add(Injection(f"lose_write({match!r})", "write", match, Mark(""), whole_save=whole_save))

    def tear(self, match: Match, keep: int) -> Injection:
        """A crash keeps only the first `keep` bytes of the next write to a matching file."""
        if keep < 0:
            raise UsageError(f"tear_write(keep={keep})", fix="keep 0 bytes or more")
        return self._add(Injection(f"tear_write({match!r})", "write", match, Mark(""), keep=keep))

    def fail(self, kind: str, match: Match, error: str) -> Injection:
        """The next operation of `kind` on a matching file fails with the errno name `error`."""
        if kind not in KINDS:
            raise UsageError(f"fail({kind!r}, ...) names no operation", fix=f"choose from: {', '.join(KINDS)}")
        if not isinstance(getattr(_errno, error, None), int):
            raise UsageError(f"fail(..., error={error!r}) is no errno name", fix="use for instance EIO, ENOSPC or EACCES")
        return self._add(Injection(f"fail({kind!r}, {match!r})", kind, match, Fail(error)))

    def fill(self, bytes_left: int | None) -> None:
        """Leave room for so many bytes (None: as many as there are)."""
        if bytes_left is not None and bytes_left < 0:
            raise UsageError(f"fill({bytes_left})", fix="give 0 or more bytes, or None to empty the disk again")
        self._left = bytes_left

    def before(self, kind: str, path: str, size: int, recorder: Any) -> Decision | None:
        """See `gate.Gate`."""
        del recorder
        for injection in self.waiting:
            if not injection.fired and injection.covers(kind, path):
                injection.fired = True
                if isinstance(injection.decision, Mark):
                    injection.note = f"{injection.what} #{self.waiting.index(injection)}"
                    return Mark(injection.note)
                return injection.decision
        return self._space(size) if kind == "write" and self._left is not None else None

    def overlay(self, ops: Sequence[Op]) -> Sequence[Op]:
        """The operations as they reached the disk: without lost saves, with torn writes cut."""
        notes = {injection.note: injection for injection in self.waiting if injection.note}
        lost: set[int] = set()
        result = ops
        for op in ops:
            injection = notes.get(op.note) if op.note else None
            if injection is None or op.effect is None:
                continue
            if injection.keep is not None:
                result = tear(result, op.seq, injection.keep)
            else:
                lost |= save_around(ops, op.seq) if injection.whole_save else {op.seq}
        return drop(result, lost) if lost else result

    def idle(self) -> list[str]:
        """The faults that never struck."""
        return [injection.what for injection in self.waiting if not injection.fired]

    def _add(self, injection: Injection) -> Injection:
        self.waiting.append(injection)
        return injection

    def _space(self, size: int) -> Decision | None:
        left = self._left or 0
        if size <= left:
            self._left = left - size
            return None
        self._left = 0
        return Short(left) if left else Fail("ENOSPC")
