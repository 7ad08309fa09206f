"""Appending: what an acknowledgement means, what a retry does, and what is left after a failure."""

from __future__ import annotations

import asyncio
import json

import pytest

from reference_impl.durable import StorageError, TornAppendError
from reference_impl.store import ConflictError, Draft, Session, UnusableError
from tests.reference_impl.helpers import Faulty, failing, filled, live, opened, say, texts, tree


def meta(path):
    """The counters on disk."""
    return json.loads((path / ".meta.json").read_text())


def test_loading_nothing_writes_nothing(path):
    """Neither does a commit of nothing, a context of nothing, or work on nothing."""
    session = opened(path)
    assert (session.messages, session.archived_messages(), session.context().messages) == ((), (), ())
    assert session.commit().reason == "no_messages"
    assert session.pending_archives() == session.run_pending() == ()
    assert not path.exists()


def test_counters_follow_every_append(path):
    """They are in lockstep with the live file."""
    session = opened(path)
    session.add_message(say("m1"))
    session.add_messages([say("m2"), say("m3")])
    assert [meta(path)[name] for name in ("message_count", "total_message_count", "next_seq")] == [3, 3, 4]
    assert [(m.seq, m.batch and (m.batch.n, m.batch.of)) for m in session.messages] == [(1, None), (2, (1, 2)), (3, (2, 2))]
    assert opened(path).messages == session.messages


def test_a_session_needs_no_load_before_the_first_append(path):
    """Every operation looks at the disk by itself."""
    filled(path, "m1")
    Session(path).add_message(say("m2", "m2"))
    assert live(path) == ["m1", "m2"]


def test_the_same_id_again_adds_nothing(path):
    """Live or archived, by the same object or another one, alone or within a batch: the first message is returned."""
    session = filled(path, "m1", "m2")
    first = session.messages[0]
    before = tree(path)
    assert session.add_message(say("m1", "m1")) == opened(path).add_message(say("m1", "m1")) == first
    assert tree(path) == before
    session.commit(1)
    assert session.add_messages([say("m1", "m1"), say("m3", "m3"), say("m3", "m3")])[0].text == "m1"
    assert live(path) == ["m2", "m3"]


def test_the_same_id_with_another_content_is_refused(path):
    """Live, archived, or twice in one call."""
    session = filled(path, "m1", "m2")
    session.commit(1)
    for drafts in ([say("other", "m1")], [say("other", "m2")], [say("m2", "m2", "assistant")], [say("a", "x"), say("b", "x")]):
        with pytest.raises(ConflictError):
            session.add_messages(drafts)
    assert live(path) == ["m2"]


def test_equal_texts_are_two_messages(path):
    """Only an id makes a message the same."""
    session = opened(path)
    session.add_message(say("yes"))
    session.add_message(say("yes"))
    assert live(path) == ["yes", "yes"]


def test_what_is_no_json_is_refused_before_anything_is_written(path):
    """The session is as it was, and usable."""
    session = filled(path, "m1")
    before = tree(path)
    for value in (object(), float("nan")):
        with pytest.raises((TypeError, ValueError)):
            session.add_message(Draft("user", (), metadata={"x": value}))
    assert tree(path) == before
    session.add_message(say("m2"))


def test_a_failed_append_adds_nothing_and_can_be_repeated(path):
    """The error is the caller's to handle; the object stays usable."""
    session = filled(path, "m1")
    before = tree(path)
    session.disk = failing("append", "messages.jsonl")
    with pytest.raises(StorageError):
        session.add_message(say("m2", "m2"))
    assert tree(path) == before
    session.add_message(say("m2", "m2"))
    assert live(path) == ["m1", "m2"]


def test_an_append_that_cannot_be_taken_back_stops_the_object(path):
    """Until it has been loaded again."""
    session = filled(path, "m1")
    session.disk = failing("append", "messages.jsonl", TornAppendError("append to", "messages.jsonl", "injected"))
    with pytest.raises(TornAppendError):
        session.add_message(say("m2", "m2"))
    for operation in (lambda: session.add_message(say("m2", "m2")), session.commit):
        with pytest.raises(UnusableError):
            operation()
    session.load()
    session.add_message(say("m2", "m2"))
    assert live(path) == ["m1", "m2"]


def test_counters_that_cannot_be_written_do_not_unsay_a_message(path):
    """It is durable; the next operation writes them."""
    session = filled(path, "m1", disk=Faulty(lambda name, at: None))
    session.disk = failing("replace", ".meta.json")
    session.add_message(say("m2", "m2"))
    assert meta(path)["message_count"] == 1
    session.add_message(say("m3", "m3"))
    assert meta(path)["message_count"] == 3
    assert live(path) == ["m1", "m2", "m3"]


def test_what_a_killed_writer_left_is_made_durable_before_it_is_acknowledged(path):
    """A line may be visible and not yet durable; a retry of it is acknowledged only after a sync."""
    filled(path, "m1")
    seen = []
    session = opened(path, disk=Faulty(lambda name, at: seen.append((name, at.rpartition("/")[2]))))
    seen.clear()
    session.add_message(say("m1", "m1"))
    assert ("sync_file", "messages.jsonl") in seen
    assert ("make_dir", "session") in seen


def test_a_torn_tail_of_another_process_is_set_aside_before_the_next_append(path):
    """It was never acknowledged, and must not be glued to what is."""
    session = filled(path, "m1")
    with (path / "messages.jsonl").open("ab") as file:
        file.write(b'{"id": "m2", "se')
    session.add_message(say("m3", "m3"))
    assert live(path) == ["m1", "m3"]
    assert [data for name, data in tree(path).items() if name.startswith("damaged/")] == [b'{"id": "m2", "se']


def test_a_last_line_without_newline_is_not_glued_to_the_next(path):
    """A whole line is a message, with or without its end."""
    filled(path, "m1")
    (path / "messages.jsonl").write_bytes((path / "messages.jsonl").read_bytes().rstrip(b"\n"))
    opened(path).add_message(say("m2", "m2"))
    assert live(path) == ["m1", "m2"]


def test_a_commit_in_an_event_loop(path):
    """`commit_async` is the same commit."""
    session = filled(path, "m1", "m2", "m3")
    receipt = asyncio.run(session.commit_async(keep_recent_count=1))
    assert (receipt.status, receipt.archive, receipt.archived, receipt.task_id) == ("accepted", 1, 2, "session:001")
    assert texts(session.messages) == ["m3"]
