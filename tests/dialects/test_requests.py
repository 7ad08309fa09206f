"""Requests are told apart by their path, and in lint by their shape."""

from __future__ import annotations

import pytest

from pytest_durability.dialects.requests import Request
from pytest_durability.errors import UsageError


@pytest.mark.parametrize(
    ("path", "dialect", "endpoint"),
    [
        ("/v1/responses", "responses", "h"),
        ("/responses", "responses", "h"),
        ("/v1/responses/", "responses", "h"),
        ("/v1/responses?timeout=3", "responses", "h"),
        ("/v1/chat/completions", "chat", "h"),
        ("/chat/completions", "chat", "h"),
        ("/v1/messages?beta=true", "messages", "h"),
        ("/v1/conversations/conv_1/items", "responses", "h"),
        ("/openai/v1/responses", "responses", "h/openai"),
        ("/openai/responses", "responses", "h/openai"),
        ("/openai/deployments/gpt-5/chat/completions", "chat", "h/openai/deployments/gpt-5"),
    ],
)
def test_the_dialect_follows_the_path(path, dialect, endpoint):
    """The end of the path decides, with and without a version; what stands in front of it is another endpoint."""
    request = Request.of(path, {"Host": "h"}, b"{}")
    assert (request.dialect, request.endpoint) == (dialect, endpoint)


def test_a_path_of_no_dialect_is_a_misuse():
    """A request to another path cannot be judged, and the error names the paths that can."""
    with pytest.raises(UsageError, match=r"'/v1/embeddings' belongs to no dialect(.|\n)*fix: .*/chat/completions"):
        Request.of("/v1/embeddings", {}, {})


@pytest.mark.parametrize("headers", [{"Authorization": "Bearer sk-1"}, {"X-Api-Key": "sk-1"}, {"api-key": "sk-1"}])
def test_the_key_is_found_where_each_service_has_it(headers):
    """OpenAI, Anthropic and Azure send the key in different headers."""
    assert Request.of("/v1/messages", headers, {}).key == "sk-1"


@pytest.mark.parametrize("body", [b"[1]", b"not json", "null", None, 3, [{}], b"\xff"])
def test_a_body_that_is_no_object_counts_as_empty(body):
    """A malformed body is judged like any other, as an empty object."""
    assert Request.of("/v1/responses", {}, body).body == {}


@pytest.mark.parametrize(
    ("body", "dialect"),
    [
        ({"input": "hi"}, "responses"),
        ({"previous_response_id": "resp_1"}, "responses"),
        ({"messages": []}, "chat"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]}, "chat"),
        ({"messages": [], "system": "be brief"}, "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t"}]}]}, "messages"),
        ({"messages": [3, {"content": [3]}]}, "chat"),
    ],
)
def test_lint_guesses_the_dialect_from_the_shape(body, dialect):
    """A body without a path is judged by the dialect that it is written in."""
    assert Request.of_body(body).dialect == dialect


def test_an_unknown_dialect_is_a_misuse():
    """The error names the dialects."""
    with pytest.raises(UsageError, match=r"'gemini' is not a dialect(.|\n)*responses, chat, messages"):
        Request.of_body({}, dialect="gemini")


def test_a_request_names_its_conversation():
    """The conversation is in the body, as a text or an object, or in the path."""
    by_text = Request.of_body({"input": "hi", "conversation": "conv_1"})
    by_object = Request.of_body({"input": "hi", "conversation": {"id": "conv_1"}})
    by_path = Request.of("/v1/conversations/conv_1/items", {}, {"items": []})
    assert {by_text.conversation, by_object.conversation, by_path.conversation} == {"conv_1"}
    assert Request.of_body({"input": "hi"}).conversation is None
