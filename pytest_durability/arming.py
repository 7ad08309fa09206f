"""A search cannot name the place of a fault before the store has got there, so it arms one, and the place is read off when it strikes.

Rule: what struck is told by its place and struck once. Played again by these places, without anything armed, the same run
follows; so what a machine that ended has undone (see `rewind`) is forgotten, as if it had never been asked about.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_durability.faults import (
    READS,
    CancelTurn,
    ClockStep,
    CutStream,
    Interrupt,
    LostAck,
    LostWrite,
    Place,
    ReorderTurns,
    Schedule,
    ShortWrite,
    TornWrite,
    WriteError,
    role_of,
    seq_of,
)
from pytest_durability.history import History, Op
from pytest_durability.nemesis import Nemesis
from pytest_durability.world.disk.gate import Decision, Fail, Short
from pytest_durability.world.turns.order import Chooser, turn_of

if TYPE_CHECKING:
    from pytest_durability.world.turns.overlap import Overlapped

Injector = Callable[[str, int, int], Any]
"""Makes a fault of a place, the size of the operation there, and the drawn `keep`."""


def _kept(size: int, keep: int) -> int:
    """So many bytes of a write stay: half of them, one, or all but one."""
    return max(1, (size // 2, 1, size - 1)[keep % 3])


INJECTORS: dict[str, tuple[tuple[str, ...], Injector]] = {
    "ENOSPC": (("write", "create"), lambda at, *_: WriteError(at, "ENOSPC")),
    "EIO": (("write", "fsync", "rename", "truncate", "create"), lambda at, *_: WriteError(at, "EIO")),
    "ReadEIO": (READS, lambda at, *_: WriteError(at, "EIO")),
    "ShortWrite": (("write",), lambda at, size, keep: ShortWrite(at, _kept(size, keep))),
    "LostWrite": (("write",), lambda at, *_: LostWrite(at)),
    "TornWrite": (("write",), lambda at, size, keep: TornWrite(at, _kept(size, keep))),
}
"""Faults by name: on which kinds of operation each may strike, and how it is made."""

HOWS = ("eof", "reset", "timeout", "stall")


def _cut(turn: int, reply: str, keep: int) -> CutStream:
    """In the middle of a reply, behind its end, or before its beginning; in one of four ways."""
    return CutStream(turn, (len(reply) // 2, len(reply), 0)[keep // len(HOWS) % 3], HOWS[keep % len(HOWS)])


STREAMS: dict[str, Callable[[int, str, int], CutStream | Interrupt]] = {
    "CutStream": _cut,
    "Interrupt": lambda turn, _, keep: Interrupt(turn, 1 + keep % 3),
}
"""What breaks a turn, by name: made of the number of the turn, its reply, and the drawn `keep`."""

TURNS = ("ReorderTurns", "CancelTurn")
"""What changes the course of turns that overlap: at point `skip` the `keep`-th other one goes on; turn `keep` is cancelled at its suspension `skip` + 1."""

JUMPS = (-5.0, -0.001, 3600.0)
"""By so many seconds an armed `ClockStep` sets the clock, by its `keep`: far back, to the same reading again, ahead."""

FULL = ("write", "create")
"""What needs room on the disk."""


@dataclass(frozen=True, slots=True)
class Arm:
    """The fault of this name (of `INJECTORS`, or `LostAck`) strikes the first operation that it can after `skip` others.

    `keep`: which part of a write stays (0: half, 1: one byte, 2: all but one), where the fault has a say in that. Those of
    `STREAMS` strike a turn, and count turns.
    """

    fault: str
    skip: int = 0
    keep: int = 0


@dataclass(slots=True)
class _Waiting:
    """An armed fault, and how many operations it still lets pass."""

    arm: Arm
    left: int


class LiveFaults:
    """The gate of a run: scheduled faults by their places, armed ones as they come, a disk that is full for a while.

    `struck`: the armed faults and lost acknowledgements that struck, each with the number of its op. `aims`: how each armed
    one of them would be armed right before the step in which it struck. `strikes`: the numbers of all operations that did
    not simply happen.
    """

    def __init__(self, schedule: Schedule, *, arming: bool) -> None:
        self.schedule = schedule
        self.struck: list[tuple[int, Any]] = []
        self.aims: list[tuple[int, int, Arm]] = []
        self.strikes: list[int] = []
        self._step, self._since = 0, 0
        self._turn_arm = Arm("")
        self.reads: frozenset[str] = frozenset(READS) if arming else Nemesis(schedule).reads
        self._arming = arming
        self._nemesis = Nemesis(schedule)
        self._waiting: list[_Waiting] = []
        self._full = 0
        self._asked: list[tuple[int, str, str, int]] = []
        self._turns: list[tuple[int, Any]] = []
        self._acks = [fault for fault in schedule if isinstance(fault, LostAck)]

    @property
    def idle(self) -> bool:
        """Whether nothing can strike in this run, so that no operation need be asked about."""
        return not self._arming and self._nemesis.gate is None and not self._full

    def arm(self, arm: Arm) -> None:
        """Let a fault wait for its operation."""
        self._waiting.append(_Waiting(arm, arm.skip))

    def begin(self, step: int) -> None:
        """The step of this number begins."""
        self._step, self._since = step, len(self._asked)

    def fill(self, ops: int) -> None:
        """The next so many operations that need room fail."""
        self._full = ops

    def before(self, kind: str, path: str, size: int, recorder: Any) -> Decision | None:
        """See `gate.Gate`."""
        at = len(recorder.history)
        self._asked.append((at, kind, path, size))
        decision = self._nemesis.before(kind, path, size, recorder)
        if decision is None and self._full and kind in FULL:
            self._full -= 1
            decision = Fail("ENOSPC")
        if decision is None and self._waiting:
            decision = self._armed(kind, path, size)
        if decision is not None:
            self.strikes.append(at + 1)
        return decision

    def _armed(self, kind: str, path: str, size: int) -> Decision | None:
        for waiting in list(self._waiting):
            if not strikes(waiting.arm.fault, kind, size):
                continue
            if waiting.left:
                waiting.left -= 1
                continue
            role = role_of(path) or "-"
            nth = sum(1 for _, asked, name, _ in self._asked if asked == kind and (role_of(name) or "-") == role)
            arm = waiting.arm
            fault = INJECTORS[arm.fault][1](str(Place(kind, role, nth)), size, arm.keep)
            self._waiting.remove(waiting)
            seq = self._asked[-1][0] + 1
            self.struck.append((seq, fault))
            before = sum(strikes(arm.fault, asked, length) for _, asked, _, length in self._asked[self._since : -1])
            self.aims.append((seq, self._step, Arm(arm.fault, before, arm.keep)))
            return _decision(fault)
        return None

    def loses_ack(self, history: History, call: Op) -> bool:
        """Whether the acknowledgement of this call gets lost."""
        for fault in self._acks:
            if seq_of(history, Place.parse(fault.at)) == call.seq:
                self.struck.append((call.seq, fault))
                return True
        for waiting in self._waiting:
            if waiting.arm.fault == "LostAck":
                if waiting.left:
                    waiting.left -= 1
                    continue
                role = role_of(call.target) or "-"
                nth = sum(1 for op in history if op.kind == call.kind and (role_of(op.target) or "-") == role)
                self._waiting.remove(waiting)
                self.aims.append((call.seq, self._step, Arm("LostAck")))
                self.struck.append((call.seq, LostAck(str(Place(call.kind, role, nth)))))
                return True
        return False

    def of_turn(self, number: int, reply: str) -> CutStream | Interrupt | None:
        """What goes wrong in a turn that is about to begin; `broke` says whether it did."""
        for fault in self.schedule:
            if isinstance(fault, Interrupt) and fault.turn == number:
                return fault
            if isinstance(fault, CutStream) and fault.turn == number and fault.after <= len(reply):
                return fault
        for waiting in self._waiting:
            if waiting.arm.fault in STREAMS:
                if waiting.left:
                    waiting.left -= 1
                    continue
                self._waiting.remove(waiting)
                self._turn_arm = Arm(waiting.arm.fault, 0, waiting.arm.keep)
                return STREAMS[waiting.arm.fault](number, reply, waiting.arm.keep)
        return None

    def broke(self, seq: int, fault: CutStream | Interrupt) -> None:
        """The fault of a turn struck at op `seq`."""
        if fault in self.schedule.faults:
            self._turns.append((seq, fault))
        else:
            self.struck.append((seq, fault))
            self.aims.append((seq, self._step, self._turn_arm))
        self.strikes.append(seq)

    def of_overlap(self, first: int, count: int) -> tuple[Chooser, dict[str, int], list[Arm]]:
        """Who goes on, and who is cancelled, where the turns from `first` on overlap; and what was armed for that."""
        from pytest_durability.world.turns.order import Deviate, Follow

        mine = [waiting.arm for waiting in self._waiting if waiting.arm.fault in TURNS]
        self._waiting = [waiting for waiting in self._waiting if waiting.arm.fault not in TURNS]
        cancels = {str(first + arm.keep % count): arm.skip + 1 for arm in mine if arm.fault == "CancelTurn"}
        order: Chooser = Deviate((arm.skip, arm.keep) for arm in mine if arm.fault == "ReorderTurns")
        for fault in self.schedule:
            if isinstance(fault, ReorderTurns) and fault.turns[:1] == (first,):
                order = Follow([str(name) for name in fault.choices])
            elif isinstance(fault, CancelTurn) and first <= int(turn_of(str(fault.turn))) < first + count:
                cancels[str(fault.turn)] = fault.at
        return order, cancels, mine

    def overlapped(self, seq: int, found: Overlapped, first: int, arms: Sequence[Arm]) -> None:
        """The turns from `first` on were run together, from op `seq` on; what of it was a fault struck."""
        numbers = tuple(range(first, first + len(found.ended)))
        faults: list[Any] = [fault for fault in found.order.faults(0) if isinstance(fault, CancelTurn)]
        if found.order.names:
            faults.append(ReorderTurns(numbers, found.order.faults(0)[0].choices))
        for fault in faults:
            if fault in self.schedule.faults:
                self._turns.append((seq, fault))
            else:
                self.struck.append((seq, fault))
        swerved = {at for at, choice in enumerate(found.choices) if choice.index != choice.point.usual}
        stopped = set(found.cancelled)
        for arm in arms:
            name = str(first + arm.keep % len(numbers))
            if arm.skip in swerved if arm.fault == "ReorderTurns" else (name, arm.skip + 1) in stopped:
                self.aims.append((seq, self._step, arm))

    def jump(self, seq: int) -> float:
        """By how many seconds the clock is set before the step that begins now, at op `seq`; mostly 0.0."""
        for fault in self.schedule:
            if isinstance(fault, ClockStep) and fault.step == self._step:
                self._turns.append((seq, fault))
                return fault.seconds
        for waiting in self._waiting:
            if waiting.arm.fault == "ClockStep":
                self._waiting.remove(waiting)
                seconds = JUMPS[waiting.arm.keep % len(JUMPS)]
                self.struck.append((seq, ClockStep(self._step, seconds)))
                self.aims.append((seq, self._step, waiting.arm))
                return seconds
        return 0.0

    def rewind(self, point: int) -> None:
        """The machine ended right after op `point`: what was asked later never was, and the next life has room again."""
        self._asked = [asked for asked in self._asked if asked[0] < point]
        self.struck = [(seq, fault) for seq, fault in self.struck if seq <= point]
        self.aims = [aim for aim in self.aims if aim[0] <= point]
        self._turns = [(seq, fault) for seq, fault in self._turns if seq <= point]
        self.strikes = [seq for seq in self.strikes if seq <= point]
        self._full = 0
        self._nemesis = Nemesis(self.schedule)
        for _, kind, path, size in self._asked:
            self._nemesis.before(kind, path, size, None)

    def overlaid(self) -> Schedule:
        """Scheduled and armed faults together, as an overlay of the log needs them."""
        return Schedule((*self.schedule, *(fault for _, fault in self.struck if fault not in self.schedule.faults)))

    def read(self) -> tuple[tuple[str, str], ...]:
        """Kind and role of each read that was asked about, in order."""
        return tuple((kind, role_of(path) or "-") for _, kind, path, _ in self._asked if kind in READS)

    def fired(self) -> tuple[Any, ...]:
        """The scheduled live faults that struck."""
        return (*self._nemesis.fired, *(fault for _, fault in self._turns))


def strikes(fault: str, kind: str, size: int) -> bool:
    """Whether an armed fault of this name has a say in an operation; a write of one byte cannot be short."""
    return fault in INJECTORS and kind in INJECTORS[fault][0] and (fault != "ShortWrite" or size > 1)


def _decision(fault: Any) -> Decision | None:
    """What a fault does at the moment of its operation; a lost or torn write is seen after a crash only."""
    if isinstance(fault, WriteError):
        return Fail(fault.error)
    return Short(fault.keep) if isinstance(fault, ShortWrite) else None
