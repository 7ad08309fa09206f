"""A crash leaves databases and files together, SQLite itself decides what a database is then, and a dump says what it holds."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing

import pytest

from pytest_durability import Message, Promise
from pytest_durability.explore.sweep import sweep
from pytest_durability.verdict import LostAcknowledged
from pytest_durability.world.disk.difference import changes
from pytest_durability.world.disk.image import File, Image, snapshot
from pytest_durability.world.disk.sqlite import databases as module
from pytest_durability.world.disk.sqlite.databases import contents, damage, damage_of, databases, logical

pytestmark = pytest.mark.usefixtures("patched")


def add(world, connection, number, *, careful):
    """Append a line to a log, and its place to an index in SQLite; the careful one syncs the line first."""
    with (world.root / "log.jsonl").open("ab") as file:
        place = file.tell()
        file.write(json.dumps({"number": number}).encode() + b"\n")
        if careful:
            file.flush()
            os.fsync(file.fileno())
    connection.execute("insert into lines values (?, ?)", (number, place))


def dangling(root):
    """The entries of the index that lead to no line; None if there is no index yet."""
    log = root / "log.jsonl"
    held = log.read_bytes() if log.exists() else b""
    with closing(sqlite3.connect(root / "index.db")) as connection:
        assert connection.execute("pragma integrity_check").fetchone() == ("ok",)
        try:
            found = connection.execute("select number, place from lines").fetchall()
        except sqlite3.OperationalError:
            return None
    return [number for number, place in found if not held[place:].startswith(json.dumps({"number": number}).encode())]


@pytest.mark.parametrize("model", ["process-kill", "ext4-delalloc", "posix"])
@pytest.mark.parametrize("careful", [True, False])
def test_one_crash_spans_a_database_and_the_files_beside_it(world, connect, model, careful):
    """An index that is durable before what it points to dangles after a power cut, and only then."""
    connection = connect("index.db", journal="wal", sync="full")
    connection.execute("create table lines(number integer primary key, place integer)")
    if careful:
        descriptor = os.open(world.root / "log.jsonl", os.O_CREAT | os.O_WRONLY)
        os.fsync(descriptor)
        os.close(descriptor)
        folder = os.open(world.root, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
    for number in range(3):
        add(world, connection, number, careful=careful)
    found = []
    for state in world.disk.crash_states(model):
        with state.mounted() as root:
            found.append(dangling(root))
    assert [] in found
    assert any(found) == (not careful and model != "process-kill")


def test_a_crash_kills_the_connection_and_keeps_what_was_synced(world, connect):
    """`world.disk.crash` mounts one state, a reopen shows the acknowledged rows, and recording goes on."""
    connection = connect(journal="wal", sync="full")
    connection.execute("create table t(a)")
    connection.execute("insert into t values (1)")
    connection.execute("begin immediate")
    connection.execute("insert into t values (2)")
    world.disk.crash("posix")
    again = connect()
    assert again.execute("select a from t").fetchall() == [(1,)]
    again.execute("insert into t values (3)")
    world.disk.verify()
    assert len(list(world.disk.crash_states("posix"))) > 1


class Notes:
    """A session store in one table; the class attributes set what a power cut can take."""

    promise = Promise(acknowledged="power-loss", filesystems=("ext4-delalloc", "posix"))
    journal, sync = "wal", "full"

    def open(self, world):
        connection = sqlite3.connect(world.root / "notes.db", isolation_level=None)
        connection.execute(f"pragma journal_mode={self.journal}")
        connection.execute(f"pragma synchronous={self.sync}")
        connection.execute("create table if not exists m(id integer primary key, role text, body text)")
        return connection

    def append(self, connection, message):
        connection.execute("insert into m(role, body) values (?, ?)", (message.role, message.text))

    def transcript(self, connection):
        return [Message(role, body) for role, body in connection.execute("select role, body from m order by id")]


class Hasty(Notes):
    """Not durable: the log is synced only when it is moved into the database."""

    sync = "normal"


class Old(Notes):
    """Durable but for the last commit, whose journal may come back."""

    journal = "delete"


class OldAndExtra(Old):
    """Durable."""

    sync = "extra"


@pytest.mark.parametrize("adapter", [Notes, OldAndExtra])
def test_a_durable_store_in_sqlite_passes_a_sweep(adapter):
    """Every crash state, and every crash during SQLite's own recovery of each: nothing is lost, nothing heals twice."""
    report = sweep(adapter, models="process-kill,ext4-delalloc,posix")
    assert report.portability == ()
    assert min(model.states for model in report.models) > 15
    assert min(model.deeper for model in report.models) > 15


@pytest.mark.parametrize(("adapter", "lost_by"), [(Hasty, "write notes.db-wal 4096 B"), (Old, "unlink notes.db-journal")])
def test_a_store_in_a_weaker_mode_fails_a_sweep(adapter, lost_by):
    """What the mode does not promise is found, and told with SQLite's own operations."""
    with pytest.raises((LostAcknowledged, ExceptionGroup)) as caught:
        sweep(adapter, models="ext4-delalloc")
    found = getattr(caught.value, "exceptions", [caught.value])
    (lost,) = (error for error in found if isinstance(error, LostAcknowledged))
    assert f"{lost_by} was lost" in str(lost)


def made(folder, *statements, journal="delete"):
    """The image of a new database after these statements, with the connection still open."""
    with closing(sqlite3.connect(folder / "a.db", isolation_level=None)) as connection:
        connection.execute(f"pragma journal_mode={journal}")
        for statement in statements:
            connection.execute(statement)
        return snapshot(folder)


def test_equal_databases_are_no_change(tmp_path):
    """Other bytes, other pages, a log instead of none: the same tables with the same rows are the same database."""
    for name in ("one", "two", "three"):
        (tmp_path / name).mkdir()
    rows = ("create table t(a)", "insert into t values ('x')")
    one = made(tmp_path / "one", *rows)
    two = made(tmp_path / "two", *rows, "insert into t values ('y')", "delete from t where a = 'y'", "vacuum")
    three = made(tmp_path / "three", *rows, journal="wal")
    assert one.data()["a.db"] != two.data()["a.db"] != three.data()["a.db"]
    assert changes(one, two) == changes(one, three) == changes(three, two) == ()


def test_another_row_is_a_change_wherever_it_stands(tmp_path):
    """A row in the log alone changes the database, though its file is the same."""
    before = made(tmp_path, "create table t(a)", journal="wal")
    after = made(tmp_path, "insert into t values ('x')", journal="wal")
    same_file = Image(
        tuple(File(f.path, before.data().get("a.db", b"") if f.path == "a.db" else f.data, f.ino) for f in after.files)
    )
    assert [change.path for change in changes(before, after)] == ["a.db"]
    assert logical(before.data(), "a.db") != logical(after.data(), "a.db")
    assert logical(same_file.data(), "a.db") is not None


def test_a_file_that_only_looks_like_a_journal_is_compared():
    """`-journal` is left out beside a database only."""
    alone = Image((File("x-journal", b"1", 1),))
    assert [change.path for change in changes(Image(), alone)] == ["x-journal"]


def test_damage_is_what_sqlite_says(tmp_path):
    """A healthy database is none; a broken page, a lost header and a file that is no database are told by their path."""
    image = made(tmp_path, "create table t(a)", "create index i on t(a)", *["insert into t values (randomblob(900))"] * 20)
    assert databases(image) == ("a.db",)
    assert damage_of(image) == damage(tmp_path, ("a.db", "absent.db")) == ()
    whole = image.data()["a.db"]
    for broken in (whole[:8192] + bytes(4096) + whole[12288:], whole[:4096], b"x" * 4096):
        hurt = Image((File("a.db", broken, 1),))
        assert len(damage_of(hurt, ("a.db",))) == 1
        assert damage_of(hurt, ("a.db",))[0].startswith("a.db: ")
    assert logical({"a.db": b"x" * 4096}, "a.db") is None


def test_sqlite_is_asked_once_about_the_same_bytes(tmp_path, monkeypatch):
    """Whatever is beside a database counts as much as the database; what is damaged, or says nothing, is asked about again."""
    made(tmp_path, "create table t(a)", journal="wal")
    after = made(tmp_path, "insert into t values ('x')", journal="wal")
    before = Image(tuple(file for file in after.files if file.path == "a.db"))
    asked = []
    laid_out = module._laid_out
    monkeypatch.setattr(module, "_laid_out", lambda *args: (asked.append(1), laid_out(*args))[1])
    monkeypatch.setattr(module, "_whole", {})
    monkeypatch.setattr(module, "_dumps", {})
    for _ in range(2):
        assert damage_of(before) == damage_of(after) == ()
        assert b"'x'" not in logical(before.data(), "a.db")
        assert b"'x'" in logical(after.data(), "a.db")
    assert len(asked) == 4
    hurt = {"a.db": b"x" * 4096}
    for _ in range(2):
        assert damage_of(Image((File("a.db", hurt["a.db"], 1),)), ("a.db",)) != ()
        assert logical(hurt, "a.db") is None
    assert len(asked) == 8


def test_an_unfinished_transaction_is_no_damage(world, connect):
    """A journal that SQLite must roll back makes a database whole again: it is judged together with it."""
    connection = connect(journal="delete")
    connection.execute("create table t(a)")
    connection.execute("pragma cache_size=1")
    connection.execute("begin immediate")
    connection.execute("insert into t values (randomblob(100000))")
    image = snapshot(world.root)
    assert {"state.db", "state.db-journal"} <= image.data().keys()
    assert damage_of(image) == ()


def test_what_is_in_a_file_of_a_database_is_what_sqlite_shows(world, connect):
    """Bytes that a rollback takes back, or that stand in free pages, are not there; other files are their bytes."""
    connection = connect(journal="delete")
    connection.execute("create table t(a)")
    connection.execute("insert into t values ('kept')")
    connection.execute("pragma cache_size=1")
    connection.execute("begin immediate")
    connection.execute("insert into t values (?)", ("gone" * 20_000,))
    (world.root / "log.txt").write_text("said")
    image = snapshot(world.root)
    assert b"gone" in image.data()["state.db"]
    said = contents(image)
    assert sorted(said) == ["log.txt", "state.db"]
    assert said["log.txt"] == b"said"
    assert b"kept" in said["state.db"]
    assert b"gone" not in said["state.db"]
