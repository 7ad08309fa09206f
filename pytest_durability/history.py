"""What happened in one run is kept as one ordered list, so that "shown to the user" is ordered with "written to disk".

Rule: a history only grows, every op has the next number, and an op whose result nobody knows says UNKNOWN.
"""

from __future__ import annotations

import enum
import hashlib
import json
from _thread import allocate_lock
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

from pytest_durability.errors import CaseError


class Lane(enum.Enum):
    """Who acted."""

    USER = "user"
    STREAM = "stream"
    DISK = "disk"
    PROVIDER = "provider"


class Outcome(enum.Enum):
    """How an op ended. UNKNOWN counts neither as lost nor as kept: it may have happened."""

    OK = "ok"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Op:
    """One step on one lane.

    USER ops come in pairs: the call (`kind` is the step: append, commit, close, open ...; `target` holds the tokens it
    carries, comma separated) and its end (`ack`, or `raised`, with `call` naming the number of the call).
    DISK ops carry their `effect` (see `world.disk.effects`), which is what crash states are computed from; of calls that were
    made at once they name the one that did them.
    """

    seq: int
    lane: Lane
    kind: str
    target: str = ""
    size: int = 0
    digest: str = ""
    outcome: Outcome = Outcome.OK
    site: str = ""
    call: int = 0
    note: str = ""
    effect: object = field(default=None, compare=False, repr=False)


@dataclass(slots=True)
class _Draft:
    """An `Op` in the making, with the same slots: filling a frozen one costs three times as much, on the hottest path."""

    seq: int
    lane: Lane
    kind: str
    target: str
    size: int
    digest: str
    outcome: Outcome
    site: str
    call: int
    note: str
    effect: object


class History(Sequence[Op]):
    """The ordered ops of one run; op numbers start at 1, so `history[n - 1]` is op n."""

    __slots__ = ("_ops", "_whose")

    def __init__(self, ops: Iterable[Op] = ()) -> None:
        self._ops = list(ops)
        self._whose: Callable[[], int] | None = None

    def add(
        self,
        lane: Lane,
        kind: str,
        target: str = "",
        *,
        size: int = 0,
        digest: str = "",
        outcome: Outcome = Outcome.OK,
        site: str = "",
        call: int = 0,
        note: str = "",
        effect: object = None,
    ) -> Op:
        """Append one op and return it, with its number."""
        op: Any = _Draft(len(self._ops) + 1, lane, kind, target, size, digest, outcome, site, call, note, effect)
        op.__class__ = Op
        self._ops.append(op)
        return op  # type: ignore[no-any-return]

    def share(self) -> None:
        """Let several threads add from now on; before that no lock is taken, because adding is the hottest path."""
        self.__class__ = _Shared

    def whose(self, call: Callable[[], int] | None) -> None:
        """Let each op that names no call name the one that this gives (None: no more); for calls that are made at once."""
        self._whose = call
        self.__class__ = History if call is None else _Attributed

    def lane(self, lane: Lane) -> list[Op]:
        """The ops of one lane, in order."""
        return [op for op in self._ops if op.lane is lane]

    @overload
    def __getitem__(self, index: int) -> Op: ...
    @overload
    def __getitem__(self, index: slice) -> list[Op]: ...
    def __getitem__(self, index: int | slice) -> Op | list[Op]:
        return self._ops[index]

    def __len__(self) -> int:
        return len(self._ops)

    def __iter__(self) -> Iterator[Op]:
        return iter(self._ops)

    def to_jsonl(self) -> str:
        """One JSON object a line, without effects (those are bytes of the store, not of the report)."""
        return "".join(json.dumps(_as_dict(op), ensure_ascii=True) + "\n" for op in self._ops)

    @classmethod
    def from_jsonl(cls, text: str) -> History:
        """Read what `to_jsonl` wrote.

        Raises:
            CaseError: a line is not an op, or the numbers have a gap.
        """
        ops = []
        for number, line in enumerate((part for part in text.split("\n") if part), start=1):
            op = _from_line(line, number)
            if op.seq != number:
                raise CaseError(f"line {number} holds op {op.seq}", why="a history without its ops in order proves nothing")
            ops.append(op)
        return cls(ops)


class _Attributed(History):
    """A history of several calls at once."""

    __slots__ = ()

    def add(self, *args: Any, **details: Any) -> Op:
        """As `History.add`; an operation belongs to the call that is running."""
        if self._whose is not None and not details.get("call"):
            details["call"] = self._whose()
        return super().add(*args, **details)


class _Shared(History):
    """A history that several threads add to."""

    __slots__ = ()
    _lock = allocate_lock()

    def add(self, *args: Any, **details: Any) -> Op:
        """As `History.add`, one at a time."""
        with self._lock:
            return super().add(*args, **details)


def digest(data: bytes) -> str:
    """Short content digest (12 hex digits of BLAKE2b), enough to see that two payloads differ."""
    return hashlib.blake2b(data, digest_size=6).hexdigest()


def _as_dict(op: Op) -> dict[str, object]:
    full: dict[str, object] = {
        "seq": op.seq,
        "lane": op.lane.value,
        "kind": op.kind,
        "target": op.target,
        "size": op.size,
        "digest": op.digest,
        "outcome": op.outcome.value,
        "site": op.site,
        "call": op.call,
        "note": op.note,
    }
    return {key: value for key, value in full.items() if value not in ("", 0)}


def _from_line(line: str, number: int) -> Op:
    try:
        raw = json.loads(line)
        return Op(
            seq=int(raw["seq"]),
            lane=Lane(raw["lane"]),
            kind=str(raw["kind"]),
            target=str(raw.get("target", "")),
            size=int(raw.get("size", 0)),
            digest=str(raw.get("digest", "")),
            outcome=Outcome(raw["outcome"]),
            site=str(raw.get("site", "")),
            call=int(raw.get("call", 0)),
            note=str(raw.get("note", "")),
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise CaseError(f"line {number} is not an op: {line[:80]!r} ({type(error).__name__})") from None
