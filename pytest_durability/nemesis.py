"""Applies a schedule of faults to a run: live ones through the recorder's gate, lost and torn writes to its log afterwards.

Rule: the nemesis counts what fired and judges nothing; a fault that was scheduled and never fired is told by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytest_durability.faults import READS, Crash, LostWrite, Place, Schedule, ShortWrite, TornWrite, WriteError, role_of, seq_of
from pytest_durability.history import History, Op
from pytest_durability.world.disk.copies import excused
from pytest_durability.world.disk.gate import Decision, Fail, Gate, Short
from pytest_durability.world.disk.image import EMPTY, Image
from pytest_durability.world.disk.overlay import drop, save_around, tear


class Nemesis:
    """One schedule at work; `fired` holds the faults that struck, `reads` the kinds of reads that it wants to be asked about."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self.fired: list[Any] = []
        self._counts: dict[Any, int] = {}
        self._live = [fault for fault in dict.fromkeys(schedule) if isinstance(fault, (WriteError, ShortWrite))]
        self.reads = frozenset(Place.parse(fault.at).kind for fault in self._live if isinstance(fault, WriteError)) & set(READS)

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
            if self._counts[fault] == place.nth and struck is None and (kind not in READS or isinstance(fault, WriteError)):
                self.fired.append(fault)
                struck = Fail(fault.error) if isinstance(fault, WriteError) else Short(fault.keep)
        return struck

    def overlay(
        self, history: History, published: frozenset[str] = frozenset(), *, base: int = 0, initial: Image = EMPTY
    ) -> tuple[Sequence[Op], dict[str, int | None]]:
        """The operations after op `base` as they really reached the disk, and which messages that excuses (see `Ledger.excusing`).

        `published`: roles of the files of a healthy session, of which alone a store can be asked to recover. `initial`: what
        the disk held after op `base`.
        """
        written: Sequence[Op] = history[base:] if base else history
        ops = written
        saves: set[int] = set()
        single: set[int] = set()
        torn: set[int] = set()
        for fault in self.schedule:
            if not isinstance(fault, (LostWrite, TornWrite)):
                continue
            seq = seq_of(history, Place.parse(fault.at))
            if seq is None or seq <= base or history[seq - 1].effect is None:
                continue
            self.fired.append(fault)
            if isinstance(fault, TornWrite):
                ops = tear(ops, seq, min(fault.keep, history[seq - 1].size), initial=initial)
                torn.add(seq)
            elif fault.whole_save:
                saves |= save_around(written, seq)
            else:
                single.add(seq)
        if saves or single:
            ops = drop(ops, (saves | single) - torn, initial=initial)
        return ops, excused(written, ops, published, initial) if ops is not written else {}

    def unfired(self) -> tuple[Any, ...]:
        """Faults that never struck; a crash is applied later and is not counted here."""
        return tuple(fault for fault in self.schedule if fault not in self.fired and not isinstance(fault, Crash))


class ReadWatch:
    """A gate that refuses nothing and notes where a read could be struck: `places`, in the order of the run."""

    reads = frozenset(READS)

    def __init__(self) -> None:
        self.places: list[Place] = []
        self._counts: dict[tuple[str, str], int] = {}

    def before(self, kind: str, path: str, size: int, recorder: Any) -> None:
        """Note a read; see `gate.Gate`."""
        del size, recorder
        if kind in READS:
            role = role_of(path) or "-"
            self._counts[kind, role] = nth = self._counts.get((kind, role), 0) + 1
            self.places.append(Place(kind, role, nth))
