"""What the gate says of stores in SQLite: a lock that is left behind, a database that is damaged, and sound stores."""

from __future__ import annotations

import sqlite3

import pytest

from pytest_durability import Append, Message, Promise
from pytest_durability.explore.gate import check
from pytest_durability.explore.settings import Context
from pytest_durability.explore.sweep import sweep
from pytest_durability.report.difference import difference
from pytest_durability.report.text import summary
from pytest_durability.verdict import Anomaly, LeftLocked, Unloadable, Verdict


@pytest.fixture
def context(tmp_path):
    """Cases are saved below the temporary directory of the test."""
    return Context(directory=tmp_path / "cases")


class Database:
    """One row a message, one transaction a row; what fails is rolled back."""

    promise = Promise(acknowledged="power-loss")
    journal, synchronous = "DELETE", "EXTRA"

    def open(self, world):
        db = sqlite3.connect(world.root / "state.db", isolation_level=None)
        db.execute(f"PRAGMA journal_mode = {self.journal}")
        db.execute(f"PRAGMA synchronous = {self.synchronous}")
        db.execute("CREATE TABLE IF NOT EXISTS messages (id INTEGER PRIMARY KEY, role, text)")
        return db

    def append(self, db, message):
        db.execute("BEGIN IMMEDIATE")
        try:
            db.execute("INSERT INTO messages (role, text) VALUES (?, ?)", (message.role, message.text))
            self.hand_over(message)
            db.execute("COMMIT")
        except BaseException:
            self.undo(db)
            raise

    def hand_over(self, message):
        """Something that may fail while the transaction is open."""

    def undo(self, db):
        db.execute("ROLLBACK") if db.in_transaction else None

    def transcript(self, db):
        return [Message(*row) for row in db.execute("SELECT role, text FROM messages ORDER BY id")]


class KeepsOpen(Database):
    """A failure leaves the transaction open."""

    def open(self, world):
        self.root = world.root
        return super().open(world)

    def hand_over(self, message):
        with open(self.root / "outbox", "a") as file:
            file.write(message.text)

    def undo(self, db):
        pass


class RollsBack(KeepsOpen):
    """The same, with a rollback."""

    undo = Database.undo


class Scribbles(Database):
    """Writes over the root page of an index behind SQLite's back: the rows can be read all the same."""

    def open(self, world):
        self.root = world.root
        db = super().open(world)
        db.execute("CREATE INDEX IF NOT EXISTS texts ON messages (text)")
        return db

    def append(self, db, message):
        super().append(db, message)
        [[page]] = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'texts'")
        with open(self.root / "state.db", "r+b") as file:
            file.seek((page - 1) * 4096 + 3)
            file.write(b"\0\0")


def raised(adapter, context, **options):
    """The anomalies of a check."""
    try:
        check(adapter, context=context, seed=1, **options)
    except Anomaly as anomaly:
        return [anomaly]
    except ExceptionGroup as group:
        return list(group.exceptions)
    return []


def test_a_transaction_that_stays_open_is_found(context):
    """Something fails between BEGIN and COMMIT, the store raises, and nobody else can write from then on."""
    found = raised(KeepsOpen, context, models=["process-kill"], max_examples=2)
    assert [type(anomaly) for anomaly in found] == [LeftLocked]
    assert "state.db: reserved lock" in found[0].summary


@pytest.mark.parametrize("adapter", [Database, RollsBack])
def test_a_store_that_rolls_back_passes(adapter, context):
    """Under failing writes, full disks and kills, and with a second connection."""
    assert check(adapter, context=context, seed=1, models=["process-kill", "strict"], max_examples=6).verdict is Verdict.VALID


def test_a_damaged_database_is_told(context):
    """SQLite's own check counts, although every row can be read."""
    with pytest.raises(Unloadable, match="DatabaseDamaged"):
        sweep(Scribbles, [Append("user", "one")], models=["process-kill"], depth=1, context=context)


def test_the_modes_in_force_are_told(context):
    """As SQLite ran, in the report of a search, of a sweep and of a finding."""

    class Quick(Database):
        journal, synchronous = "WAL", "OFF"

    report = sweep(Database, [Append("user", "one")], models=["process-kill"], depth=1, context=context)
    assert report.databases == ("state.db: journal_mode=delete, synchronous=extra",)
    assert "SQLite ran with state.db: journal_mode=delete, synchronous=extra" in summary(report)
    with pytest.raises(ExceptionGroup) as found:
        sweep(Quick, [Append("user", "one"), Append("user", "two")], models=["posix"], depth=1, context=context)
    told = "SQLite ran with state.db: journal_mode=wal, synchronous=off"
    assert all(told in difference(anomaly.result) for anomaly in found.value.exceptions)


def test_what_was_taken_back_does_not_count_as_there(context):
    """Its bytes are in pages that the database does not use: the commit is lost, and not merely out of sight."""

    class Late(Database):
        journal, synchronous = "WAL", "NORMAL"

    found = raised(Late, context, models=["posix"], faults=["Crash"], max_examples=4)
    assert {type(anomaly).__name__ for anomaly in found} == {"LostAcknowledged"}
