"""There are two ways to see what SQLite does, a refusal where neither goes, and no trace afterwards."""

from __future__ import annotations

import sqlite3
import subprocess
import sys

import pytest

from pytest_durability.errors import RecorderError, UnsupportedError
from pytest_durability.history import Lane
from pytest_durability.world.disk.sqlite import native, tap
from pytest_durability.world.world import open_world


@pytest.mark.parametrize("mode", ["patch", "register"])
def test_both_ways_in_see_the_same(mode, monkeypatch):
    """Where the connection's memory is not known, a VFS of our own is registered, and the history is the same."""
    library = native.locate(mode)
    other = tap.Tap(library)
    monkeypatch.setattr(tap, "_found", [other])
    with open_world() as world:
        assert world.disk.sqlite.startswith(f"{mode}: SQLite {sqlite3.sqlite_version}")
        connection = sqlite3.connect(world.root / "state.db", isolation_level=None)
        connection.execute("create table t(a)")
        connection.execute("insert into t values (1)")
        connection.close()
        kinds = [op.kind for op in world.history.lane(Lane.DISK)]
        assert kinds.count("unlink") == kinds.count("fsync-dir") == 2
        world.disk.verify()


def test_a_python_without_a_known_sqlite_is_refused_by_name(monkeypatch):
    """Where SQLite cannot be seen the world says why, and a database below the root is not explained."""
    monkeypatch.setattr("sys.platform", "plan9")
    monkeypatch.setattr(native, "_functions", lambda _path: None)
    with pytest.raises(UnsupportedError, match=r"patch: memory cannot be checked.*; register: this build of sqlite3 hides"):
        native.locate()
    monkeypatch.undo()
    monkeypatch.setattr(tap, "_found", [UnsupportedError("no SQLite here")])
    with open_world() as world:
        assert world.disk.sqlite == "not seen: no SQLite here"
        connection = sqlite3.connect(world.root / "state.db")
        connection.execute("create table t(a)")
        with pytest.raises(RecorderError, match=r"state\.db: .*not recorded \(no SQLite here\)"):
            world.disk.verify()
        connection.close()


def test_a_connection_left_open_goes_on_after_the_world():
    """When the world is closed, SQLite is as it was, and a connection that a test kept still works in its unlinked file."""
    with open_world() as world:
        connection = sqlite3.connect(world.root / "state.db", isolation_level=None)
        connection.execute("create table t(a)")
    assert connection.execute("select count(*) from t").fetchone() == (0,)
    connection.close()


LEFT_OPEN = """
import ctypes, sqlite3, sys, threading
from pytest_durability.world.disk.sqlite import native, tap
from pytest_durability.world.world import open_world

tap._found.append(tap.Tap(native.locate(sys.argv[1])))
kept, ready, never = [], threading.Event(), threading.Event()

def work(root):
    connection = sqlite3.connect(root / "thread.db", isolation_level=None)
    connection.execute("pragma journal_mode=wal")
    connection.execute("create table t(a)")
    connection.execute("begin immediate")
    connection.execute("insert into t values (1)")
    ready.set()
    never.wait()

world = open_world()
opened = world.__enter__()
for journal in ("wal", "delete"):
    connection = sqlite3.connect(opened.root / f"{journal}.db", isolation_level=None)
    connection.execute(f"pragma journal_mode={journal}")
    connection.execute("create table t(a)")
    connection.execute("begin immediate")
    connection.execute("insert into t values (1)")
    kept.append(connection)
    sys.modules["kept_" + journal] = connection  # modules are cleared late, when callbacks cannot run any more
ctypes.pythonapi.Py_IncRef(ctypes.py_object(world))  # nothing but the end of the process closes it
threading.Thread(target=work, args=(opened.root,), daemon=True).start()
ready.wait()
if sys.argv[2] == "killed":
    opened.disk.crash()
elif sys.argv[2] == "closed":
    world.__exit__(None, None, None)
print("end", len(opened.history) > 20)
"""


@pytest.mark.parametrize("mode", ["patch", "register"])
@pytest.mark.parametrize("end", ["open", "killed", "closed"])
def test_connections_may_be_open_when_the_interpreter_ends(mode, end):
    """With open transactions, in threads too, the process ends with status 0 and says nothing."""
    done = subprocess.run([sys.executable, "-c", LEFT_OPEN, mode, end], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "end True\n", "")
