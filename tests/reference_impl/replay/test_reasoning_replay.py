"""Items go back to who made them, in their places, and to nobody else; a refusal of them costs one request and no text."""

from __future__ import annotations

import pytest

from pytest_durability.world.provider.provider import Provider
from reference_impl.replay import (
    AzureOpenAIProvider,
    LLMMessage,
    NativeMessage,
    NativeToolCodec,
    OpenAIProvider,
    TextCodec,
    Timeline,
    replay_on,
    strip_carriers,
)
from reference_impl.replay.splice import SWITCH, UNKNOWN_RESULT
from tests.reference_impl.replay.helpers import ADD, MODEL, Direct, agent_over, bodies, items_in, texts_in, think


def talk(agent, service, turns, **options):
    """Some turns, each with a thought of its own."""
    for number in range(1, turns + 1):
        think(service, f"thought {number}", f"reply {number}")
        agent.turn(f"question {number}", **options)


def kinds(body):
    """The input in short."""
    return [item.get("type") or item["role"] for item in body["input"]]


def test_items_go_back_before_their_message():
    """In the second turn the item of the first stands right before the reply it led to; its words are not sent beside it."""
    agent, service = agent_over()
    talk(agent, service, 2)
    assert kinds(bodies(service)[1]) == ["user", "reasoning", "assistant", "user"]
    assert texts_in(bodies(service)[1]) == ["reply 1"]


@pytest.mark.parametrize("change", ["model", "host", "kind"])
def test_another_provider_gets_text_only(change):
    """Another model, endpoint or service gets the thought in words, and no trace of the item."""
    agent, service = agent_over()
    talk(agent, service, 1)
    other = {"model": {"model": "gpt-5"}, "host": {"host": "two.test"}, "kind": {"kind": AzureOpenAIProvider}}[change]
    agent.provider = agent_over(service, **other)[0].provider
    talk(agent, service, 1)
    assert kinds(bodies(service)[1]) == ["user", "assistant", "assistant", "user"]
    assert texts_in(bodies(service)[1]) == ["thought 1", "reply 1"]
    assert "_" not in {str(key)[0] for item in bodies(service)[1]["input"] for key in item}


@pytest.mark.parametrize("value", ["0", "false", "off", "no", " OFF ", "No", "False\n"])
def test_the_switch_is_off(monkeypatch, value):
    """Spaces and case do not matter. No item is sent; capture goes on, so that switching on later works."""
    agent, service = agent_over()
    monkeypatch.setenv(SWITCH, value)
    talk(agent, service, 2)
    assert items_in(bodies(service)[1]) == []
    monkeypatch.delenv(SWITCH)
    talk(agent, service, 1)
    assert len(items_in(bodies(service)[2])) == 2


@pytest.mark.parametrize("value", ["", "1", "true", "on", "yes", "anything"])
def test_the_switch_is_on(monkeypatch, value):
    """Everything that does not say off is on, the empty string too."""
    monkeypatch.setenv(SWITCH, value)
    assert replay_on()


def test_a_call_follows_its_item_and_the_result_follows_the_call():
    """The order of the service: item, call, result, then the next item and the text."""
    agent, service = agent_over(tools=[ADD])
    service.reasoning("add them").tool_call("add", {"a": 2, "b": 2})
    talk(agent, service, 2)
    assert kinds(bodies(service)[1]) == ["user", "reasoning", "function_call", "function_call_output"]
    assert kinds(bodies(service)[2])[1:] == [
        "reasoning",
        "function_call",
        "function_call_output",
        "reasoning",
        "assistant",
        "user",
    ]


def test_each_call_has_its_own_item():
    """Two thoughts with a call each come back as two pairs, not as two thoughts and two calls."""
    agent, service = agent_over(tools=[ADD])
    service.reasoning("a").tool_call("add", {"a": 1, "b": 1}).reasoning("b").tool_call("add", {"a": 2, "b": 2})
    talk(agent, service, 1)
    pair = ["reasoning", "function_call", "function_call_output"]
    assert kinds(bodies(service)[1]) == ["user", *pair, *pair]
    assert bodies(service)[1]["input"][3]["output"] == "2"


def test_text_stands_before_the_calls():
    """A reply that says something and calls comes back in that order, the item before the text."""
    agent, service = agent_over(tools=[ADD])
    service.reasoning("a").text("let me see").tool_call("add", {"a": 1, "b": 1})
    talk(agent, service, 1)
    assert kinds(bodies(service)[1]) == ["user", "reasoning", "assistant", "function_call", "function_call_output"]


def test_items_accumulate():
    """Each turn sends one item more."""
    agent, service = agent_over()
    talk(agent, service, 4)
    assert [len(items_in(body)) for body in bodies(service)] == [0, 1, 2, 3]


def test_streamed_turns_replay_as_well():
    """Items that were captured from a stream go back like all others."""
    agent, service = agent_over()
    talk(agent, service, 3, on_text=lambda _: None)
    assert [len(items_in(body)) for body in bodies(service)] == [0, 1, 2]


def test_carriers_are_stripped_also_where_there_are_no_items():
    """An empty list is stripped like a full one."""
    service = Provider()
    service.otherwise("ok")
    provider = OpenAIProvider(Direct(service), MODEL)
    carriers = {"_reasoning_items": [], "_reasoning_fingerprint": None, "_response_id": None, "_anything": 1}
    provider.chat([{"role": "user", "content": "x", **carriers}, {"role": "assistant", "content": "y", **carriers}])
    assert bodies(service)[0]["input"] == [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]
    assert strip_carriers([{"role": "user", **carriers}]) == [{"role": "user"}]


def test_messages_carry_what_the_entry_holds():
    """`to_llm_messages` puts the metadata of the thought onto its message."""
    agent, service = agent_over()
    talk(agent, service, 1)
    message = agent.timeline.to_llm_messages()[1]
    assert (len(message.reasoning_items), message.reasoning_fingerprint) == (1, agent.provider.fingerprint)
    assert message.response_id.startswith("resp_")


def test_plain_messages_are_merged_and_others_are_not():
    """Adjacent texts become one; where either has items, or follows some, it stays as it is."""
    timeline = Timeline()
    for text in ("a", "b"):
        timeline.add("agent_response", text)
    timeline.add("agent_thoughts", "t", metadata={"reasoning_items": [{"type": "reasoning"}], "fingerprint": "f"})
    for text in ("c", "d", "e"):
        timeline.add("agent_response", text)
    assert [message.content for message in timeline.to_llm_messages()] == ["a\n\nb", "t", "c", "d\n\ne"]
    assert len(timeline.to_llm_messages(merge=False)) == 6


@pytest.mark.parametrize("separate", [False, True])
def test_every_mode_carries_the_items(separate):
    """The newest message of the user may be kept apart; the items are there all the same."""
    agent, service = agent_over()
    talk(agent, service, 2)
    for text in ("x", "y"):
        agent.timeline.add("user_message", text)
    messages = agent.timeline.to_llm_messages(separate_latest_user=separate)
    assert sum(len(message.reasoning_items or ()) for message in messages) == 2
    assert messages[-1].content == ("y" if separate else "x\n\ny")


def test_an_item_without_its_follower_stays_away():
    """A reply that ran out of tokens while it was thinking left an item before nothing."""
    agent, service = agent_over()
    service.reasoning("endless").ends("incomplete")
    agent.turn("x")
    talk(agent, service, 1)
    assert kinds(bodies(service)[1]) == ["user", "assistant", "user"]


def test_an_item_is_sent_once():
    """A session that holds one twice, for whatever reason, sends the first one."""
    item = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"}
    provider = OpenAIProvider(Direct(Provider()), MODEL)
    message = LLMMessage("assistant", "x", reasoning_items=(item, item), reasoning_fingerprint=provider.fingerprint)
    wire = NativeToolCodec().prepare_messages([message, message])
    assert provider._convert_to_responses_input(wire, replay=True).items == 1


def test_text_that_was_shown_is_never_left_out():
    """A native message holds its items itself, and its text was shown: both are sent."""
    provider = OpenAIProvider(Direct(Provider()), MODEL)
    item = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA", "status": "completed"}
    metadata = {"reasoning_items": [item], "fingerprint": provider.fingerprint}
    message = NativeMessage("assistant", "shown", metadata=metadata).to_llm_message()
    sent = provider._convert_to_responses_input(NativeToolCodec().prepare_messages([message]), replay=True).input
    assert sent == [{key: item[key] for key in item if key != "status"}, {"role": "assistant", "content": "shown"}]


def test_a_native_message_may_say_and_call_at_once():
    """Text, calls and items of one message: the item, the text, the calls, then the results."""
    agent, service = agent_over()
    item = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"}
    calls = [{"id": name, "name": "add", "arguments": "{}"} for name in ("c1", "c2")]
    metadata = {"reasoning_items": [item], "fingerprint": agent.provider.fingerprint}
    said = {"role": "assistant", "content": "let me see", "tool_calls": calls, "metadata": metadata}
    results = [{"role": "tool", "content": name, "tool_call_id": name} for name in ("c1", "c2")]
    agent.timeline.load_from_entries([{"role": "user", "content": "x"}, said, *results])
    service.otherwise("ok")
    agent.turn("y")
    sent = [
        "user",
        "reasoning",
        "assistant",
        "function_call",
        "function_call",
        "function_call_output",
        "function_call_output",
        "user",
    ]
    assert kinds(bodies(service)[0]) == sent


def test_other_things_to_include_are_asked_for_as_well():
    """The flag is added to what the program wants, and given up alone."""
    service = Provider()
    service.reject("responses.include_unsupported")
    service.otherwise("ok")
    wanted = ["message.output_text.logprobs"]
    provider = OpenAIProvider(Direct(service), MODEL, options={"include": wanted})
    provider.chat([{"role": "user", "content": "x"}])
    assert [body["include"] for body in bodies(service)] == [[*wanted, "reasoning.encrypted_content"], wanted]


def test_the_text_codec_carries_nothing():
    """Calls are text there, so no item has a follower that could be named."""
    codec = TextCodec()
    item = {"type": "reasoning", "id": "rs_1"}
    call = {"id": "c", "name": "add", "arguments": '{"a": 1}'}
    sent = codec.prepare_messages([LLMMessage("assistant", "x", [call], reasoning_items=(item,), reasoning_fingerprint="f")])
    assert sent == [{"role": "assistant", "content": 'x\n<tool_call>{"name": "add", "arguments": "{\\"a\\": 1}"}</tool_call>'}]


def test_both_codecs_keep_the_items_of_a_reply():
    """What was captured is written down whichever codec is in use."""
    agent, service = agent_over(codec=TextCodec(), tools=[ADD])
    think(service, "hm", 'so: <tool_call>{"name": "add", "arguments": {"a": 1, "b": 2}}</tool_call>')
    think(service, "ah", "3")
    assert agent.turn("x") == "3"
    assert [one.content for one in agent.timeline.entries if one.type == "tool_result"] == ["3"]
    assert sum(len(one.metadata.get("reasoning_items", ())) for one in agent.timeline.entries) == 2


def test_a_call_without_a_result_is_answered_before_the_next_turn():
    """A process that died in a tool does not make every later request invalid."""
    agent, service = agent_over()
    agent.timeline.add("tool_call", tool_calls=({"id": "c1", "name": "add", "arguments": "{}"},))
    talk(agent, service, 2)
    assert [item["output"] for item in bodies(service)[1]["input"] if item.get("call_id") == "c1" and "output" in item] == [
        UNKNOWN_RESULT
    ]
