"""What the agent writes down of a reply: metadata at the thought and nowhere else, and what a file makes of it."""

from __future__ import annotations

import json

import pytest

from pytest_durability.world.provider.provider import Provider
from reference_impl.replay import CompressedTimeline, ParsedResponse, Snapshots, STARAgent, Timeline
from tests.reference_impl.replay.helpers import ADD, MemoryDisk, agent_over, clock, think

ITEM = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"}


def recorded(parsed, **options):
    """An agent that has written down one reply."""
    agent, _ = agent_over(timeline=Timeline(clock=clock()), **options)
    agent._record_think_results(parsed)
    return agent


def test_metadata_has_items_fingerprint_and_response_id():
    """These three, and nothing beside them."""
    agent, _ = agent_over()
    found = agent._build_thinking_metadata(ParsedResponse(reasoning_items=(ITEM,), response_id="resp_1"))
    assert found == {"reasoning_items": [ITEM], "fingerprint": agent.provider.fingerprint, "response_id": "resp_1"}


def test_metadata_without_items_is_empty():
    """A thought in words alone carries nothing."""
    agent, _ = agent_over()
    assert agent._build_thinking_metadata(ParsedResponse(reasoning="hm", response_id="resp_1")) == {}


def test_metadata_is_a_copy():
    """What is changed in the reply afterwards does not change what was written down."""
    agent, _ = agent_over()
    item = dict(ITEM)
    found = agent._build_thinking_metadata(ParsedResponse(reasoning_items=(item,)))
    item["status"] = "completed"
    assert found["reasoning_items"] == [ITEM]


class Without:
    """A provider that has no fingerprint."""


class Failing:
    """A provider whose fingerprint cannot be told."""

    @property
    def fingerprint(self):
        raise OSError


class Odd:
    """A provider whose fingerprint is no text."""

    fingerprint = 7


@pytest.mark.parametrize("provider", [None, Without(), Failing(), Odd()])
def test_a_provider_without_a_fingerprint_gives_none(provider):
    """It does not raise, and what it made is never replayed."""
    assert STARAgent(provider)._provider_fingerprint() is None


def test_a_reply_is_a_thought_and_a_response():
    """The thought comes first, and it alone has metadata."""
    agent = recorded(ParsedResponse("4", reasoning="hm", reasoning_items=(ITEM,)))
    assert [(one.type, one.content, bool(one.metadata)) for one in agent.timeline.entries] == [
        ("agent_thoughts", "hm", True),
        ("agent_response", "4", False),
    ]


def test_a_reply_with_calls_is_a_thought_and_calls_with_results():
    """Each call has its result right after it, and neither has metadata."""
    calls = tuple({"id": f"c{n}", "name": "add", "arguments": f'{{"a": {n}, "b": 1}}'} for n in (1, 2))
    agent = recorded(ParsedResponse("", calls, reasoning_items=(ITEM,)), tools=[ADD])
    assert [(one.type, one.content, bool(one.metadata)) for one in agent.timeline.entries] == [
        ("agent_thoughts", "", True),
        ("tool_call", "", False),
        ("tool_result", "2", False),
        ("tool_call", "", False),
        ("tool_result", "3", False),
    ]


def test_an_unknown_tool_is_a_failed_call_with_a_result():
    """The model is told, and the request stays valid."""
    agent = recorded(ParsedResponse("", ({"id": "c1", "name": "nope", "arguments": "{"},)))
    assert [one.type for one in agent.timeline.entries] == ["failed_tool_call", "tool_result"]
    assert "nope" in agent.timeline.entries[1].content


def test_items_without_words_are_written_down():
    """An empty summary with encrypted content is a thought as well."""
    agent = recorded(ParsedResponse("4", reasoning_items=(ITEM,)))
    assert [one.type for one in agent.timeline.entries] == ["agent_thoughts", "agent_response"]


def test_words_without_items_are_written_down():
    """A thought of another kind of model is kept as text."""
    agent = recorded(ParsedResponse("4", reasoning="hm"))
    assert [(one.type, one.metadata) for one in agent.timeline.entries] == [("agent_thoughts", {}), ("agent_response", {})]


def test_no_reasoning_is_no_thought():
    """A plain reply is a plain entry."""
    assert [one.type for one in recorded(ParsedResponse("4")).timeline.entries] == ["agent_response"]


@pytest.mark.parametrize("kind", [Timeline, CompressedTimeline])
def test_entries_survive_json(kind):
    """What is written and read again is the same, to the last key of the metadata."""
    agent, service = agent_over(timeline=kind(clock=clock()), tools=[ADD])
    service.reasoning("hm").tool_call("add", {"a": 2, "b": 2})
    think(service, "ah", "4")
    agent.turn("2 + 2?")
    again = kind()
    again.load_from_entries(json.loads(json.dumps(agent.timeline.to_entries())))
    assert again.to_entries() == agent.timeline.to_entries()
    assert again.to_llm_messages() == agent.timeline.to_llm_messages()


def test_unknown_keys_and_unknown_types_survive():
    """What a later version wrote is written again, and is not sent."""
    strange = {
        "type": "mood",
        "content": "fine",
        "metadata": {"x": 1},
        "message_id": "m9",
        "seq": 9,
        "colour": "red",
        "timestamp": "",
    }
    timeline = Timeline()
    timeline.load_from_entries([strange])
    assert timeline.to_entries() == [strange]
    assert timeline.to_llm_messages() == []


def test_ephemeral_entries_are_not_saved():
    """They are shown to the model as long as the process lives."""
    timeline = Timeline()
    timeline.add("context", "the weather", ephemeral=True)
    assert (len(timeline.to_llm_messages()), timeline.to_entries()) == (1, [])


def test_sessions_do_not_share_anything():
    """Two agents in one folder know their own items only."""
    disk, service = MemoryDisk(), Provider()
    first, _ = agent_over(service, snapshots=Snapshots("f", disk), session_id="one")
    second, _ = agent_over(service, snapshots=Snapshots("f", disk), session_id="two")
    think(service, "a", "A")
    think(service, "b", "B")
    first.turn("x")
    second.turn("y")
    loaded = {}
    for name in ("one", "two"):
        timeline = CompressedTimeline()
        assert Snapshots("f", disk).load(name, timeline)
        loaded[name] = [one.content for one in timeline.entries]
    assert loaded == {"one": ["x", "a", "A"], "two": ["y", "b", "B"]}
