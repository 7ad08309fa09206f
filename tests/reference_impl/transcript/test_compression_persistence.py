"""The split into a child session: one transaction, every message active in one place, and nothing that the parent knew is lost."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from reference_impl.transcript import BusyError
from reference_impl.transcript.rows import STAMP
from tests.reference_impl.transcript.helpers import calls, dump, flush, locked, opened, rows, said, says, shown, talk, writing


def outline(old):
    """A summary without a model."""
    return f"{len(old)} messages"


SUMMARY = ("user", "[Summary of the conversation so far] 2 messages")


@pytest.fixture
def full(agents):
    """An agent with two turns behind it."""
    agent = agents(profile={"source": "cli", "user_id": "u", "model": "m", "title": "t", "metadata": {"chat": 7}})
    talk(agent, "one", "1")
    talk(agent, "two", "2")
    return agent


def active_twice(path):
    """Ids of messages that are active in more than one place."""
    return rows(path, "SELECT message_id FROM messages WHERE active = 1 GROUP BY message_id HAVING count(*) > 1")


def test_survivors_are_rows_of_the_child(full, path):
    """Summary and survivors are what is live; what was left behind is still in the parent."""
    receipt = full.split(2, outline)
    assert (receipt.status, receipt.left) == ("done", 2)
    live = [SUMMARY, ("user", "two"), ("assistant", "2")]
    assert said(full.messages) == said(full.transcript()) == live
    assert said(full.archived()) == [("user", "one"), ("assistant", "1")]
    assert active_twice(path) == []
    assert [message[STAMP] for message in full.messages] == [full.session_id] * 3


def test_a_resume_by_the_old_name_finds_the_child(full, path):
    """The chain is followed to its newest open session, and going on writes there."""
    full.split(2, outline)
    talk(full, "three", "3")
    full.split(0, outline)
    full.close()
    again = opened(path)
    with closing(again):
        assert again.session_id == full.session_id != "s"
        assert said(again.messages) == [("user", "[Summary of the conversation so far] 5 messages")]
        assert said(again.archived()) == [
            (role, text)
            for n, word in enumerate(["one", "two", "three"], 1)
            for role, text in [("user", word), ("assistant", str(n))]
        ]
        talk(again, "four", "4")
    assert active_twice(path) == []


def test_cleared_stamps_are_written_into_the_new_session(path):
    """A caller that rotates by hand clears the stamps, and the survivors get their rows."""
    with writing(path, "parent") as writer:
        survivors = [{"role": "user", "content": "kept"}]
        flush(writer, survivors)
        writer.session_id = "child"
        flush(writer, survivors)  # the stamp names the parent: it does not count here
        assert rows(path, "SELECT session_id, content FROM messages WHERE active = 1") == [("parent", "kept"), ("child", "kept")]


def test_the_child_inherits_all_that_the_parent_knew(full, path):
    """Also columns that a later version has added: without them a child cannot be routed or resumed."""
    with full.database.transaction() as sql:
        sql.execute("ALTER TABLE sessions ADD COLUMN thread TEXT")
        sql.execute("UPDATE sessions SET thread = 'th'")
    full.split(1, outline)
    query = "SELECT source, user_id, model, title, metadata, thread FROM sessions ORDER BY rowid"
    parent, child = rows(path, query)
    assert parent == child == ("cli", "u", "m", "t", '{"chat": 7}', "th")
    states = rows(path, "SELECT parent_session_id, end_reason, message_count FROM sessions ORDER BY rowid")
    assert states == [(None, "compression", 4), ("s", None, 2)]


@pytest.mark.parametrize("summarise", [lambda old: " ", lambda old: 1 / 0], ids=["empty", "raises"])
def test_without_a_summary_nothing_changes(full, path, summarise):
    """The parent stays open and the messages keep their stamps."""
    before = dump(path)
    assert full.split(1, summarise).status == "failed"
    assert dump(path) == before
    assert talk(full, "three", "3") == "3"
    assert full.session_id == "s"


def test_a_failed_transaction_restores_the_stamps(full, path):
    """Nothing is half done: the parent is open, and a flush has nothing to write."""
    before = dump(path)

    def lock_first(old):
        full.other = sqlite3.connect(path / "state.db", isolation_level=None)
        full.other.execute("BEGIN IMMEDIATE")
        return "s"

    receipt = full.split(2, lock_first)
    full.other.close()
    assert (receipt.status, receipt.trouble) == ("failed", "locked")
    assert [message[STAMP] for message in full.messages] == ["s"] * 4
    assert flush(full.writer, full.messages) is True
    assert dump(path) == before


def test_the_parent_is_flushed_first(full, path):
    """What was in memory only is in the session in which it was said."""
    turn = full.begin("three")
    stream = turn.run(says("3"))
    assert next(stream) == "3"
    with locked(path), pytest.raises(Exception, match="in memory only"):
        stream.close()
    assert full.split(0, outline).left == 6
    assert [text for _, text in said(full.archived())][-2:] == ["three", "3"]
    assert rows(path, "SELECT session_id, count(*) FROM messages GROUP BY 1 ORDER BY 2") == [(full.session_id, 1), ("s", 6)]


def test_a_result_is_not_parted_from_its_call(agent):
    """The boundary moves back to the call."""
    shown(agent.begin("look"), calls("c1", "c2"))
    agent.split(2, outline)
    assert [message["role"] for message in agent.messages] == ["user", "assistant", "tool", "tool", "assistant"]


def test_what_was_meant_for_the_parent_goes_to_the_child_once(full, path):
    """A writer that missed the split, with a list from before it: its news go to the open child, the old rows nowhere."""
    with writing(path) as stale:
        old = full.transcript()
        full.split(1, outline)
        late = {"role": "user", "content": "late"}
        for _ in range(2):
            assert flush(stale, [*old, late], old) is True
        assert stale.session_id == full.session_id
    assert said(full.transcript())[-1] == ("user", "late")
    assert active_twice(path) == []
    assert len(full.transcript()) == 3


def test_an_ended_session_without_a_child_fails_closed(full, path):
    """Nothing is written where nobody will look for it."""
    with full.database.transaction() as sql:
        sql.execute("UPDATE sessions SET end_reason = 'compression'")
    before = dump(path)
    messages = [{"role": "user", "content": "lost?"}]
    assert flush(full.writer, messages) is False
    assert full.writer.trouble == "ended"
    assert dump(path) == before
    assert STAMP not in messages[0]


def test_no_split_in_a_turn(full):
    """A turn's rows belong to one session."""
    turn = full.begin("three")
    with pytest.raises(BusyError):
        full.split(1, outline)
    shown(turn, says("3"))
    assert full.split(1, outline).status == "done"


@pytest.mark.parametrize("keep", [4, 9])
def test_nothing_to_leave_behind(full, keep):
    """The keep window holds everything, so nothing changes."""
    assert full.split(keep, outline).status == "skipped"
    assert full.session_id == "s"


def test_mixed_up_turns_stay_in_the_order_in_which_they_are_told(agent):
    """Rows of overlapping turns lie between each other; the child numbers them as they were told."""
    one, two = agent.begin("one"), agent.begin("two")
    shown(two, says("2"))
    shown(one, says("1"))
    assert [text for _, text in said(agent.messages)] == ["one", "1", "two", "2"]
    agent.split(3, outline)
    assert said(agent.messages) == said(agent.transcript())
    assert [text for _, text in said(agent.messages)][1:] == ["1", "two", "2"]
