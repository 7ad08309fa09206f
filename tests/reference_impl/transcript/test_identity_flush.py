"""The flush: what decides is identity, so that lists may overlap, shrink and be copied, and each message has one row."""

from __future__ import annotations

from contextlib import closing

import pytest

from reference_impl.transcript import amend
from reference_impl.transcript.flush import Writer
from reference_impl.transcript.repair import provider_view, repair_message_sequence
from reference_impl.transcript.rows import STAMP
from tests.planted.transcripts import ClampedWriter, PositionalWriter
from tests.reference_impl.transcript.helpers import MOMENT, QUICK, contents, dump, flush, ids, locked, rows, writing


def user(text, **more):
    """A message of the user, as a caller makes it."""
    return {"role": "user", "content": text, **more}


def assistant(text, **more):
    """A reply, as a caller makes it."""
    return {"role": "assistant", "content": text, **more}


def overlap(writer):
    """Two turns on one cached agent: the second begins, and is saved, while the first one waits for its reply."""
    first = [user("one")]
    flush(writer, first)
    second = [*first, user("two"), assistant("reply two")]
    flush(writer, second, list(first))
    first.append(assistant("reply one"))
    flush(writer, first)


def shrink(writer):
    """A repair compacts the list below the length of the history that it began with, on the interrupt path."""
    history = [user("a"), user("b"), user("c")]
    flush(writer, history)
    for message in history:
        message.setdefault(STAMP, writer.session_id)  # they were loaded from the database
    messages = [*history, user("d")]
    flush(writer, messages, history)
    repair_message_sequence(messages)
    assert len(messages) < len(history)
    messages.append(assistant("partial"))
    flush(writer, messages, history)
    messages.append(user("e"))
    flush(writer, messages, history)


def written(path, scenario, kind):
    """The contents of the rows after a scenario with one kind of writer."""
    from reference_impl.transcript.schema import Database

    database = Database(str(path / "state.db"), QUICK)
    with closing(database):
        scenario(kind(database, "s", clock=lambda: MOMENT, ids=ids))
    return contents(path)


def test_the_earlier_of_two_overlapping_turns_keeps_its_reply(path):
    """The cursor that both turns share stands beyond the list of the first; identity does not care."""
    assert written(path / "identity", overlap, Writer) == ["one", "two", "reply two", "reply one"]
    assert "reply one" not in written(path / "positional", overlap, PositionalWriter)


def test_a_list_that_was_compacted_below_its_history_loses_nothing(path):
    """The start of the slice lies beyond the end of the list; identity has no slice."""
    assert written(path / "identity", shrink, Writer) == ["a", "b", "c", "d", "partial", "e"]


def test_the_clamped_cursor_still_drops_what_identity_keeps(path):
    """Clamping the cursor to the list leaves the length of the history unbounded: the slice stays empty, turn after turn."""
    kept = written(path / "identity", shrink, Writer)
    dropped = written(path / "clamped", shrink, ClampedWriter)
    assert [text for text in kept if text not in dropped] == ["partial", "e"]
    assert written(path / "positional", shrink, PositionalWriter) == dropped


def test_history_of_elsewhere_is_stamped_and_not_written(path):
    """Entries of this call's history are recognised as objects; equal text in another object is another message."""
    with writing(path) as writer:
        history = [user("loaded elsewhere")]
        messages = [*history, user("loaded elsewhere")]
        assert flush(writer, messages, history) is True
        assert contents(path) == ["loaded elsewhere"]
        assert [message[STAMP] for message in messages] == ["s", "s"]


def test_a_stamp_never_reaches_a_provider(path):
    """Nor does any other private key."""
    with writing(path) as writer:
        messages = [user("hello"), assistant("hi", _anything="x")]
        flush(writer, messages)
        assert provider_view(messages) == [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "hi"}]


def test_a_history_entry_without_a_row_is_written(path):
    """An overlapping turn's reply is in the history of the next turn before it is saved: being there is no proof of a row."""
    with writing(path) as writer:
        unsaved = assistant("not saved yet", _message_id="m1")
        flush(writer, [unsaved, user("next")], [unsaved])
        assert contents(path) == ["not saved yet", "next"]


def test_a_failed_flush_stamps_nothing_and_leaves_nothing_open(path):
    """The next flush writes everything, once; and in between, others can write."""
    with writing(path) as writer:
        flush(writer, [user("first")])
        messages = [user("a"), assistant("b")]
        with locked(path):
            assert flush(writer, messages) is False
        assert writer.trouble == "locked"
        assert all(STAMP not in message for message in messages)
        with locked(path):  # which would raise if a transaction were open
            pass
        assert flush(writer, messages) is True
        assert writer.trouble is None
        assert contents(path) == ["first", "a", "b"]


@pytest.mark.parametrize(
    ("pragma", "trouble"), [("query_only = ON", "read-only"), ("max_page_count = 1", "full")], ids=["read-only", "full"]
)
def test_the_reason_of_a_failure_is_told(path, pragma, trouble):
    """A full disk and a read-only one differ in what can be done about them."""
    with writing(path) as writer:
        flush(writer, [user("first")])
        with writer.database.reading() as sql:
            sql.execute(f"PRAGMA {pragma}")
        messages = [user("x" * 100_000)]
        assert flush(writer, messages) is False
        assert writer.trouble == trouble
        writer.database.close()  # the pragma goes with the connection
        assert flush(writer, messages) is True
        assert len(contents(path)) == 2


def test_a_batch_is_there_whole_or_not_at_all(path):
    """A flush that fails in its middle has written none of its messages."""
    with writing(path) as writer:
        flush(writer, [user("first")])
        with writer.database.transaction() as sql:
            sql.execute(
                "CREATE TEMP TRIGGER refuse BEFORE INSERT ON main.messages WHEN new.content = 'bad' "
                "BEGIN SELECT RAISE(ABORT, 'refused'); END"
            )
        assert flush(writer, [user("good"), user("bad")]) is False
        assert (writer.trouble, contents(path)) == ("other", ["first"])


def test_no_database_is_no_failure():
    """Persistence that is off answers None."""
    assert flush(Writer(None, "s", clock=lambda: MOMENT, ids=ids), [user("a")]) is None


def test_an_address_that_is_used_again_hides_nothing(path):
    """A message that dies leaves its `id()` to the next one, which is written all the same."""
    with writing(path) as writer:
        addresses = set()
        for n in range(50):
            message = user(f"m{n}")
            addresses.add(id(message))
            flush(writer, [message])
            del message
        assert len(addresses) < 50, "no address was used twice, so this tested nothing"
        assert contents(path) == [f"m{n}" for n in range(50)]


def test_two_writers_with_objects_of_their_own_make_one_row(path):
    """An outside writer saved the message first; the key is in the database and not in the objects."""
    with writing(path) as inside, writing(path) as outside:
        flush(outside, [user("hello", _message_id="m1")])
        flush(inside, [user("hello", _message_id="m1"), assistant("hi")])
        assert contents(path) == ["hello", "hi"]


def test_a_commit_of_unknown_outcome_can_be_repeated(path):
    """The commit took effect and its answer was lost: ids were given before, so the repetition adds nothing."""
    with writing(path) as writer:
        messages = [user("a"), assistant("b")]
        flush(writer, messages)
        for message in messages:
            del message[STAMP], message["_seq"]
        before = dump(path)
        assert flush(writer, messages) is True
        assert dump(path) == before


def test_an_edit_reaches_its_row(path):
    """`amend` takes the stamp off, and the next flush updates the row that is there."""
    with writing(path) as writer:
        message = assistant("")
        flush(writer, [message])
        amend(message, "filled in")
        flush(writer, [message])
        assert contents(path) == ["filled in"]


def test_what_was_cut_short_does_not_replace_what_went_on(path):
    """A stale copy of an interrupted reply comes late, when the row holds more."""
    with writing(path) as writer:
        flush(writer, [assistant("all of it", _message_id="m1")])
        flush(writer, [assistant("all", _message_id="m1", _interrupted=True)])
        assert contents(path) == ["all of it"]


def test_a_copied_message_is_the_same_message(path):
    """A copy takes id and stamp along."""
    with writing(path) as writer:
        message = user("hello")
        flush(writer, [message])
        flush(writer, [dict(message), message, {**message}])
        assert contents(path) == ["hello"]


def test_equal_text_on_purpose_is_two_messages(path):
    """Nothing is recognised by its content."""
    with writing(path) as writer:
        flush(writer, [user("yes"), assistant("ok"), user("yes"), assistant("ok")])
        assert contents(path) == ["yes", "ok", "yes", "ok"]


def test_what_is_only_for_view_is_never_written(path):
    """Nor is anything that is no message."""
    with writing(path) as writer:
        flush(writer, [{"role": "tool", "content": "unknown", "_synthetic": "view_only"}, None, "text", user("a")])
        assert contents(path) == ["a"]


ODD = [
    "half a pair \ud83d",
    "zero \0 inside",
    "\u2028\u2029\x85\x0b",
    None,
    [{"type": "text", "text": "parts"}],
    "",
    42,
]


@pytest.mark.parametrize("content", ODD, ids=repr)
def test_any_content_comes_back_as_it_was(path, content):
    """No content keeps a message, or those beside it, out of the database."""
    with writing(path) as writer:
        flush(
            writer,
            [user(content, name="n", tool_calls=[{"id": "c", "arguments": {"a": [1, None]}}], _api_content="raw"), user("b")],
        )
    from tests.reference_impl.transcript.helpers import opened

    agent = opened(path)
    with closing(agent):
        first, second = agent.messages
    assert first["content"] == content
    assert (first["name"], first["tool_calls"][0]["arguments"], first["_api_content"]) == ("n", {"a": [1, None]}, "raw")
    assert second["content"] == "b"


def test_what_no_json_can_hold_is_told_in_words(path):
    """A set, a circle and an odd key do not block the flush for ever."""
    circle: list[object] = []
    circle.append(circle)
    with writing(path) as writer:
        assert flush(writer, [user("a", extra={1, 2}), user("b", tool_calls=circle), user("c", odd={(1, 2): 3})]) is True
        assert contents(path) == ["a", "b", "c"]


def test_counts_and_the_old_cursor_are_kept(path):
    """Old readers find the cursor, and the session row counts what it holds."""
    with writing(path, profile={"source": "cli", "metadata": {"a": 1}}) as writer:
        messages = [user("a"), assistant("", tool_calls=[{"id": "c1"}, {"id": "c2"}])]
        flush(writer, messages)
        assert writer._last_flushed_db_idx == 2
        assert rows(path, "SELECT message_count, tool_call_count, source, metadata FROM sessions") == [(2, 2, "cli", '{"a": 1}')]


def test_a_flush_without_news_writes_nothing(path):
    """Not one byte, however often it is called."""
    with writing(path) as writer:
        messages = [user("a"), assistant("b")]
        flush(writer, messages)
        with writing(path) as other:
            before = other.database.version()
            for _ in range(3):
                assert flush(writer, messages, messages) is True
            assert other.database.version() == before
