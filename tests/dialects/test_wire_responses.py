"""OpenAI Responses events, held against the types of the openai package."""

from __future__ import annotations

import functools

import pytest

from pytest_durability.dialects.replies import Reply
from pytest_durability.dialects.wire import SEAL, Stamp
from pytest_durability.dialects.wire_responses import body, events
from tests.dialects.replied import ALL, ASKED, NAMES, TALKING, THINKING, UNSEALED, check_events, content, contents


@functools.cache
def adapter(name):
    """A type of the openai package; a missing or wrong field is an error."""
    types = pytest.importorskip("openai.types.responses")
    return pytest.importorskip("pydantic").TypeAdapter(getattr(types, name))


def validated(value, name):
    """The value as the openai package types it."""
    return adapter(name).validate_python(value)


@pytest.mark.parametrize("reply", ALL, ids=NAMES)
@pytest.mark.parametrize("end", ["complete", "incomplete", "failed", "error"])
def test_events_have_the_types_of_the_client(reply, end):
    """Every event is valid, they are numbered from 0, and the pieces are those of the reply."""
    stream = events(Reply(reply.parts, end), Stamp(1), ASKED)
    check_events(stream, reply)
    for number, event in enumerate(contents(stream)):
        assert event["sequence_number"] == number
        assert validated(event, "ResponseStreamEvent").type == event["type"]


@pytest.mark.parametrize("reply", ALL, ids=NAMES)
def test_the_last_event_holds_the_whole_response(reply):
    """`response.completed` carries what the body of a request without `stream` would be."""
    whole = content(events(reply, Stamp(1), ASKED)[-1])["response"]
    validated(whole, "Response")
    assert body(reply, Stamp(1), ASKED).data == body(reply, Stamp(1), ASKED).data
    assert whole["status"] == "completed"
    assert [item["type"] for item in whole["output"]] == [
        {"Text": "message", "Reasoning": "reasoning", "ToolCall": "function_call"}[type(part).__name__] for part in reply.parts
    ]
    assert whole["usage"]["total_tokens"] == whole["usage"]["input_tokens"] + whole["usage"]["output_tokens"]


def test_each_item_is_opened_and_closed():
    """Every item is added in progress and empty, and done whole, under one index and one id."""
    stream = contents(events(THINKING, Stamp(1), ASKED))
    added = [event for event in stream if event["type"] == "response.output_item.added"]
    done = [event for event in stream if event["type"] == "response.output_item.done"]
    assert [(event["output_index"], event["item"]["id"]) for event in added] == [
        (event["output_index"], event["item"]["id"]) for event in done
    ]
    assert [event["item"].get("content", event["item"].get("arguments", [])) for event in added] == [[], [], "", ""]
    assert done[1]["item"]["content"][0]["text"] == "Hellö"
    text = next(event for event in stream if event["type"] == "response.output_text.done")
    assert text["text"] == "Hellö"


def test_encrypted_content_comes_with_the_item_that_is_done():
    """The seal is not in the item that is announced, so a cut before its end leaves reasoning without it."""
    stream = events(THINKING, Stamp(1), ASKED)
    sealing = [content(event) for event in stream if event.kind == SEAL]
    assert [event["type"] for event in sealing] == ["response.output_item.done"]
    assert sealing[0]["item"]["encrypted_content"]
    assert content(stream[2])["item"]["encrypted_content"] == ""
    assert "encrypted_content" not in events(UNSEALED, Stamp(1), ASKED)[2].data.decode()


def test_a_reply_that_runs_out_of_tokens():
    """The item is closed as incomplete, and the reason is told."""
    stream = contents(events(Reply(TALKING.parts, "incomplete"), Stamp(1), ASKED))
    assert stream[-1]["type"] == "response.incomplete"
    assert stream[-1]["response"]["incomplete_details"] == {"reason": "max_output_tokens"}
    assert stream[-1]["response"]["output"][0]["status"] == "incomplete"


@pytest.mark.parametrize(("end", "kind"), [("failed", "response.failed"), ("error", "error")])
def test_a_reply_that_fails(end, kind):
    """Its last item is never closed, and its error is a server error."""
    stream = contents(events(Reply(TALKING.parts, end), Stamp(1), ASKED))
    assert [stream[-2]["type"], stream[-1]["type"]] == ["response.output_text.delta", kind]
    assert (stream[-1].get("response", {}).get("error") or stream[-1])["code"] == "server_error"
    assert body(Reply(TALKING.parts, end), Stamp(1), ASKED).text == ""


def test_what_was_asked_for_is_echoed():
    """Model, previous response and tools of the request stand in the response."""
    asked = {**ASKED, "previous_response_id": "resp_0", "tools": [], "temperature": 0.5, "input": "hi"}
    response = contents(events(TALKING, Stamp(1), asked))[0]["response"]
    assert [response[name] for name in ("model", "previous_response_id", "temperature")] == ["model-1", "resp_0", 0.5]
