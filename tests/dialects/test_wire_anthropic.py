"""Anthropic Messages events, held against the types of the anthropic package."""

from __future__ import annotations

import functools
import json

import pytest

from pytest_durability.dialects import replies
from pytest_durability.dialects.replies import Reply
from pytest_durability.dialects.wire import REASONING, SEAL, Stamp
from pytest_durability.dialects.wire_anthropic import body, content, events
from tests.dialects.replied import ALL, ASKED, NAMES, TALKING, THINKING, UNSEALED, check_events, contents


@functools.cache
def adapter():
    """The events of the anthropic package; a missing or wrong field is an error."""
    types = pytest.importorskip("anthropic.types")
    return pytest.importorskip("pydantic").TypeAdapter(types.RawMessageStreamEvent)


@pytest.mark.parametrize("reply", ALL, ids=NAMES)
def test_events_have_the_types_of_the_client(reply):
    """Every event but the ping is valid, the first starts the message and the last stops it."""
    stream = events(reply, Stamp(1), ASKED)
    check_events(stream, reply)
    kinds = [adapter().validate_python(event).type for event in contents(stream) if event["type"] != "ping"]
    assert (kinds[0], kinds[-2], kinds[-1]) == ("message_start", "message_delta", "message_stop")
    assert kinds.count("content_block_start") == kinds.count("content_block_stop") == len(reply.parts)


@pytest.mark.parametrize("reply", ALL, ids=NAMES)
def test_whole_bodies_have_the_types_of_the_client(reply):
    """A message is valid and holds the blocks that the stream adds up to."""
    types = pytest.importorskip("anthropic.types")
    whole = types.Message.model_validate_json(body(reply, Stamp(1), ASKED).data)
    assert [block.model_dump(exclude_unset=True) for block in whole.content] == content(reply, Stamp(1))
    assert whole.stop_reason == ("tool_use" if reply.calls else "end_turn")


def test_the_signature_follows_the_thinking():
    """It is an event of its own, right behind the last piece of thinking; without one the block has an empty signature."""
    kinds = [event.kind for event in events(THINKING, Stamp(1), ASKED)]
    assert kinds[kinds.index(SEAL) - 1] == REASONING
    assert kinds.count(SEAL) == 1
    assert SEAL not in [event.kind for event in events(UNSEALED, Stamp(1), ASKED)]
    assert content(UNSEALED, Stamp(1))[0]["signature"] == ""


@pytest.mark.parametrize(("end", "reason"), [("incomplete", "max_tokens"), ("abort", "abort")])
def test_other_ends(end, reason):
    """The stop reason is in the delta before the end, and in a whole body."""
    reply = Reply(TALKING.parts, end)
    assert contents(events(reply, Stamp(1), ASKED))[-2]["delta"]["stop_reason"] == reason
    assert json.loads(body(reply, Stamp(1), ASKED).data)["stop_reason"] == reason


@pytest.mark.parametrize(("end", "kind"), [("failed", "api_error"), ("error", "overloaded_error")])
def test_a_reply_that_fails(end, kind):
    """An error event takes the place of the end, and the block before it stays open."""
    stream = contents(events(Reply(TALKING.parts, end), Stamp(1), ASKED))
    assert (stream[-1]["type"], stream[-1]["error"]["type"]) == ("error", kind)
    assert stream[-2]["type"] == "content_block_delta"
    assert json.loads(body(Reply(TALKING.parts, end), Stamp(1), ASKED).data)["error"]["type"] == kind


def test_arguments_that_are_no_json():
    """A stream carries them as they are, a whole body cannot."""
    reply = Reply((replies.tool_call("f", "{broken"),))
    pieces = [
        event["delta"]["partial_json"]
        for event in contents(events(reply, Stamp(1), ASKED))
        if "delta" in event and "partial_json" in event["delta"]
    ]
    assert "".join(pieces) == "{broken"
    assert content(reply, Stamp(1))[0]["input"] == {}
