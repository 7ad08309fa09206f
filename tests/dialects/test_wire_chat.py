"""OpenAI Chat Completions chunks, held against the types of the openai package."""

from __future__ import annotations

import json

import pytest

from pytest_durability.dialects.replies import Reply
from pytest_durability.dialects.wire import Stamp
from pytest_durability.dialects.wire_chat import body, events
from tests.dialects.replied import ALL, ASKED, CALLING, NAMES, TALKING, THINKING, check_events, contents


def chunks(reply, asked=ASKED):
    """The chunks as the openai package types them; a missing or wrong field is an error."""
    chat = pytest.importorskip("openai.types.chat")
    return [chat.ChatCompletionChunk.model_validate(chunk) for chunk in contents(events(reply, Stamp(1), asked))]


@pytest.mark.parametrize("reply", ALL, ids=NAMES)
def test_chunks_have_the_types_of_the_client(reply):
    """Every chunk is valid, all have one id, the first has the role, and the last says why it ends."""
    check_events(events(reply, Stamp(1), ASKED), reply)
    stream = chunks(reply)
    assert {chunk.id for chunk in stream} == {"chatcmpl-000001"}
    assert stream[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in stream][-1] == ("tool_calls" if reply.calls else "stop")
    assert events(reply, Stamp(1), ASKED)[-1].data == b"data: [DONE]\n\n"


@pytest.mark.parametrize("reply", ALL, ids=NAMES)
def test_whole_bodies_have_the_types_of_the_client(reply):
    """A completion is valid and holds the text and the calls."""
    chat = pytest.importorskip("openai.types.chat")
    whole = chat.ChatCompletion.model_validate_json(body(reply, Stamp(1), ASKED).data)
    message = whole.choices[0].message
    assert (message.content or "") == reply.text
    assert [call.function.arguments for call in message.tool_calls or ()] == [call.arguments for call in reply.calls]
    assert whole.usage.total_tokens > 0


def test_calls_are_numbered_and_named_once():
    """Each call has an index of its own; its id and name come with its first chunk only."""
    heads = [call for chunk in chunks(THINKING) for call in chunk.choices[0].delta.tool_calls or () if call.id]
    assert [(call.index, call.function.name, call.function.arguments) for call in heads] == [(0, "f", ""), (1, "g", "")]
    assert chunks(CALLING)[1].choices[0].delta.tool_calls[0].id == "call_own"


def test_usage_is_sent_when_asked_for():
    """With `include_usage` a chunk without a choice comes before [DONE], and the others say null."""
    stream = contents(events(TALKING, Stamp(1), {**ASKED, "stream_options": {"include_usage": True}}))
    assert stream[-1]["choices"] == []
    assert stream[-1]["usage"]["total_tokens"] > 0
    assert [chunk["usage"] for chunk in stream[:-1]] == [None] * (len(stream) - 1)
    assert all("usage" not in chunk for chunk in contents(events(TALKING, Stamp(1), {**ASKED, "stream_options": None})))


@pytest.mark.parametrize(("end", "reason"), [("incomplete", "length"), ("abort", "abort")])
def test_other_ends(end, reason):
    """The reason of the end is in the last chunk, and in a whole body."""
    reply = Reply(TALKING.parts, end)
    assert contents(events(reply, Stamp(1), ASKED))[-1]["choices"][0]["finish_reason"] == reason
    assert json.loads(body(reply, Stamp(1), ASKED).data)["choices"][0]["finish_reason"] == reason


@pytest.mark.parametrize("end", ["failed", "error"])
def test_a_reply_that_fails(end):
    """An error object takes the place of the end, without [DONE]; a whole body is the error."""
    stream = events(Reply(TALKING.parts, end), Stamp(1), ASKED)
    assert contents(stream)[-1]["error"]["type"] == "server_error"
    assert b"[DONE]" not in stream[-1].data
    assert json.loads(body(Reply(TALKING.parts, end), Stamp(1), ASKED).data)["error"]["type"] == "server_error"
