"""The mode that a database is in is read from what SQLite did, and each mode keeps what SQLite's documents say it keeps."""

from __future__ import annotations

import sqlite3
import subprocess
import sys

import pytest

from pytest_durability.world.disk.sqlite.modes import effective
from pytest_durability.world.disk.sqlite.table import measure, render

pytestmark = pytest.mark.usefixtures("patched")


@pytest.mark.parametrize("journal", ["wal", "delete", "truncate", "persist"])
@pytest.mark.parametrize("sync", ["off", "normal", "full", "extra"])
def test_the_effective_mode_is_read_back(world, connect, journal, sync):
    """What was set is what is seen, but where SQLite does the same for two levels."""
    connection = connect(journal=journal, sync=sync)
    connection.execute("create table t(a)")
    connection.execute("insert into t values (1)")
    seen = effective(world.history)["state.db"]
    same = "full" if sync == "extra" and journal != "delete" else sync
    assert (seen.journal, seen.synchronous, seen.transactions) == (journal, same, 2)


def test_a_mode_that_did_not_take_is_seen(world, connect):
    """A store that asks for a log while a transaction is open keeps its journal, whatever it believes."""
    connection = connect(journal="delete", sync="full")
    connection.execute("create table t(a)")
    reader = connect()
    reader.execute("begin")
    reader.execute("select * from t").fetchall()
    with pytest.raises(sqlite3.OperationalError, match="database is locked"):
        connection.execute("pragma journal_mode=wal")
    reader.execute("commit")
    connection.execute("insert into t values (1)")
    assert str(effective(world.history)["state.db"]) == "journal_mode=delete, synchronous=full"


def test_a_later_mode_counts(world, connect):
    """A database that moves to a log is in that mode from then on; one without a journal is told as such."""
    connection = connect(journal="delete", sync="full")
    connection.execute("create table t(a)")
    connection.execute("pragma journal_mode=wal")
    connection.execute("pragma synchronous=normal")
    connection.execute("insert into t values (1)")
    connect("other.db", journal="memory").execute("create table t(a)")
    assert {path: str(mode) for path, mode in effective(world.history).items()} == {
        "state.db": "journal_mode=wal, synchronous=normal",
        "other.db": "journal_mode=none, synchronous=unknown",
    }


KNOWN = {
    ("wal", "full"): ("keeps all", "keeps all", "keeps all"),
    ("wal", "normal"): ("keeps all", "loses", "loses"),
    ("wal", "off"): ("keeps all", "corrupts", "corrupts"),
    ("delete", "extra"): ("keeps all", "keeps all", "keeps all"),
    ("delete", "full"): ("keeps all", "loses", "loses"),
    ("delete", "off"): ("keeps all", "corrupts", "corrupts"),
}
"""By mode: the answers under strict, ext4-delalloc and posix, from SQLite's documents (see `table`)."""


@pytest.mark.parametrize("mode", KNOWN, ids="+".join)
def test_each_mode_keeps_what_its_documents_say(mode):
    """The documented answers come out, FULL with a deleted journal loses the last commit only, and no bound hid a state."""
    found = list(measure([mode], ("strict", "ext4-delalloc", "posix"), rows=3, limit=500))
    assert tuple(row.verdict for row in found) == KNOWN[mode]
    assert all((row.mode.journal, row.mode.synchronous) == mode for row in found)
    assert min(row.states for row in found) > 20
    if mode == ("delete", "full"):
        assert {row.most for row in found} == {0, 1}


def test_the_table_can_be_read():
    """One line a mode and model, with the number of states and a word."""
    (row,) = measure([("wal", "full")], ("strict",), rows=1)
    lines = render([row]).splitlines()
    assert lines[0].split() == ["journal", "synchronous", "model", "states", "lost", "most", "corrupt", "verdict"]
    assert lines[1].split() == ["wal", "full", "strict", str(row.states), "0", "0", "0", "keeps", "all"]


def test_a_command_prints_the_table():
    """Anybody can ask what their own SQLite keeps."""
    command = [sys.executable, "-m", "pytest_durability.world.disk.sqlite", "--rows", "1", "--limit", "5", "--models", "strict"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert f"SQLite {sqlite3.sqlite_version}" in done.stdout
    assert done.stdout.count("strict") == 6
