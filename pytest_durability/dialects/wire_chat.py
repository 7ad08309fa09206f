"""OpenAI Chat Completions: a reply as chunks, or as the JSON body, of `POST /chat/completions`.

Rule: the wire says `data: [DONE]` at the end of every stream that did not break, and counts tokens only when asked to.
Reasoning goes out as `reasoning_content`, as compatible servers do it; it has no signature here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_durability.dialects.replies import Reasoning, Reply, Text, ToolCall
from pytest_durability.dialects.wire import ARGUMENTS, FINISH, REASONING, TERMINAL, TEXT, Event, Stamp, Usage, sse, to_json

_BROKEN = ("failed", "error")
_FAILURE = {
    "message": "The server had an error while processing your request. Sorry about that!",
    "type": "server_error",
    "param": None,
    "code": None,
}


def events(reply: Reply, stamp: Stamp, asked: Mapping[str, Any]) -> list[Event]:
    """The chunks of a reply to the request body `asked`."""
    stream = _Stream(stamp, asked)
    calls_only = bool(reply.calls) and not reply.text
    stream.chunk({"role": "assistant", "content": None if calls_only else "", "refusal": None})
    number = 0
    for index, part in enumerate(reply.parts):
        if isinstance(part, ToolCall):
            _call(stream, number, part, _call_id(part, stamp, index))
            number += 1
            continue
        name, kind = ("content", TEXT) if isinstance(part, Text) else ("reasoning_content", REASONING)
        for piece in part.pieces:
            stream.chunk({name: piece}, kind, piece)
    if reply.end in _BROKEN:
        stream.events.append(Event(sse({"error": _FAILURE}), TERMINAL))
        return stream.events
    stream.chunk({}, FINISH, reason=_reason(reply))
    if stream.counts:
        stream.chunk(None, usage=_usage(reply, asked))
    stream.events.append(Event(b"data: [DONE]\n\n", TERMINAL))
    return stream.events


def body(reply: Reply, stamp: Stamp, asked: Mapping[str, Any]) -> Event:
    """The JSON body of a reply to a request without `stream`."""
    if reply.end in _BROKEN:
        return Event(to_json({"error": _FAILURE}), TERMINAL)
    message: dict[str, Any] = {"role": "assistant", "content": reply.text or None, "refusal": None, "annotations": []}
    reasoned = "".join(part.text for part in reply.parts if isinstance(part, Reasoning))
    if reasoned:
        message["reasoning_content"] = reasoned
    calls = [
        {"id": _call_id(part, stamp, index), "type": "function", "function": {"name": part.name, "arguments": part.arguments}}
        for index, part in enumerate(reply.parts)
        if isinstance(part, ToolCall)
    ]
    if calls:
        message["tool_calls"] = calls
    whole = {
        "id": stamp.id("chatcmpl-"),
        "object": "chat.completion",
        "created": stamp.created,
        "model": asked.get("model"),
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": _reason(reply)}],
        "usage": _usage(reply, asked),
        "service_tier": "default",
        "system_fingerprint": None,
    }
    return Event(to_json(whole), TERMINAL, reply.text)


class _Stream:
    """Wraps deltas into chunks; `counts`: the request asks for the usage."""

    def __init__(self, stamp: Stamp, asked: Mapping[str, Any]) -> None:
        self.events: list[Event] = []
        self._frame = {
            "id": stamp.id("chatcmpl-"),
            "object": "chat.completion.chunk",
            "created": stamp.created,
            "model": asked.get("model"),
            "service_tier": "default",
            "system_fingerprint": None,
        }
        options = asked.get("stream_options")
        self.counts = isinstance(options, Mapping) and bool(options.get("include_usage"))

    def chunk(
        self, delta: Mapping[str, Any] | None, kind: str = "", text: str = "", *, reason: str | None = None, usage: Any = None
    ) -> None:
        """Append one chunk; without a delta it has no choice, as the one with the usage."""
        choices = [] if delta is None else [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}]
        counted = {"usage": usage} if self.counts else {}
        self.events.append(Event(sse({**self._frame, "choices": choices, **counted}), kind, text))


def _call(stream: _Stream, number: int, call: ToolCall, call_id: str) -> None:
    head = {"index": number, "id": call_id, "type": "function", "function": {"name": call.name, "arguments": ""}}
    stream.chunk({"tool_calls": [head]})
    for piece in call.pieces:
        stream.chunk({"tool_calls": [{"index": number, "function": {"arguments": piece}}]}, ARGUMENTS, piece)


def _call_id(call: ToolCall, stamp: Stamp, index: int) -> str:
    return call.id or stamp.id("call_", index)


def _reason(reply: Reply) -> str:
    if reply.end == "complete":
        return "tool_calls" if reply.calls else "stop"
    return "length" if reply.end == "incomplete" else reply.end


def _usage(reply: Reply, asked: Mapping[str, Any]) -> dict[str, Any]:
    usage = Usage.of(reply, asked)
    return {
        "prompt_tokens": usage.read,
        "completion_tokens": usage.written,
        "total_tokens": usage.read + usage.written,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoned, "audio_tokens": 0},
    }
