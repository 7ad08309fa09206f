"""What a compaction keeps of reasoning: nothing in the summary, everything in what it left alone."""

from __future__ import annotations

import pytest

from reference_impl.replay import CompressedTimeline, NativeMessage, Timeline, compression_engine
from tests.reference_impl.replay.helpers import ADD, agent_over, bodies, clock, items_in, texts_in, think


def talked(turns, kind=CompressedTimeline, **options):
    """An agent after some turns of three entries each."""
    agent, service = agent_over(timeline=kind(clock=clock()), **options)
    for number in range(1, turns + 1):
        think(service, f"thought {number}", f"reply {number}")
        agent.turn(f"question {number}")
    return agent, service


def test_a_native_message_carries_its_reasoning():
    """Items, fingerprint and response id go from the metadata to the message."""
    metadata = {"reasoning_items": [{"type": "reasoning"}], "fingerprint": "f", "response_id": "r"}
    message = NativeMessage("assistant", "x", metadata=metadata).to_llm_message()
    assert (message.reasoning_items, message.reasoning_fingerprint, message.response_id) == (({"type": "reasoning"},), "f", "r")


def test_a_native_message_without_items_carries_nothing():
    """Neither does one of the user, whatever its metadata say."""
    metadata = {"reasoning_items": [{"type": "reasoning"}], "fingerprint": "f"}
    assert NativeMessage("assistant", "x", metadata={"fingerprint": "f"}).to_llm_message().reasoning_fingerprint is None
    assert NativeMessage("user", "x", metadata=metadata).to_llm_message().reasoning_items is None


@pytest.mark.parametrize("kind", [Timeline, CompressedTimeline])
def test_kept_entries_keep_their_items(kind):
    """End to end: after a compaction the next request holds the items of what was kept, and no others."""
    agent, service = talked(3, kind)
    assert agent.compress(lambda prompt: "so far: two questions", keep=3)
    think(service, "t", "reply 4")
    agent.turn("question 4")
    (item,) = items_in(bodies(service)[-1])
    assert item["summary"][0]["text"] == "thought 3"
    assert (texts_in(bodies(service)[-1], "system"), texts_in(bodies(service)[-1])) == (["so far: two questions"], ["reply 3"])


def test_compressed_entries_vanish_with_their_items():
    """The summary has three keys of its own, and nothing of those it stands for."""
    agent, _ = talked(2)
    agent.compress(lambda prompt: "short", keep=1)
    summary, kept = agent.timeline.entries
    assert set(summary.metadata) - {"type", "message_id", "seq"} == {
        "compressed_context",
        "compression_timestamp",
        "compressed_entries_count",
    }
    assert (summary.content, summary.metadata["compressed_entries_count"], kept.content) == ("short", 5, "reply 2")


def test_nothing_kept_is_a_single_summary():
    """Everything is summarised, and the conversation goes on from there."""
    agent, service = talked(2)
    agent.compress(lambda prompt: "short", keep=0)
    assert [one.type for one in agent.timeline.entries] == ["timeline_summary"]
    think(service, "t", "reply")
    assert agent.turn("and now?") == "reply"


@pytest.mark.parametrize("summary", ["", "  \n", None])
def test_an_empty_summary_changes_nothing(summary):
    """Nothing is given away for nothing."""
    agent, _ = talked(2)
    before = agent.timeline.to_entries()
    assert not agent.compress(lambda prompt: summary, keep=0)
    assert agent.timeline.to_entries() == before


def test_a_failing_summary_changes_nothing():
    """A model is asked, and models fail."""
    agent, _ = talked(2)
    before = agent.timeline.to_entries()
    assert not agent.compress(lambda prompt: 1 / 0, keep=0)
    assert agent.timeline.to_entries() == before


def test_a_second_compaction_is_told_the_first_summary():
    """The prompt holds it, apart from what was said since."""
    agent, service = talked(2)
    agent.compress(lambda prompt: "FIRST", keep=0)
    think(service, "t", "reply 3")
    agent.turn("question 3")
    prompts = []
    agent.compress(lambda prompt: prompts.append(prompt) or "SECOND", keep=0)
    assert "The summary so far:\n\nFIRST\n\nWhat was said since:" in prompts[0]
    assert "reply 3" in prompts[0]


def test_a_summary_alone_is_not_summarised_again():
    """It would only get shorter."""
    agent, _ = talked(1)
    agent.compress(lambda prompt: "short", keep=0)
    assert not agent.compress(lambda prompt: "shorter", keep=0)


@pytest.mark.parametrize("keep", range(8))
def test_a_call_is_never_parted_from_its_result(keep):
    """Wherever the bound falls, what is kept holds calls and results in pairs."""
    agent, service = agent_over(tools=[ADD])
    service.reasoning("a").tool_call("add", {"a": 1, "b": 1}).reasoning("b").tool_call("add", {"a": 2, "b": 2})
    think(service, "t", "done")
    agent.turn("x")
    agent.compress(lambda prompt: "short", keep=keep)
    entries = agent.timeline.entries
    called = [call["id"] for one in entries for call in one.tool_calls]
    assert called == [one.tool_call_id for one in entries if one.tool_call_id is not None]


def test_a_call_that_waits_for_its_result_is_kept():
    """The result comes later, and must find its call."""
    agent, _ = talked(1)
    agent.timeline.add("tool_call", tool_calls=({"id": "c1", "name": "add", "arguments": "{}"},))
    agent.compress(lambda prompt: "short", keep=0)
    assert [one.type for one in agent.timeline.entries] == ["timeline_summary", "tool_call"]


def test_the_bound_may_be_in_tokens():
    """The newest entries that fit are kept; a tokenizer is handed in."""
    agent, _ = talked(3)
    agent.compress(lambda prompt: "short", keep_tokens=8, count_tokens=lambda text: len(text.split()))
    assert [one.content for one in agent.timeline.entries] == ["short", "thought 3", "reply 3"]


def test_what_comes_during_a_compaction_stays():
    """The model that summarises takes its time; an entry that was added in the meantime is neither lost nor summarised."""
    agent, _ = talked(1)
    agent.compress(lambda prompt: agent.timeline.add("user_message", "late") and "short", keep=0)
    assert [one.content for one in agent.timeline.entries] == ["short", "late"]


def test_compressing_is_a_function():
    """The entries that were given are not touched."""
    agent, _ = talked(1)
    before = list(agent.timeline.entries)
    summary, count = compression_engine.compress(before, lambda prompt: "short", timestamp="t", keep=1)
    assert (summary.content, count, before) == ("short", 2, agent.timeline.entries)
