"""Two real processes on one session, stopped and let go at chosen operations."""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3

import pytest

from pytest_durability.checkers.overlapped import judge_overlap
from pytest_durability.checkers.wholes import Whole
from pytest_durability.errors import UsageError
from pytest_durability.verdict import NotSerialisable
from pytest_durability.world.turns.processes import Processes, mark


def whole_file(folder, *texts):
    """Read everything, write everything and more, by way of a temporary file."""

    def turn():
        path = folder / "session.json"
        rows = json.loads(path.read_text()) if path.exists() else []
        temporary = folder / f"{texts[0]}.tmp"
        temporary.write_text(json.dumps([*rows, *texts]))
        os.replace(temporary, path)

    return turn


def locked(folder, turn):
    """The same with a lock file around it."""

    def run():
        with open(folder / "lock", "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            turn()

    return run


def judged(folder):
    """What both turns left, judged."""
    turns = (Whole("turn 0", ("u1", "a1"), 1, 9), Whole("turn 1", ("u2", "a2"), 2, 8))
    return judge_overlap(turns, json.loads((folder / "session.json").read_text()))


@pytest.fixture
def session(tmp_path):
    """A folder with an empty session."""
    (tmp_path / "session.json").write_text("[]")
    return tmp_path


def test_the_last_writer_wins(session):
    """A process that stands between reading and renaming writes back a past without the other one's turn."""
    with Processes(session, whole_file(session, "u1", "a1"), whole_file(session, "u2", "a2")) as both:
        assert both.run(0, until="rename:*:1").at == "rename:u1.tmp:1"
        assert both.run(1).over
        assert both.run(0).over
    assert type(judged(session)) is NotSerialisable


@pytest.mark.parametrize("until", ["open:session.json:1", "write:*:1", "rename:*:1", ""])
def test_a_lock_serialises(session, until):
    """With a lock the second process is seen to wait, goes on when the first is over, and nothing is lost."""
    first, second = (locked(session, whole_file(session, *texts)) for texts in (("u1", "a1"), ("u2", "a2")))
    with Processes(session, first, second) as both:
        stood = both.run(0, until=until)
        holds = not stood.over and until != "write:*:1"
        assert both.run(1).blocked is holds
        assert both.run(0).over
        assert both.run(1).over
    assert judged(session) is None


def test_two_that_are_stopped_in_turn(session):
    """Both can stand at places of their own, more than once."""
    with Processes(session, whole_file(session, "u1", "a1"), whole_file(session, "u2", "a2")) as both:
        for number in (0, 1):
            assert both.run(number, until="open:session.json:1").at == "open:session.json:1"
        for number in (0, 1):
            assert both.run(number, until="write:*:1").at == f"write:u{number + 1}.tmp:1"
        for number in (0, 1):
            assert both.run(number).over
    assert type(judged(session)) is NotSerialisable


def test_a_killed_process_leaves_its_lock(session):
    """Killed with the lock held, a process is gone with its lock, and the other one goes on."""
    first, second = (locked(session, whole_file(session, *texts)) for texts in (("u1", "a1"), ("u2", "a2")))
    with Processes(session, first, second) as both:
        both.run(0, until="rename:*:1")
        assert both.run(1).blocked
        assert both.kill(0).killed
        assert both.run(1).over
    assert json.loads((session / "session.json").read_text()) == ["u2", "a2"]


def test_numbers_computed_in_memory_overwrite(tmp_path):
    """Two processes that count their files when they open the session write the same file."""

    def turn(text):
        def run():
            count = len(list(tmp_path.glob("message_*")))
            mark("counted")
            (tmp_path / f"message_{count}").write_text(text)

        return run

    with Processes(tmp_path, turn("u1"), turn("u2")) as both:
        for number in (0, 1):
            assert both.run(number, until="mark:counted:1").at == "mark:counted:1"
        for number in (0, 1):
            both.run(number)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["u2"]


def test_an_open_transaction_locks_the_other_process_out(tmp_path):
    """A process that stands in a transaction is a lock for the other one, whose error is told with its type."""
    path = tmp_path / "s.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE rows(text)")
    db.close()

    def turn():
        own = sqlite3.connect(path, timeout=0, isolation_level=None)
        own.execute("BEGIN IMMEDIATE")
        own.execute("INSERT INTO rows VALUES('u')")
        mark("open")
        own.execute("COMMIT")
        own.close()
        return "written"

    with Processes(tmp_path, turn, turn) as both:
        assert both.run(0, until="mark:open:1").at
        assert type(both.run(1).error) is sqlite3.OperationalError
        assert both.run(0).value == "written"


def test_misuse_is_told(tmp_path):
    """A place that cannot be stopped at is told with the kinds that can."""
    with Processes(tmp_path, int) as one:
        with pytest.raises(UsageError, match="rename"):
            one.run(0, until="fsync:*:1")
        assert one.run(0).value == 0
        assert one.run(0).value == 0
    mark("nowhere")
