"""The journal survives what a crash leaves, and refuses what no crash explains."""

from __future__ import annotations

import json
import subprocess
import sys
import zlib

import pytest

from reference_impl.trajectory import FileJournal
from reference_impl.trajectory.journal import ChangedError, DamagedError
from tests.reference_impl.trajectory.helpers import opened, reasons


@pytest.fixture
def path(tmp_path):
    """Where the journal lies."""
    return tmp_path / "trajectory.jsonl"


def filled(path, *events):
    """A journal with these events."""
    journal = FileJournal(str(path))
    for event in events:
        journal.append(event)
    return journal


def test_no_file_is_an_empty_journal(path):
    """And reading makes none (only its lock)."""
    assert FileJournal(str(path)).events() == []
    assert not path.exists()


def test_a_torn_tail_was_never_acknowledged(path):
    """Every possible length of the last line: it is cut off, what was before is there, and a second read changes nothing."""
    filled(path, {"type": "close", "text": "caf\u00e9\u2028"}, {"type": "close"})
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    for length in range(first, len(whole)):
        path.write_bytes(whole[:length])
        assert FileJournal(str(path)).events() == [{"n": 1, "type": "close", "text": "caf\u00e9\u2028"}]
        assert path.read_bytes() == whole[:first]


def test_a_zero_filled_tail(path):
    """A power cut may leave the length of a line without its bytes, with or without the line end."""
    filled(path, {"type": "close"})
    whole = path.read_bytes()
    for tail in (bytes(40), bytes(40) + b"\n"):
        path.write_bytes(whole + tail)
        assert FileJournal(str(path)).events() == [{"n": 1, "type": "close"}]


def test_damage_in_the_middle_is_told(path):
    """What follows a missing commit cannot be folded, so it is not guessed, and the file stays as it is."""
    filled(path, {"type": "close"}, {"type": "close"}, {"type": "close"})
    damaged = path.read_bytes().replace(b'"n":2', b'"n":9')
    path.write_bytes(damaged)
    with pytest.raises(DamagedError, match="line 2 is damaged"):
        FileJournal(str(path)).events()
    assert path.read_bytes() == damaged


def test_a_lost_line_is_told(path):
    """The system acknowledged a write and never stored it: the numbers have a gap, and nothing is folded over it."""
    filled(path, {"type": "close"}, {"type": "close"}, {"type": "close"})
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[2])
    with pytest.raises(DamagedError, match="line 2 holds event 3: a write was lost"):
        FileJournal(str(path)).events()


def test_of_two_writers_one_is_refused(path):
    """Both read the same state: the second one to write is told, writes nothing, and may go on after reading again."""
    one, other = FileJournal(str(path)), FileJournal(str(path))
    assert one.events() == other.events() == []
    one.append({"type": "close"})
    before = path.read_bytes()
    with pytest.raises(ChangedError, match="and had 0 when it was read"):
        other.append({"type": "close"})
    assert path.read_bytes() == before
    other.events()
    other.append({"type": "close"})
    assert [event["n"] for event in FileJournal(str(path)).events()] == [1, 2]


def test_an_event_of_a_later_version_is_refused(path):
    """Skipping it would fold something else than was recorded."""
    filled(path, {"type": "merge"})
    with pytest.raises(ValueError, match="unknown type 'merge'"):
        opened(FileJournal(str(path)))


def test_a_line_is_readable_text(path):
    """A checksum of eight hex digits, a space, and JSON: a person can read it."""
    filled(path, {"type": "close"})
    checksum, text = path.read_text().rstrip("\n").split(" ", 1)
    assert (int(checksum, 16), json.loads(text)) == (zlib.crc32(text.encode()), {"n": 1, "type": "close"})


KILLED = """
import os, sys
from reference_impl.trajectory import FileJournal
from tests.reference_impl.trajectory.helpers import ask, opened, talking
from tests.reference_impl.trajectory.model import Scripted, said, user

chat = talking(Scripted().say("one").abort("tw").say("two"), opened(FileJournal(sys.argv[1])))
steps = [(user("first"),), (user("first"), said("one"), user("second")), (user("first"), said("one"), user("second"))]
for step in steps[: int(sys.argv[2])]:
    ask(chat, *step)
os._exit(9)
"""


@pytest.mark.parametrize(("steps", "expected"), [(1, ["stop"]), (2, ["stop", "[abort]"]), (3, ["stop", "stop"])])
def test_a_killed_process_loses_nothing_acknowledged(path, steps, expected):
    """A real process, killed after each step: the next one has all of it."""
    done = subprocess.run([sys.executable, "-c", KILLED, str(path), str(steps)], check=False)
    assert done.returncode == 9
    assert reasons(opened(FileJournal(str(path)))) == expected
