"""The adapter, driven by hand as the harness drives it: what a user saw, what was acknowledged, and what a new process finds."""

from __future__ import annotations

import shutil
from types import SimpleNamespace

import pytest

from pytest_durability import Message
from pytest_durability.adapter import check_members
from tests.reference_impl.transcript.helpers import die
from tests.reference_impl.transcript_adapter import ReferenceTranscript


class Scripted:
    """A turn of the harness, as far as an adapter without HTTP sees it."""

    def __init__(self, text, *pieces, error=None):
        self.text, self.pieces, self.error = text, pieces, error

    def chunks(self):
        """The reply, and how it breaks."""
        yield from self.pieces
        if self.error is not None:
            raise self.error


class Driver:
    """Plays steps against the adapter; `saw` is what the user saw."""

    def __init__(self, root):
        self.adapter, self.world = ReferenceTranscript(), SimpleNamespace(root=root, session="s")
        self.store = self.adapter.open(self.world)
        self.saw = []

    def turn(self, turn, stop_after=None):
        """One turn, perhaps stopped after so many pieces; returns the generator, so that it can be left suspended."""
        stream = self.adapter.turn(self.store, turn)
        text = ""
        for number, piece in enumerate(stream, 1):
            text += piece
            if number == stop_after:
                break
        self.saw.append(text)
        return stream

    def crash(self):
        """The process dies, and a new one opens what it left."""
        die(self.store)
        self.store = self.adapter.open(self.world)

    def texts(self):
        """Role and text of the transcript."""
        return [(message.role, message.text) for message in self.adapter.transcript(self.store)]


@pytest.fixture
def driver(tmp_path):
    """A driver on an empty root."""
    made = Driver(tmp_path)
    yield made
    die(made.store)


def test_the_adapter_is_one():
    """It has what the harness asks for."""
    check_members(ReferenceTranscript())


def test_turns_of_all_kinds(driver):
    """Complete, cut, stopped, killed: what the user saw is there once, and what is not complete says so."""
    driver.turn(Scripted("zu1z", "za1z", " all"))
    driver.turn(Scripted("zu2z", "za2z", " part", error=ConnectionResetError()))
    driver.turn(Scripted("zu3z", "za3z", " never shown"), stop_after=1).close()
    suspended = driver.turn(Scripted("zu4z", "za4z", " never shown"), stop_after=1)
    driver.crash()
    wanted = [("user", "zu1z"), ("assistant", "za1z all"), ("user", "zu2z"), ("assistant", "za2z part")]
    wanted += [("user", "zu3z"), ("assistant", "za3z"), ("user", "zu4z"), ("assistant", "za4z")]
    assert driver.texts() == wanted
    assert [m.complete for m in driver.adapter.transcript(driver.store) if m.role == "assistant"] == [True, False, False, False]
    suspended.close()  # the dead stay dead
    assert driver.texts() == wanted


def test_a_reply_that_breaks_before_any_text_leaves_the_input(driver):
    """The error is raised, the input is there, and no blank reply is told."""
    with pytest.raises(Exception, match="stream"):
        driver.turn(Scripted("zu1z", error=TimeoutError()))
    driver.turn(Scripted("zu2z", "za2z"))
    assert driver.texts() == [("user", "zu1z"), ("user", "zu2z"), ("assistant", "za2z")]


def test_two_suspended_turns_end_in_either_order(driver):
    """The transcript tells one after the other."""
    for first in (0, 1):
        streams = [driver.adapter.turn(driver.store, Scripted(f"u{first}{n}", f"a{first}{n}", "!")) for n in range(2)]
        for stream in streams:
            next(stream)
        list(streams[first])
        list(streams[1 - first])
    assert driver.texts() == [
        (role, f"{letter}{first}{n}{end}")
        for first in range(2)
        for n in range(2)
        for role, letter, end in (("user", "u", ""), ("assistant", "a", "!"))
    ]


def test_appends_and_commits(driver):
    """A batch, a repeated id, and a split: each message is live or archived, once, also for a new process."""
    driver.adapter.append_many(driver.store, [Message("user", "zu1z", "i1"), Message("assistant", "za1z", "i2")])
    for _ in range(2):
        driver.adapter.append(driver.store, Message("user", "zu2z", "i3"))
    driver.adapter.commit(driver.store, 1)
    for _ in range(2):
        live = [text for _, text in driver.texts()]
        assert live == ["[Summary of the conversation so far] 2 messages", "zu2z"]
        assert [m.text for m in driver.adapter.archived(driver.store)] == ["zu1z", "za1z"]
        driver.crash()
    driver.adapter.append(driver.store, Message("user", "zu1z", "i1"))  # known, although it is archived
    assert [m.text for m in driver.adapter.archived(driver.store)] == ["zu1z", "za1z"]
    assert [text for _, text in driver.texts()][1:] == ["zu2z"]
    driver.adapter.close(driver.store)


def test_equal_steps_leave_equal_rows(tmp_path):
    """No chance and no clock."""
    dumps = []
    for _ in range(2):
        driver = Driver(tmp_path)
        driver.turn(Scripted("zu1z", "za1z"))
        driver.crash()
        driver.turn(Scripted("zu2z", "za2z", error=TimeoutError()))
        with driver.store.database.reading() as sql:
            dumps.append(list(sql.iterdump()))
        die(driver.store)
        shutil.rmtree(tmp_path)
        tmp_path.mkdir()
    assert dumps[0] == dumps[1]
