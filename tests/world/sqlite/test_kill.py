"""A killed life holds connections, locks and names; none of it reaches the next life at the same path."""

from __future__ import annotations

import gc
import sqlite3
import warnings
from contextlib import suppress

import pytest

from pytest_durability.history import Lane
from pytest_durability.world.disk.verify import verify

pytestmark = pytest.mark.usefixtures("patched")

JOURNALS = ("wal", "delete", "truncate", "persist")


def opened(root, journal=None):
    """A connection to the one database, without waiting."""
    connection = sqlite3.connect(root / "state.db", isolation_level=None, timeout=0)
    if journal:
        connection.execute(f"pragma journal_mode={journal}")
    return connection


@pytest.fixture(params=JOURNALS)
def killed(request, arena, record):
    """One row is committed, a second one is in an open transaction, and the life is dead: arena, its recorder, the connection."""
    recorder = record()
    connection = opened(arena.root, request.param)
    connection.execute("create table t(a)")
    connection.execute("insert into t values ('kept')")
    connection.execute("pragma cache_size=1")
    connection.execute("begin immediate")
    connection.execute("insert into t values (?)", ("lost" * 20_000,))
    recorder.kill()
    held = [connection]
    del connection
    return arena, recorder, held


def test_the_dead_hold_no_lock(killed, record):
    """The next life writes at once, though the dead connection never ended its transaction."""
    arena, recorder, held = killed
    following = record(recorder.tree.image())
    connection = opened(arena.root)
    assert connection.execute("select * from t").fetchall() == [("kept",)]
    connection.execute("insert into t values ('new')")
    verify(following)
    following.kill()
    held.pop().close()
    connection.close()


def test_the_files_stay_as_the_kill_left_them(killed):
    """A commit of the dead writes nothing, also while the next life has not opened the database yet."""
    arena, recorder, held = killed
    with suppress(sqlite3.Error):
        held[0].execute("commit")
    with suppress(sqlite3.Error):
        held[0].execute("pragma wal_checkpoint(truncate)")
    verify(recorder)
    held.pop().close()
    verify(recorder)
    assert (arena.root / "state.db").exists()


@pytest.mark.filterwarnings("ignore:unclosed database:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("last", ["commit", "rollback", "close", "drop"])
def test_what_the_dead_still_do_reaches_nobody(killed, record, last):
    """A commit, a rollback, a close or the end of a dead connection changes no byte of the next life, and is not recorded."""
    arena, recorder, held = killed
    following = record(recorder.tree.image())
    connection = opened(arena.root)
    connection.execute("insert into t values ('new')")
    mark = len(following.history)
    with suppress(sqlite3.Error):  # whatever it is told: nobody lives to hear it
        if last in ("commit", "rollback"):
            held[0].execute(last)
        elif last == "close":
            held[0].close()
    held.clear()
    gc.collect()
    assert len(following.history) == mark
    assert connection.execute("select * from t").fetchall() == [("kept",), ("new",)]
    assert connection.execute("pragma integrity_check").fetchone() == ("ok",)
    connection.execute("insert into t values ('newer')")
    verify(following)
    following.kill()
    connection.close()


def test_a_dead_connection_begins_nothing(arena, record):
    """A connection without a transaction gets no lock after its death, so that it opens no journal by its old name."""
    recorder = record()
    dead = opened(arena.root, "delete")
    dead.execute("create table t(a)")
    recorder.kill()
    following = record(recorder.tree.image())
    with pytest.raises(sqlite3.OperationalError, match="disk I/O error"):
        dead.execute("insert into t values ('ghost')")
    assert list(following.history) == []
    verify(following)
    following.kill()
    dead.close()


def test_a_transaction_begun_alive_opens_no_journal_dead(arena, record):
    """A dead connection with a lock but no journal yet cannot make one in the next life's directory."""
    recorder = record()
    dead = opened(arena.root, "delete")
    dead.execute("create table t(a)")
    dead.execute("begin immediate")
    recorder.kill()
    following = record(recorder.tree.image())
    with pytest.raises(sqlite3.OperationalError, match="unable to open database file"):
        dead.execute("insert into t values ('ghost')")
    dead.close()
    assert list(following.history) == []
    verify(following)
    following.kill()


def test_lives_are_finalised_with_the_root_gated_shut(arena, record):
    """What a buried life closes at last, even while nothing is recorded, removes no file of the living."""
    recorder = record()
    connection = opened(arena.root, "wal")
    connection.execute("create table t(a)")
    recorder.kill()
    arena.bury([connection])
    del connection
    following = record(recorder.tree.image())
    alive = opened(arena.root)
    alive.execute("insert into t values (1)")
    following.stop()
    arena.bury_all()
    assert (arena.root / "state.db-wal").stat().st_size > 0
    verify(following)
    following.kill()
    alive.close()


class Unclosed:
    """Warns as connections do that nobody closed."""

    def __del__(self):
        warnings.warn("unclosed", ResourceWarning, stacklevel=1)


def test_the_dead_are_not_reproached_for_what_they_left_open(arena, recwarn):
    """A killed process closes nothing, so no warning tells a user to close it."""
    warnings.simplefilter("always")
    arena.bury(Unclosed())
    arena.bury_all()
    assert list(recwarn) == []


def test_a_clean_close_before_the_kill_is_recorded(arena, record):
    """The last connection moves its log into the database and removes it: all of it in the history."""
    recorder = record()
    connection = opened(arena.root, "wal")
    connection.execute("create table t(a)")
    connection.close()
    kinds = [f"{op.kind} {op.target}" for op in recorder.history.lane(Lane.DISK)]
    assert kinds[-4:] == ["fsync state.db", "close state.db-wal", "unlink state.db-wal", "close state.db"]
    verify(recorder)
    recorder.kill()
