"""What SQLite does with its files stands in the one history, like what the program does with its own."""

from __future__ import annotations

import os
import sqlite3
import threading

import pytest

from pytest_durability.errors import RecorderError
from pytest_durability.history import History
from pytest_durability.world.arena import Arena
from pytest_durability.world.disk.image import EMPTY
from pytest_durability.world.disk.recorder import Recorder
from pytest_durability.world.disk.verify import verify
from pytest_durability.world.world import open_world

pytestmark = pytest.mark.usefixtures("patched")


def since(world, mark):
    """Kind and target of the ops after op `mark`."""
    return [f"{op.kind} {op.target}".rstrip() for op in world.history[mark:]]


def test_a_transaction_with_a_journal_is_recorded_to_the_last_sync(world, connect):
    """EXTRA: journal, its sync and its directory's, header, sync, pages, sync, and the journal's name gone for good."""
    connection = connect(journal="delete", sync="extra")
    connection.execute("create table t(a)")
    mark = len(world.history)
    connection.execute("insert into t values (1)")
    assert since(world, mark) == [
        "create state.db-journal",
        *["write state.db-journal"] * 7,
        "fsync state.db-journal",
        "fsync-dir",
        "write state.db-journal",
        "fsync state.db-journal",
        *["write state.db"] * 2,
        "fsync state.db",
        "close state.db-journal",
        "unlink state.db-journal",
        "fsync-dir",
    ]
    world.disk.verify()


def test_a_transaction_with_a_log_is_one_frame_and_one_sync(world, connect):
    """WAL and FULL: a header and a page for each frame, then the sync of the log; the directory is synced with the log's first."""
    connection = connect(journal="wal", sync="full")
    connection.execute("create table t(a)")
    assert since(world, 0).count("fsync-dir") == 2
    mark = len(world.history)
    connection.execute("insert into t values (1)")
    assert since(world, mark) == [*["write state.db-wal"] * 2, "fsync state.db-wal"]
    world.disk.verify()


def test_an_op_names_the_line_of_the_store(world, connect):
    """The site is the line that ran the statement, though SQLite stands between."""
    connection = connect()
    connection.execute("create table t(a)")
    assert {op.site.partition(":")[0] for op in world.history} <= {
        "tests/world/sqlite/test_tap.py",
        "tests/world/sqlite/conftest.py",
    }
    assert world.history[-1].site.startswith("tests/world/sqlite/test_tap.py:")


def test_what_is_not_below_the_root_is_left_alone(world, tmp_path):
    """`:memory:`, temporary databases and databases elsewhere leave no op."""
    for name in (":memory:", "", str(tmp_path / "other.db")):
        connection = sqlite3.connect(name)
        connection.execute("create temp table u(a)")
        connection.execute("create table t(a)")
        connection.commit()
        connection.close()
    assert list(world.history) == []


def test_attached_databases_commit_together(world, connect):
    """A transaction over two databases has a super-journal, and everything of both is recorded."""
    connection = connect("a.db", isolation_level=None)
    connection.execute("attach ? as other", (str(world.root / "b.db"),))
    connection.execute("create table t(a)")
    connection.execute("create table other.u(a)")
    mark = len(world.history)
    connection.execute("begin")
    connection.execute("insert into t values (1)")
    connection.execute("insert into other.u values (1)")
    connection.execute("commit")
    seen = since(world, mark)
    assert {"write a.db", "write b.db", "unlink a.db-journal", "unlink b.db-journal"} <= set(seen)
    assert any(what.startswith("unlink a.db-mj") for what in seen), "the commit point of both is the super-journal's end"
    world.disk.verify()


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_threads_write_one_log(world, journal, connect):
    """Four threads with a connection each: the log explains the directory, and no row is lost."""
    connect(journal=journal).execute("create table t(a)")

    def work(number):
        connection = sqlite3.connect(world.root / "state.db", timeout=30, isolation_level=None)
        for _ in range(5):
            connection.execute("begin immediate")
            connection.execute("insert into t values (?)", (number,))
            connection.execute("commit")
        connection.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert connect().execute("select count(*) from t").fetchone() == (20,)
    world.disk.verify()


@pytest.mark.parametrize("pragma", ["mmap_size=1000000", "page_size=1024", "locking_mode=exclusive", "auto_vacuum=full"])
@pytest.mark.parametrize("journal", ["wal", "delete", "truncate", "persist"])
def test_the_log_explains_the_directory_whatever_is_set(world, connect, pragma, journal):
    """Memory maps, page sizes, locks and journals change how SQLite writes, and all of it is seen."""
    connection = connect()
    connection.execute(f"pragma {pragma}")
    connection.execute(f"pragma journal_mode={journal}")
    connection.execute("create table t(a)")
    connection.executemany("insert into t values (?)", [("x" * 3000,)] * 20)
    connection.execute("delete from t where rowid > 2")
    connection.execute("vacuum")
    connection.execute("pragma wal_checkpoint(truncate)")
    world.disk.verify()
    connection.close()
    world.disk.verify()


def test_a_memory_mapped_database_grows_in_the_log_too(world, connect):
    """With a map, SQLite lengthens the file before it writes the pages; that is a truncate in the history."""
    connection = connect()
    connection.execute("pragma mmap_size=1000000")
    connection.execute("create table t(a)")
    connection.execute("insert into t values (?)", ("x" * 50_000,))
    assert "truncate state.db" in since(world, 0)
    world.disk.verify()


def test_the_program_may_handle_the_files_too(world, connect):
    """A database that the program copies, renames and removes with `os` is the same file in the history."""
    connection = connect(journal="delete")
    connection.execute("create table t(a)")
    connection.close()
    os.rename(world.root / "state.db", world.root / "moved.db")
    moved = connect("moved.db")
    moved.execute("insert into t values (1)")
    moved.close()
    world.disk.verify()
    os.unlink(world.root / "moved.db")
    assert since(world, 0)[-1] == "unlink moved.db"
    world.disk.verify()


def test_shared_memory_is_no_part_of_any_state(world, connect):
    """`-shm` is on disk while a log is in use, and in no crash state."""
    connect(journal="wal").execute("create table t(a)")
    assert (world.root / "state.db-shm").exists()
    assert not any("state.db-shm" in state.files for state in world.disk.crash_states("posix"))
    world.disk.verify()


def test_a_database_from_before_the_recording_is_told(world):
    """A connection that was opened while nobody recorded writes unseen, and `verify` says so."""
    recorder = world.disk._recorder
    recorder.stop()
    connection = sqlite3.connect(world.root / "early.db")
    recorder.start()
    connection.execute("create table t(a)")
    with pytest.raises(RecorderError, match=r"early\.db: nothing recorded, .*SQLite database: not recorded"):
        world.disk.verify()
    connection.close()
    os.unlink(world.root / "early.db")


def test_equal_runs_write_equal_bytes():
    """The salts of logs and journals come from the world's seed."""

    def run():
        with open_world(seed=3) as world:
            connection = sqlite3.connect(world.root / "state.db", isolation_level=None)
            connection.execute("pragma journal_mode=wal")
            connection.execute("create table t(a)")
            found = (world.root / "state.db-wal").read_bytes()
            connection.close()
            return found

    assert run() == run()


def test_the_time_of_sqlite_is_the_time_of_python(world, connect, monkeypatch):
    """A clock that a test sets is set for CURRENT_TIMESTAMP as well."""
    monkeypatch.setattr("time.time", lambda: 86_400.0)
    assert connect().execute("select current_timestamp, 1").fetchone() == ("1970-01-02 00:00:00", 1)


def test_a_second_recorder_sees_what_is_opened_under_it():
    """Each recorder has its own connections; those of one that stopped write unseen."""
    with Arena() as arena:
        first = Recorder(arena.root, History(), EMPTY)
        with first:
            old = sqlite3.connect(arena.root / "a.db", isolation_level=None)
            old.execute("create table t(a)")
        second = Recorder(arena.root, History(), first.tree.image())
        with second:
            new = sqlite3.connect(arena.root / "b.db", isolation_level=None)
            new.execute("create table t(a)")
            assert {op.target for op in second.history} == {"b.db", "b.db-journal", ""}
        verify(second)
        old.close()
        new.close()
