"""Applies a schedule of faults to a run: live ones through the recorder's gate, lost and torn writes to its log afterwards.

Rule: the nemesis counts what fired and judges nothing; a fault that was scheduled and never fired is told by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytest_durability.faults import Crash, LostWrite, Place, Schedule, ShortWrite, TornWrite, WriteError, role_of, seq_of
from pytest_durability.history import History, Lane, Op
from pytest_durability.tokens import find
from pytest_durability.world.disk.effects import Write
from pytest_durability.world.disk.gate import Decision, Fail, Gate, Short
from pytest_durability.world.disk.overlay import drop, save_around, tear


class Nemesis:
    """One schedule at work; `fired` holds the faults that struck."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self.fired: list[Any] = []
        self._counts: dict[Any, int] = {}
        self._live = [fault for fault in dict.fromkeys(schedule) if isinstance(fault, (WriteError, ShortWrite))]

    @property
    def gate(self) -> Gate | None:
        """What the recorder asks before each operation; None if nothing is to be injected live."""
        return self if self._live else None

    def before(self, kind: str, path: str, size: int, recorder: Any) -> Decision | None:
        """Whether a scheduled fault strikes this operation."""
        del size, recorder
        struck: Decision | None = None
        for fault in self._live:  # all of them count this operation, even if one strikes
            place = Place.parse(fault.at)
            if not place.covers(kind, role_of(path) or "-"):
                continue
            self._counts[fault] = self._counts.get(fault, 0) + 1
            if self._counts[fault] == place.nth and struck is None:
                self.fired.append(fault)
                struck = Fail(fault.error) if isinstance(fault, WriteError) else Short(fault.keep)
        return struck

    def overlay(self, history: History) -> tuple[Sequence[Op], dict[str, int | None]]:
        """The operations as they really reached the disk, and which messages that excuses (see `Ledger.excusing`)."""
        ops: Sequence[Op] = history
        saves: set[int] = set()
        single: set[int] = set()
        torn: set[int] = set()
        for fault in self.schedule:
            if not isinstance(fault, (LostWrite, TornWrite)):
                continue
            seq = seq_of(history, Place.parse(fault.at))
            if seq is None or history[seq - 1].effect is None:
                continue
            self.fired.append(fault)
            if isinstance(fault, TornWrite):
                ops = tear(ops, seq, min(fault.keep, history[seq - 1].size))
                torn.add(seq)
            elif fault.whole_save:
                saves |= save_around(history, seq)
            else:
                single.add(seq)
        if saves or single:
            ops = drop(ops, (saves | single) - torn)
        return ops, _excused(history, saves, single | torn)

    def unfired(self) -> tuple[Any, ...]:
        """Faults that never struck; a crash is applied later and is not counted here."""
        return tuple(fault for fault in self.schedule if fault not in self.fired and not isinstance(fault, Crash))


def _excused(history: History, saves: set[int], single: set[int]) -> dict[str, int | None]:
    """Tokens that a lost or torn write took: no copy survives until one is written again, and that is acknowledged.

    A whole save that is lost leaves the version before it, so a token that was stored earlier is not excused by it.
    """
    stored: dict[str, list[int]] = {}
    taken: dict[str, int] = {}
    for op in history.lane(Lane.DISK):
        if not isinstance(op.effect, Write):
            continue
        for token in find(op.effect.data.decode("utf-8", "replace")):
            if op.seq in single or (op.seq in saves and token not in stored):
                taken[token] = op.seq
            elif op.seq not in saves:
                stored.setdefault(token, []).append(op.seq)
    return {token: _acknowledged_again(history, stored.get(token, []), seq) for token, seq in taken.items()}


def _acknowledged_again(history: History, stored: list[int], lost: int) -> int | None:
    again = next((seq for seq in stored if seq > lost), None)
    if again is None:
        return None
    return next((op.seq for op in history[again:] if op.kind == "ack"), None)
