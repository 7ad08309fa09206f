"""What SQLite keeps in each of its modes is documented, so the harness is asked for it, and must give the documented answers.

Rule: nothing is assumed about a mode: rows are inserted one transaction after the other, every crash state is opened by SQLite
itself, and what it then says is counted. The documented answers, with their sources:

- FULL with a log (`journal_mode=WAL`), and EXTRA with a journal that is deleted: durable. "WAL mode is always consistent with
  synchronous=NORMAL, but does lose durability": https://sqlite.org/pragma.html#pragma_synchronous
- FULL with a journal that is deleted: the transaction is committed when the journal's name is gone, and FULL does not sync the
  directory after that, EXTRA does ("if the power loss follows the commit closely"): the same page, and
  https://sqlite.org/atomiccommit.html#_deleting_the_rollback_journal
- OFF hands the data to the system and goes on: "the database might become corrupted" on a power cut: the same page.
- NORMAL with a journal "can (very rarely) corrupt" on old file systems: a journal whose header was not synced by itself.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

from pytest_durability.history import History, Lane
from pytest_durability.persistence import model as model_named
from pytest_durability.world.arena import Arena
from pytest_durability.world.disk.image import EMPTY, Image
from pytest_durability.world.disk.recorder import Recorder
from pytest_durability.world.disk.sqlite.modes import Mode, effective
from pytest_durability.world.disk.states import State, build, walk
from pytest_durability.world.disk.verify import verify

MODES = (("wal", "full"), ("wal", "normal"), ("wal", "off"), ("delete", "extra"), ("delete", "full"), ("delete", "off"))
MODELS = ("process-kill", "strict", "ext4-delalloc", "posix")
_DATABASE = "known.db"


@dataclass(frozen=True, slots=True)
class Row:
    """What came out for one mode and one model: how many crash states, and how many of them lost or were corrupt.

    `lost`: at least one acknowledged row was gone; `most`: the largest number of rows gone in one state. `corrupt`: SQLite says
    so, or gave rows that are no prefix of those inserted. `mode` is what SQLite really did.
    """

    asked: tuple[str, str]
    model: str
    mode: Mode
    states: int
    lost: int
    most: int
    corrupt: int

    @property
    def verdict(self) -> str:
        """In words."""
        if self.corrupt:
            return "corrupts"
        return "loses" if self.lost else "keeps all"


@dataclass(frozen=True, slots=True)
class _Run:
    """The log of some transactions; `acks`: the op number at which each was acknowledged (the first: the table is there)."""

    history: History
    acks: tuple[int, ...]
    mode: Mode


def measure(
    modes: Sequence[tuple[str, str]] = MODES, models: Sequence[str] = MODELS, *, rows: int = 4, limit: int | None = 4000
) -> Iterator[Row]:
    """The table, row by row: `rows` transactions each, at most `limit` cuts for each model (fewest losses first).

    Raises:
        UsageError: no such model.
        RecorderError: SQLite cannot be seen in this process.
    """
    for mode in modes:
        with Arena() as arena:
            run = _recorded(arena, mode, rows)
            for name in models:
                yield _counted(arena, mode, name, run, limit)


def _recorded(arena: Arena, mode: tuple[str, str], rows: int) -> _Run:
    history, acks = History(), []
    recorder = Recorder(arena.root, history, EMPTY)
    with recorder, closing(sqlite3.connect(arena.root / _DATABASE, isolation_level=None)) as connection:
        connection.execute(f"pragma journal_mode={mode[0]}")
        connection.execute(f"pragma synchronous={mode[1]}")
        connection.execute("create table t(id integer primary key, body text)")
        acks.append(history.add(Lane.USER, "ack", "open").seq)
        for number in range(rows):
            connection.execute("insert into t(body) values (?)", (f"row {number} " + "x" * 2000,))
            acks.append(history.add(Lane.USER, "ack", f"row {number}").seq)
            if number == rows // 2:
                connection.execute("pragma wal_checkpoint")  # the one moment at which a log can do harm; nothing without a log
        verify(recorder)
        recorder.kill()
    return _Run(history, tuple(acks), effective(history)[_DATABASE])


def _counted(arena: Arena, asked: tuple[str, str], name: str, run: _Run, limit: int | None) -> Row:
    """Open each distinct content once, and judge it at the last crash point of each cut that has it."""
    shown: dict[int, int | None] = {}
    worst: dict[int, int] = {}
    for cut in walk(build(EMPTY, run.history, model_named(name)), limit=limit):
        if cut.content not in shown:
            shown[cut.content] = _opened(arena, cut.image())
        worst[cut.content] = max(worst.get(cut.content, 0), _missing(cut, shown[cut.content], run))
    return Row(
        asked=asked,
        model=name,
        mode=run.mode,
        states=len(shown),
        lost=sum(1 for missing in worst.values() if missing),
        most=max(worst.values(), default=0),
        corrupt=sum(1 for found in shown.values() if found is None),
    )


def _missing(cut: State, found: int | None, run: _Run) -> int:
    acknowledged = sum(1 for ack in run.acks if ack <= cut.last)
    return 0 if found is None else max(0, acknowledged - found)


def _opened(arena: Arena, image: Image) -> int | None:
    """How much of what was acknowledged is there (the table counts as one); None if the database is corrupt."""
    arena.mount(image)
    try:
        with closing(sqlite3.connect(arena.root / _DATABASE, isolation_level=None)) as connection:
            if connection.execute("pragma integrity_check").fetchall() != [("ok",)]:
                return None
            if not connection.execute("select 1 from sqlite_master where name = 't'").fetchall():
                return 0
            found = [body for (body,) in connection.execute("select body from t order by id")]
    except sqlite3.DatabaseError:
        return None
    whole = all(body == f"row {number} " + "x" * 2000 for number, body in enumerate(found))
    return 1 + len(found) if whole else None


def render(table: Sequence[Row]) -> str:
    """The table as text, one line a row."""
    lines = ["journal   synchronous  model          states    lost  most  corrupt  verdict"]
    lines += [
        f"{row.asked[0]:8s}  {row.asked[1]:11s}  {row.model:13s}  {row.states:6d}  {row.lost:6d}  {row.most:4d}  {row.corrupt:7d}"
        f"  {row.verdict}" + ("" if _as_asked(row) else f" (in effect: {row.mode})")
        for row in table
    ]
    return "\n".join(lines)


def _as_asked(row: Row) -> bool:
    return (row.mode.journal, row.mode.synchronous) == row.asked
