"""Everything bad that can happen, as data: a fault is a value that prints as the text which recreates it.

Rule: a fault has no behaviour (the nemesis applies it) and names its place by what the store does there, as
`kind:role:n` (the n-th operation of that kind on files of that role), never by a temporary name or by bytes.
"""

from __future__ import annotations

import errno as _errno
import fnmatch
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_durability import notation
from pytest_durability.errors import UsageError
from pytest_durability.history import Lane, Op

_RANDOM = re.compile(r"[0-9a-f]{8}(?:-?[0-9a-f]{4}){3}-?[0-9a-f]{12}|(?<![A-Za-z])(?=[0-9a-f]*\d)[0-9a-f]{8,}|\d+")

_ORDINAL = re.compile(r"[1-9][0-9]{0,8}")

READS = ("open", "read", "list", "lock")
"""Kinds of operations that change nothing: `open` (of a file that is there, without emptying it), `read` (one call that takes
bytes from it), `list` (of the names in a directory), `lock` (one of a database, by SQLite). They are in a history only if a fault struck them."""


def role_of(path: str) -> str:
    """The role of a file in its store: its path with numbers, uuids and temporary parts folded to `#`.

    (Not to `*`, which is a pattern in a place and would match files of other roles.)

    >>> role_of("messages/message_12.json"), role_of("tmp00000003")
    ('messages/message_#.json', 'tmp#')
    """
    return _RANDOM.sub("#", path)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a fault strikes: the `nth` (from 1) operation of `kind` on a file of `role`; `*` matches any.

    Counted from the start of the run, over all its lives. `READS` are kinds too, and have to be named.
    """

    kind: str
    role: str
    nth: int

    @classmethod
    def parse(cls, text: str) -> Place:
        """Read `kind:role:n`.

        Raises:
            UsageError: the text has another form.
        """
        kind, _, rest = text.partition(":")
        role, _, nth = rest.rpartition(":")
        if not kind or not role or not _ORDINAL.fullmatch(nth):
            raise UsageError(f"{text!r} is not a place", fix="write kind:role:n, for instance write:session.jsonl:1")
        return cls(kind, role, int(nth))

    def covers(self, kind: str, role: str) -> bool:
        """Whether an operation of `kind` on `role` counts towards `nth`; `*` is any kind that changes something."""
        if self.kind != kind and (self.kind != "*" or kind in READS):
            return False
        return self.role in ("*", role) or fnmatch.fnmatchcase(role, self.role)

    def __str__(self) -> str:
        return f"{self.kind}:{self.role}:{self.nth}"


def place_of(ops: Sequence[Op], seq: int) -> Place:
    """The place of op `seq` in a history: how often its kind happened on its role so far."""
    kind, role = ops[seq - 1].kind, _role(ops[seq - 1])
    nth = sum(1 for op in ops[:seq] if op.kind == kind and _role(op) == role)
    return Place(kind, role, nth)


def seq_of(ops: Sequence[Op], place: Place) -> int | None:
    """The number of the op at a place, or None if the history has no such op."""
    count = 0
    for op in ops:  # a role of "-" stands for an op without a target
        if place.covers(op.kind, _role(op)):
            count += 1
            if count == place.nth:
                return op.seq
    return None


def _role(op: Op) -> str:
    """The role of what an op was about; a piece of a stream has none, because its target is what was said."""
    return "-" if op.lane is Lane.STREAM else role_of(op.target) or "-"


def _check_place(fault: Any, field: str) -> None:
    text = getattr(fault, field)
    if not isinstance(text, str):
        raise UsageError(f"{type(fault).__name__}({field}={text!r}): a place is a text such as 'write:session.jsonl:1'")
    Place.parse(text)


@dataclass(frozen=True, slots=True)
class LostWrite:
    """A write that was acknowledged by the system and never stored (lost PUT, lying mount).

    With `whole_save` the entire save is lost, from open to close with the rename that publishes it, so that the file
    keeps its previous version; else the single operation.
    """

    at: str
    whole_save: bool = True

    def __post_init__(self) -> None:
        _check_place(self, "at")

    def __str__(self) -> str:
        return notation.render(self)


@dataclass(frozen=True, slots=True)
class TornWrite:
    """A crash keeps the first `keep` bytes of one write (power cut in the middle of a sector run)."""

    at: str
    keep: int = 0

    def __post_init__(self) -> None:
        _check_place(self, "at")
        notation.at_least(self, keep=0)

    def __str__(self) -> str:
        return notation.render(self)


@dataclass(frozen=True, slots=True)
class ShortWrite:
    """The call returns after `keep` bytes, without an error; POSIX allows it and code forgets it."""

    at: str
    keep: int = 1

    def __post_init__(self) -> None:
        _check_place(self, "at")
        notation.at_least(self, keep=1)

    def __str__(self) -> str:
        return notation.render(self)


@dataclass(frozen=True, slots=True)
class WriteError:
    """A file operation that fails with `error` (ENOSPC, EIO, EACCES, EDQUOT ...).

    Reading counts: `open:session.jsonl:1` is an open of a file that is there, `read:session.jsonl:2` the second call that
    takes bytes from it, `list:messages:1` the names in a directory (`list:-:1`: in the root). What is not there is never struck.
    """

    at: str
    error: str = "EIO"

    def __post_init__(self) -> None:
        _check_place(self, "at")
        if not isinstance(getattr(_errno, str(self.error), None), int):
            raise UsageError(f"WriteError(error={self.error!r}) is no errno name", fix="use for instance ENOSPC, EIO or EACCES")

    def __str__(self) -> str:
        return notation.render(self)


@dataclass(frozen=True, slots=True)
class Crash:
    """The process, or the machine, ends after an operation.

    `after`: the place of the last operation before the crash. `model`: what the crash can take. `born`: the place of
    the operation at which the surviving cut came into being (empty: the same). `lag`: the version chains that are
    behind in that cut, each as `chain-name<-steps`. Empty `lag`: everything written survives.
    """

    after: str
    model: str = "process-kill"
    born: str = ""
    lag: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_place(self, "after")
        if self.born:
            _check_place(self, "born")

    def __str__(self) -> str:
        return notation.render(self)


@dataclass(frozen=True, slots=True)
class LostAck:
    """The operation happened, its answer is lost: the caller sees `ConnectionError` and may try again."""

    at: str

    def __post_init__(self) -> None:
        _check_place(self, "at")

    def __str__(self) -> str:
        return notation.render(self)


@dataclass(frozen=True, slots=True)
class CutStream:
    """The reply of turn `turn` (of the run, from 0) ends after `after` characters of text, `how`: eof, reset, timeout or stall."""

    turn: int
    after: int
    how: str = "eof"

    def __post_init__(self) -> None:
        notation.at_least(self, turn=0, after=0)
        if self.how not in ("eof", "reset", "timeout", "stall"):
            raise UsageError(f"CutStream(how={self.how!r})", fix="choose from: eof, reset, timeout, stall")

    def __str__(self) -> str:
        return notation.render(self)


@dataclass(frozen=True, slots=True)
class Interrupt:
    """The user stops turn `turn` (of the run, from 0) after `chunks` pieces of text; at 0 pieces it is stopped before it begins."""

    turn: int
    chunks: int = 0

    def __post_init__(self) -> None:
        notation.at_least(self, turn=0, chunks=0)

    def __str__(self) -> str:
        return notation.render(self)


@dataclass(frozen=True, slots=True)
class RejectRequest:
    """The provider refuses the n-th request with a named rejection."""

    request: int
    rule: str
    times: int = 1

    def __post_init__(self) -> None:
        notation.at_least(self, request=0, times=0)

    def __str__(self) -> str:
        return notation.render(self)


@dataclass(frozen=True, slots=True)
class ReorderTurns:
    """Turns run interleaved in the order of `choices`: numbers of turns, or names of their tasks such as `0.1`."""

    turns: tuple[int, ...]
    choices: tuple[int | str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("turns", "choices"):
            numbers: Any = getattr(self, name)
            if isinstance(numbers, tuple) and any(isinstance(number, int) and number < 0 for number in numbers):
                raise UsageError(f"ReorderTurns({name}={ascii(numbers)[:60]}): a turn has no negative number", fix="count from 0")

    def __str__(self) -> str:
        return notation.render(self)


@dataclass(frozen=True, slots=True)
class CancelTurn:
    """The task of turn `turn` (its number, or the name of a task that it started) is cancelled at its `at`-th suspension."""

    turn: int | str
    at: int = 1

    def __post_init__(self) -> None:
        notation.at_least(self, turn=0, at=0)

    def __str__(self) -> str:
        return notation.render(self)


@dataclass(frozen=True, slots=True)
class ClockStep:
    """The wall clock jumps by `seconds` (may be negative) before step `step`."""

    step: int
    seconds: float

    def __post_init__(self) -> None:
        notation.at_least(self, step=0)
        seconds: Any = self.seconds
        if isinstance(seconds, (int, float)) and not math.isfinite(seconds):
            raise UsageError(
                f"ClockStep(seconds={self.seconds}): a clock cannot jump that far", fix="give a finite number of seconds"
            )

    def __str__(self) -> str:
        return notation.render(self)


Fault = (
    LostWrite
    | TornWrite
    | ShortWrite
    | WriteError
    | Crash
    | LostAck
    | CutStream
    | Interrupt
    | RejectRequest
    | ReorderTurns
    | CancelTurn
    | ClockStep
)

NAMES: dict[str, type] = {kind.__name__: kind for kind in Fault.__args__}
"""Every fault by its name."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """An ordered list of faults; `str()` and `Schedule.parse` are inverse."""

    faults: tuple[Any, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Schedule:
        """Read faults separated by `;` or line ends.

        Raises:
            UsageError: the text holds something that is not a fault.
        """
        return cls.of(notation.parse_all(text, NAMES))

    @classmethod
    def of(cls, faults: Iterable[Any]) -> Schedule:
        """Make a schedule of fault values.

        Raises:
            UsageError: an item is not a fault, or a field of it holds a value of the wrong type.
        """
        items = tuple(faults)
        for item in items:
            if not isinstance(item, Fault):
                raise UsageError(f"{item!r} is not a fault", fix=f"use {', '.join(sorted(NAMES))}")
            notation.check_types(item)
        return cls(items)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.faults)

    def __len__(self) -> int:
        return len(self.faults)

    def __str__(self) -> str:
        return "; ".join(str(fault) for fault in self.faults)
