"""The end of a turn: text that was shown is in its rows, once, whatever ended it."""

from __future__ import annotations

from contextlib import closing

import pytest

from reference_impl.transcript import Done, StreamCutError, Text, UnsavedError
from reference_impl.transcript.delivered import Delivered
from reference_impl.transcript.finalizer import CLOSINGS, INTERRUPTED_CALL, TurnEnd, turn_finalizer
from reference_impl.transcript.repair import CUT_NOTE
from reference_impl.transcript.rows import AWAITING, STAMP
from tests.reference_impl.transcript.helpers import (
    calls,
    contents,
    cut_after,
    ids,
    loaded,
    locked,
    opened,
    rows,
    said,
    says,
    shown,
    talk,
)


def end(outcome, *own, delivered="", reply="", history=(), earlier=""):
    """A turn that ended with these rows of its own, as the finalizer gets it."""
    user = {"role": "user", "content": "q", "_message_id": "u", "_turn_id": "t"}
    shown_text = [Delivered("t", "m", delivered)] if delivered else []
    return TurnEnd(outcome, "t", [*history, user, *own], user, ids, reply, shown_text, earlier)


def replies(ended):
    """The contents of assistant rows."""
    return [m["content"] for m in ended.messages if m["role"] == "assistant"]


def test_partial_stream_recovery_persists_recovered_assistant_message(agents, path):
    """The stream dies after some text: the text is a row, marked as interrupted, and a new process finds it."""
    agent = agents()
    turn = agent.begin("hello")
    assert shown(turn, cut_after("par", "tial")) == "partial"
    assert turn.result.outcome == "partial_stream_recovery"
    assert rows(path, "SELECT role, content, interrupted FROM messages ORDER BY seq") == [
        ("user", "hello", 0),
        ("assistant", "partial", 1),
    ]
    assert loaded(path) == [("user", "hello"), ("assistant", "partial")]


def test_interrupted_stream_persists_visible_assistant_text(agent, path):
    """The user stops the reply: what was visible is a row."""
    turn = agent.begin("hello")
    assert shown(turn, says("vis", "ible", "!"), stop_after=2) == "visible"
    assert turn.result.outcome == "interrupted"
    assert contents(path) == ["hello", "visible"]


def test_partial_stream_recovery_uses_streamed_content(agent):
    """The reply of the turn is what was streamed; nothing marks it as shown in full, so the notice is still to be shown."""
    turn = agent.begin("hello")
    shown(turn, cut_after("streamed"))
    assert turn.result.text == turn.result.delivered == "streamed"
    assert turn.result.undelivered == turn.result.notice != ""


def test_partial_stream_recovery_on_empty_stub(agent, path):
    """The provider closes a broken stream with an empty reply: the text that was delivered stands in for it."""

    def stub(request):
        yield Text("delivered")
        yield Done(finish_reason="error", text="")

    turn = agent.begin("hello")
    shown(turn, stub)
    assert turn.result.text == "delivered"
    assert contents(path) == ["hello", "delivered"]


def test_partial_stream_recovery_preempts_prior_turn_fallback(agent, path):
    """What this turn has shown comes before anything that a prior turn said."""
    talk(agent, "one", "prior")
    turn = agent.begin("two")
    shown(turn, cut_after("this"))
    assert turn.result.text == "this"
    turn = agent.begin("three")
    shown(turn, says())
    assert turn.result.text == "this"  # nothing was said in this turn: the prior text may be shown, and is not written again
    assert contents(path) == ["one", "prior", "two", "this", "three", ""]


def test_text_of_this_turn_is_not_written_twice():
    """The turn already has the row, by id or, where it has no id, by its text."""
    by_id = end("interrupted", {"role": "assistant", "content": "text", "_message_id": "m"}, delivered="text")
    by_text = end("interrupted", {"role": "assistant", "content": " text and more"}, delivered="text")
    for ended in (by_id, by_text):
        before = replies(ended)
        assert turn_finalizer(ended).changed == []
        assert replies(ended) == before


def test_a_row_that_holds_a_prefix_is_amended():
    """And loses its stamp, so that the flush writes it; one that holds more is left."""
    for key in ({"_message_id": "m"}, {}):
        row = {"role": "assistant", "content": "te", STAMP: "s", **key}
        ended = end("interrupted", row, delivered="text")
        turn_finalizer(ended)
        assert replies(ended) == ["text"]
        assert STAMP not in row


def test_an_earlier_turn_is_no_reason_to_leave_text_out():
    """The same answer stands in the history."""
    ended = end(
        "interrupted", history=[{"role": "user", "content": "q"}, {"role": "assistant", "content": "yes"}], delivered="yes"
    )
    turn_finalizer(ended)
    assert replies(ended) == ["yes", "yes"]


def test_another_row_of_the_assistant_is_no_reason_either():
    """A row of this turn with another text does not hold this one."""
    ended = end("interrupted", {"role": "assistant", "content": "other", "_message_id": "x"}, delivered="text")
    turn_finalizer(ended)
    assert replies(ended) == ["other", "text"]


def test_a_sentinel_gives_way_to_the_text():
    """Somebody stored a remark under the id of the reply."""
    ended = end("interrupted", {"role": "assistant", "content": "[waiting]", "_message_id": "m"}, delivered="text")
    turn_finalizer(ended)
    assert replies(ended) == ["text"]


def test_a_blank_row_with_calls_is_filled_in():
    """The provider repeats no text beside its calls; the user saw some."""
    row = {"role": "assistant", "content": "", "tool_calls": [{"id": "c"}], "_message_id": "m", AWAITING: True}
    ended = end("complete", row, delivered="let me look")
    turn_finalizer(ended)
    assert replies(ended) == ["let me look"]


def test_a_turn_that_was_merged_away_is_still_found():
    """A repair in place has merged the user message; its rows are this turn's all the same."""
    ended = end("interrupted", delivered="text")
    earlier = {"role": "user", "content": "before"}
    ended.messages[:] = [{"role": "user", "content": "before\n\nq", "_parts": (earlier, ended.user)}]
    turn_finalizer(ended)
    assert replies(ended) == ["text"]


def test_nothing_shown_and_a_result_at_the_end(agent, path):
    """The user stops the turn after a tool: the history is closed for the model, and shows nothing to the user."""
    turn = agent.begin("look")
    with pytest.raises(KeyboardInterrupt):
        shown(turn, calls("c"), lambda call: stop())
    assert [m["role"] for m in agent.messages] == ["user", "assistant", "tool", "assistant"]
    assert agent.messages[2]["content"] == INTERRUPTED_CALL
    assert (agent.messages[3]["content"], agent.messages[3]["_api_content"]) == ("", CLOSINGS["interrupted"])
    assert said(agent.messages) == said(agent.transcript())


def stop():
    """The user presses the key."""
    raise KeyboardInterrupt


def test_a_stream_that_dies_before_any_text_is_told_to_user_and_model(agent):
    """The caller gets the error, the user the notice, and the model learns that nothing is confirmed."""
    turn = agent.begin("do it")
    with pytest.raises(StreamCutError) as found:
        shown(turn, cut_after())
    assert isinstance(found.value.__cause__, ConnectionResetError)
    assert "not confirmed" in turn.result.undelivered
    assert "not confirmed" in agent.begin("and?").open()[1]["content"]


def test_the_model_learns_that_a_reply_was_cut(agent):
    """Otherwise a cut reply looks like a final one."""
    shown(agent.begin("one"), cut_after("half"))
    assert agent.begin("two").open()[1]["content"] == "half" + CUT_NOTE


def test_a_model_that_only_calls_tools_is_stopped(agent):
    """The turn ends with a notice instead of never."""
    turn = agent.begin("look")
    list(turn.run(lambda request: calls("c")([{"role": "user"}]), None, rounds=3))
    assert turn.result.outcome == "out_of_budget"
    assert "too many steps" in turn.result.notice
    assert [m["role"] for m in agent.messages] == ["user", *["assistant", "tool"] * 3, "assistant"]


def test_a_longer_final_text_is_shown_to_its_end(agent, path):
    """The provider repeats the whole text at the end: what the stream left out is shown then, and other words are kept aside."""
    assert shown(agent.begin("one"), says("beg", text="beginning")) == "beginning"
    assert shown(agent.begin("two"), says("shown", text="Other words")) == "shown"
    assert rows(path, "SELECT content, api_content FROM messages WHERE role = 'assistant' ORDER BY seq") == [
        ("beginning", None),
        ("shown", "Other words"),
    ]


def test_a_failed_final_flush_is_reported_and_made_up_for(agents, path):
    """The user has the reply, the caller the error, and the next flush writes it."""
    agent = agents()
    turn = agent.begin("one")
    stream = turn.run(says("1"))
    assert next(stream) == "1"
    with locked(path), pytest.raises(UnsavedError, match="locked"):
        list(stream)
    assert (turn.result.text, turn.result.saved) == ("1", False)
    assert contents(path) == ["one"]
    talk(agent, "two", "2")
    assert contents(path) == ["one", "1", "two", "2"]
    assert list((path / "sessions").rglob("delivered-*")) == []


def test_input_that_cannot_be_saved_is_refused(agents, path):
    """It is not accepted, and sending it again under its id adds it once."""
    agent = agents()
    talk(agent, "one", "1")
    with locked(path), pytest.raises(UnsavedError, match="not accepted"):
        agent.begin("two", message_id="m2")
    for _ in range(2):
        shown(agent.begin("two", message_id="m2"), says("2"), stop_after=1)
        agent.close()
        agent = agents()
    assert contents(path)[:3] == ["one", "1", "two"]
    assert contents(path).count("two") == 1


def test_calls_that_wait_for_approval_stay_open(agents, path):
    """The turn ends, the calls do not: the user decides later, perhaps after a restart."""

    def asks(request):
        yield from calls("c")(request)
        yield Done(awaiting=True)

    agent = agents()
    turn = agent.begin("delete it")
    shown(turn, asks)
    assert turn.result.outcome == "complete"
    agent.close()
    again = opened(path)
    with closing(again):
        assert again.messages[-1][AWAITING] is True
        assert [m["role"] for m in again.messages] == ["user", "assistant"]
