"""A disk that fails under SQLite fails as SQLite says it does, and a store is told the truth about it."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing, suppress

import pytest

from pytest_durability.checkers.locked import left_locked
from pytest_durability.errors import RecorderError
from pytest_durability.faults import Schedule
from pytest_durability.history import Outcome
from pytest_durability.nemesis import Nemesis
from pytest_durability.world.disk.calls import CALLS
from pytest_durability.world.disk.sqlite.files import CALLBACKS
from pytest_durability.world.disk.sqlite.locks import held
from pytest_durability.world.disk.verify import verify

pytestmark = pytest.mark.usefixtures("patched")


def rows(connection):
    """How many rows are there."""
    return connection.execute("select count(*) from t").fetchone()[0]


@pytest.mark.parametrize(
    ("journal", "kind", "file", "error", "name"),
    [
        ("delete", "write", "state.db", "ENOSPC", "SQLITE_FULL"),
        ("delete", "write", "state.db", "EIO", "SQLITE_IOERR_WRITE"),
        ("delete", "write", "state.db-journal", "ENOSPC", "SQLITE_FULL"),
        ("delete", "create", "state.db-journal", "EACCES", "SQLITE_CANTOPEN"),
        ("delete", "fsync", "state.db", "EIO", "SQLITE_IOERR_FSYNC"),
        ("delete", "fsync", "state.db-journal", "EIO", "SQLITE_IOERR_FSYNC"),
        ("delete", "unlink", "state.db-journal", "EACCES", "SQLITE_IOERR_DELETE"),
        ("truncate", "truncate", "state.db-journal", "EIO", "SQLITE_IOERR_TRUNCATE"),
        ("wal", "write", "state.db-wal", "ENOSPC", "SQLITE_FULL"),
        ("wal", "fsync", "state.db-wal", "EIO", "SQLITE_IOERR_FSYNC"),
        ("delete", "lock", "state.db", "EBUSY", "SQLITE_BUSY"),
        ("delete", "lock", "state.db", "EIO", "SQLITE_IOERR_LOCK"),
        ("wal", "lock", "state.db", "EBUSY", "SQLITE_BUSY"),
        ("delete", "read", "state.db", "EIO", "SQLITE_IOERR_READ"),
    ],
)
def test_each_failure_has_its_sqlite_name(world, connect, journal, kind, file, error, name):
    """The statement raises with the code that the system's error gives, the row is not there, and the next one goes in."""
    connect(journal=journal).execute("create table t(a)")
    connection = connect(sync="full", journal=journal)
    mark = len(world.history)
    fault = world.disk.fail(kind, file, error)
    with pytest.raises(sqlite3.OperationalError) as caught:
        connection.execute("insert into t values (1)")
    assert (caught.value.sqlite_errorname, fault.fired) == (name, True)
    assert [(op.kind, op.note) for op in world.history[mark:] if op.outcome is Outcome.FAILED] == [(kind, error)]
    assert not connection.in_transaction
    assert rows(connection) == 0
    connection.execute("insert into t values (2)")
    assert rows(connection) == 1
    assert connection.execute("pragma integrity_check").fetchone() == ("ok",)
    world.disk.verify()


def test_a_disk_that_fills_up_takes_what_fits(world, connect):
    """A short write, then no room: SQLite says "full", and with room again the same row goes in."""
    connection = connect(journal="delete")
    connection.execute("create table t(a)")
    world.disk.fill(1000)
    with pytest.raises(sqlite3.OperationalError, match="database or disk is full"):
        connection.execute("insert into t values (1)")
    world.disk.fill(None)
    connection.execute("insert into t values (1)")
    assert rows(connection) == 1
    world.disk.verify()


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_a_lock_of_somebody_else_is_a_real_one(world, connect, journal):
    """A second connection holds the lock: the store is locked out at once, whatever it is willing to wait, then goes on."""
    connection = connect(journal=journal, timeout=60)
    connection.execute("create table t(a)")
    with world.disk.lock("state.db"), pytest.raises(sqlite3.OperationalError, match="database is locked"):
        connection.execute("insert into t values (1)")
    connection.execute("insert into t values (2)")
    assert rows(connection) == 1
    world.disk.verify()


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_an_injected_lock_outlasts_the_waiting(world, connect, journal):
    """One refused lock is refused until SQLite gives up, without waiting for real; another one is granted."""
    connection = connect(journal=journal, timeout=3600)
    connection.execute("create table t(a)")
    world.disk.fail("lock", "state.db", "EBUSY")
    with pytest.raises(sqlite3.OperationalError, match="database is locked"):
        connection.execute("insert into t values (1)")
    connection.execute("insert into t values (2)")
    assert rows(connection) == 1


@pytest.mark.parametrize("at", ["write:state.db:2", "write:state.db-wal:7", "fsync:state.db-wal:3", "lock:state.db:2"])
def test_a_schedule_names_places_of_sqlite(at, arena, record):
    """Faults that are data strike the k-th operation on a database as on any file."""
    nemesis = Nemesis(Schedule.parse(f"WriteError(at='{at}', error='EIO')"))
    recorder = record(gate=nemesis.gate)
    connection = sqlite3.connect(arena.root / "state.db", isolation_level=None, timeout=0)
    raised = []
    for statement in ("pragma journal_mode=wal", "create table t(a)", *["insert into t values (1)"] * 3, "pragma wal_checkpoint"):
        try:
            connection.execute(statement)
        except sqlite3.OperationalError as error:
            raised.append(error.sqlite_errorname)
    assert nemesis.unfired() == ()
    assert len(raised) == 1
    verify(recorder)
    recorder.kill()
    connection.close()


class Broken:
    """A gate that raises something that is no system error, at the first operation of one kind."""

    reads = frozenset({"read", "lock"})

    def __init__(self, kind, error):
        self.kind, self.error = kind, error

    def before(self, kind, path, size, recorder):
        """Raise once."""
        del path, size, recorder
        if kind == self.kind:
            self.kind = ""
            raise self.error


@pytest.mark.parametrize("kind", ["create", "write", "fsync", "fsync-dir", "truncate", "unlink", "read", "lock"])
def test_an_exception_in_a_callback_is_an_error_for_sqlite_and_raised_later(kind, arena, record):
    """Nothing is swallowed: SQLite is told that its disk failed, and the run ends with the exception."""
    error = ValueError("planted")
    recorder = record(gate=Broken(kind, error))
    with pytest.raises(sqlite3.OperationalError):
        _connect_and_create(arena.root / "state.db", "truncate" if kind == "truncate" else "delete")
    with pytest.raises(RecorderError, match="ValueError: planted") as caught:
        recorder.kill()
    assert caught.value.__cause__ is error


def _connect_and_create(path, journal):
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"pragma journal_mode={journal}")
        connection.execute("pragma synchronous=extra")
        connection.execute("create table t(a)")


def test_verify_raises_what_a_callback_could_not(arena, record):
    """Who only verifies, and never kills, is told as well; once."""
    recorder = record(gate=Broken("write", ValueError("planted")))
    connection = sqlite3.connect(arena.root / "state.db", isolation_level=None)
    with pytest.raises(sqlite3.OperationalError, match="disk I/O error"):
        connection.execute("create table t(a)")
    with pytest.raises(RecorderError, match="ValueError: planted"):
        verify(recorder)
    connection.execute("create table t(a)")
    verify(recorder)
    connection.close()


def test_ctrl_c_in_a_callback_comes_again(arena, record):
    """An interrupt while SQLite writes ends the statement by an error, and the run by the interrupt."""
    recorder = record(gate=Broken("write", KeyboardInterrupt()))
    connection = sqlite3.connect(arena.root / "state.db", isolation_level=None)
    with pytest.raises(sqlite3.OperationalError, match="disk I/O error"):
        connection.execute("create table t(a)")
    with pytest.raises(KeyboardInterrupt):
        recorder.kill()
    connection.close()


def test_an_exception_before_the_first_line_of_a_callback_is_told_too(arena, record, monkeypatch):
    """A profiler or a signal can raise where no `except` reaches; the lost write ends the run, though SQLite never knew."""
    code = CALLBACKS[0].write.__code__

    def strike(frame, event, _argument):
        if event == "call" and frame.f_code is code:
            sys.setprofile(None)
            raise ValueError("planted")

    recorder = record()
    monkeypatch.setattr(sys, "unraisablehook", CALLS.sqlite._unraisable)
    connection = sqlite3.connect(arena.root / "state.db", isolation_level=None)
    sys.setprofile(strike)
    with suppress(sqlite3.Error):  # it may notice what is missing
        connection.execute("create table t(a)")
    sys.setprofile(None)
    with pytest.raises(RecorderError, match="ValueError: planted"):
        recorder.kill()
    connection.close()


@pytest.mark.parametrize(("journal", "lock"), [("wal", "log"), ("delete", "reserved"), ("delete", "exclusive")])
def test_a_lock_that_is_held_is_seen_from_outside(world, connect, journal, lock):
    """Each way to keep writers out is named, and asking changes nothing; a reader keeps nobody out."""
    connection = connect(journal=journal)
    connection.execute("create table t(a)")
    connection.execute("begin")
    rows(connection)
    assert held(world.root) == ()
    connection.execute("commit")
    connection.execute(f"begin {'exclusive' if lock == 'exclusive' else 'immediate'}")
    mark = len(world.history)
    assert [str(one) for one in held(world.root)] == [f"state.db: {lock} lock"]
    assert len(world.history) == mark
    other = connect()
    with pytest.raises(sqlite3.OperationalError, match="database is locked"):
        other.execute("insert into t values (1)")
    connection.execute("rollback")
    assert held(world.root) == ()
    other.execute("insert into t values (1)")


@pytest.mark.parametrize("tidy", [True, False])
def test_a_store_that_leaves_its_transaction_open_is_found(world, connect, tidy):
    """After a failed commit the store that forgets its rollback locks everybody out; the one that does not is clean."""
    connection = connect(journal="delete")
    connection.execute("create table t(a)")
    before = [str(one) for one in held(world.root)]
    connection.execute("begin immediate")
    connection.execute("insert into t values (1)")
    reader = connect()
    reader.execute("begin")
    rows(reader)
    with pytest.raises(sqlite3.OperationalError, match="database is locked"):
        connection.execute("commit")
    reader.execute("commit")
    if tidy:
        connection.execute("rollback")
    found = left_locked(before, [str(one) for one in held(world.root)], "append", witness=7, site="store.py:3")
    if tidy:
        assert found is None
    else:
        assert found.identity == ("LeftLocked", "raised", "store.py:3")
        assert "append raised and left a lock behind: state.db: " in found.summary
