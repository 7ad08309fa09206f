"""What a database promises depends on its journal mode and its synchronous level, and a store may have neither that it asked for.

Rule: both are read from what SQLite did on disk, never from what somebody set: the last sign of each transaction is its end
(a commit frame in the log, a journal that ends) and the syncs that belong to it.

Sources: https://sqlite.org/pragma.html#pragma_synchronous, https://sqlite.org/atomiccommit.html, https://sqlite.org/fileformat2.html
(section 4.1, the log: a frame is a commit if bytes 4 to 7 of its header are not zero).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pytest_durability.history import Lane, Op, Outcome
from pytest_durability.world.disk import effects as fx

_FRAME_HEADER, _JOURNAL_HEADER = 24, 28
LEVELS = ("off", "normal", "full", "extra")


@dataclass(frozen=True, slots=True)
class Mode:
    """`journal`: wal, delete, truncate, persist, or none. `synchronous`: off, normal, full, extra, or unknown without a journal.

    With wal, full and extra are the same. The level is that of the weakest of the `transactions` that were seen.
    """

    journal: str
    synchronous: str
    transactions: int

    def __str__(self) -> str:
        return f"journal_mode={self.journal}, synchronous={self.synchronous}"


@dataclass(slots=True)
class _Seen:
    """What one database did so far; `open`: syncs of the journal in the transaction that is under way (-1: none is)."""

    journal: str = "none"
    level: int = 3
    transactions: int = 0
    open: int = -1
    ended: bool = False
    commit: bool = False
    logged: bool = False

    def end(self, level: int) -> None:
        self.level = min(self.level, level)
        self.transactions += 1


def effective(ops: Iterable[Op]) -> dict[str, Mode]:
    """Path of each database that was written -> the mode in which it was, at the end of these operations."""
    seen: dict[str, _Seen] = {}
    written: set[str] = set()
    for op in ops:
        if op.lane is not Lane.DISK or op.effect is None or op.outcome is not Outcome.OK:
            continue
        if op.target.endswith("-wal"):
            _log(seen.setdefault(op.target.removesuffix("-wal"), _Seen()), op.effect)
        elif op.target.endswith("-journal"):
            _journal(seen.setdefault(op.target.removesuffix("-journal"), _Seen()), op.effect)
        elif isinstance(op.effect, fx.SyncDir):
            for one in seen.values():
                _directory(one)
        elif isinstance(op.effect, fx.Write) and op.effect.offset == 0 and op.effect.data.startswith(b"SQLite format 3\0"):
            written.add(op.target)
    for one in seen.values():
        _settle(one)
    found = {path: Mode(one.journal, LEVELS[one.level], one.transactions) for path, one in seen.items() if one.transactions}
    return {**{path: Mode("none", "unknown", 0) for path in written}, **found}


def in_force(modes: Mapping[str, Mode]) -> tuple[str, ...]:
    """A line for each database: `state.db: journal_mode=wal, synchronous=full`."""
    return tuple(f"{path}: {mode}" for path, mode in sorted(modes.items()))


def _settle(one: _Seen) -> None:
    """The transaction that ended is over: nothing that follows can be its sync."""
    if one.commit:
        one.commit = False
        one.end(1 if one.logged else 0)
    if one.ended:
        one.ended = False
        one.end(min(one.open, 2))
        one.open = -1


def _log(one: _Seen, effect: object) -> None:
    if isinstance(effect, fx.Write):
        if one.journal != "wal":
            _settle(one)
            one.journal, one.level, one.transactions, one.open = "wal", 3, 0, -1
        if effect.offset == 0:
            _settle(one)
            one.logged = False
        elif len(effect.data) == _FRAME_HEADER:
            _settle(one)
            one.commit = any(effect.data[4:8])
    elif isinstance(effect, fx.Sync):
        one.logged = True
        if one.commit:
            one.commit = False
            one.end(2)


def _journal(one: _Seen, effect: object) -> None:
    if isinstance(effect, fx.Sync):
        one.open = max(one.open, 0) + (0 if one.ended else 1)
        return
    over = ""
    if isinstance(effect, fx.Unlink):
        over = "delete"
    elif isinstance(effect, fx.Truncate) and effect.size == 0:
        over = "truncate"
    elif isinstance(effect, fx.Write) and effect.offset == 0 and effect.data == bytes(_JOURNAL_HEADER):
        over = "persist"
    if not over:
        if isinstance(effect, fx.Write):
            _settle(one)
            one.open = max(one.open, 0)
    elif one.open >= 0 and not one.ended:
        if one.journal == "wal":
            one.level, one.transactions = 3, 0
        one.journal, one.ended = over, True


def _directory(one: _Seen) -> None:
    """A directory is synced right after a journal has gone: the one thing in which extra differs from full."""
    if one.ended and one.journal == "delete":
        one.ended = False
        one.end(3 if one.open > 1 else min(one.open, 2))
        one.open = -1
