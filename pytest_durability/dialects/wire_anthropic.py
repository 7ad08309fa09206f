"""Anthropic Messages: a reply as the events, or the JSON body, of `POST /v1/messages`.

Rule: a thinking block gets its signature in an event of its own, after all of its text, because that is the moment
at which a cut leaves thinking that can never be sent back.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pytest_durability.dialects.replies import Part, Reasoning, Reply, Text
from pytest_durability.dialects.wire import (
    ARGUMENTS,
    FINISH,
    REASONING,
    SEAL,
    TERMINAL,
    TEXT,
    Event,
    Stamp,
    Usage,
    sse,
    to_json,
)

_BROKEN = {"failed": ("api_error", "Internal server error"), "error": ("overloaded_error", "Overloaded")}


def events(reply: Reply, stamp: Stamp, asked: Mapping[str, Any]) -> list[Event]:
    """The server-sent events of a reply to the request body `asked`."""
    stream = _Stream()
    usage = Usage.of(reply, asked)
    stream.add("message_start", message=_message(stamp, asked, _counts(usage.read, 1)))
    for index, part in enumerate(reply.parts):
        last = index == len(reply.parts) - 1
        _block(stream, index, part, stamp, closed=not (last and reply.end in _BROKEN))

    if reply.end in _BROKEN:
        stream.add("error", TERMINAL, **_failure(reply, stamp))
        return stream.events
    stream.add(
        "message_delta",
        FINISH,
        delta={"stop_reason": _reason(reply), "stop_sequence": None},
        usage=_counts(usage.read, usage.written),
    )
    stream.add("message_stop", TERMINAL)
    return stream.events


def body(reply: Reply, stamp: Stamp, asked: Mapping[str, Any]) -> Event:
    """The JSON body of a reply to a request without `stream`."""
    if reply.end in _BROKEN:
        return Event(to_json({"type": "error", **_failure(reply, stamp)}), TERMINAL)
    usage = Usage.of(reply, asked)
    whole = _message(stamp, asked, _counts(usage.read, usage.written), content=content(reply, stamp), stop_reason=_reason(reply))
    return Event(to_json(whole), TERMINAL, reply.text, tuple(whole["content"]))


def content(reply: Reply, stamp: Stamp) -> list[dict[str, Any]]:
    """The content blocks of a reply, complete."""
    return [_whole(index, part, stamp) for index, part in enumerate(reply.parts)]


Items = tuple[Mapping[str, Any], ...]


class _Stream:
    """Collects the events."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def add(self, name: str, kind: str = "", piece: str = "", items: Items = (), /, **content: Any) -> None:
        """Append the event `name` with its content; `kind`, `piece` and `items` are those of `Event`."""
        self.events.append(Event(sse({"type": name, **content}, name), kind, piece, items))

    def delta(self, index: int, kind: str, piece: str, /, **delta: Any) -> None:
        """Append a piece of a content block."""
        self.add("content_block_delta", kind, piece, index=index, delta=delta)


def _block(stream: _Stream, index: int, part: Part, stamp: Stamp, *, closed: bool) -> None:
    """Open a content block, stream its pieces and, unless the reply broke inside it, close it."""
    block = _whole(index, part, stamp)
    stream.add("content_block_start", index=index, content_block=_empty(block))
    if index == 0:
        stream.add("ping")
    if isinstance(part, Text):
        for piece in part.pieces:
            stream.delta(index, TEXT, piece, type="text_delta", text=piece)
    elif isinstance(part, Reasoning):
        for piece in part.pieces:
            stream.delta(index, REASONING, piece, type="thinking_delta", thinking=piece)
        if closed and part.sealed:
            stream.delta(index, SEAL, "", type="signature_delta", signature=block["signature"])
    else:
        stream.delta(index, "", "", type="input_json_delta", partial_json="")
        for piece in part.pieces:
            stream.delta(index, ARGUMENTS, piece, type="input_json_delta", partial_json=piece)
    if closed:
        stream.add("content_block_stop", "", "", (block,), index=index)


def _whole(index: int, part: Part, stamp: Stamp) -> dict[str, Any]:
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    if isinstance(part, Reasoning):
        signature = stamp.seal(stamp.id("thinking_", index), part.text) if part.sealed else ""
        return {"type": "thinking", "thinking": part.text, "signature": signature}
    return {"type": "tool_use", "id": part.id or stamp.id("toolu_", index), "name": part.name, "input": _object(part.arguments)}


def _empty(block: Mapping[str, Any]) -> dict[str, Any]:
    """The block as it is opened, with nothing in it yet."""
    blank: dict[str, Any] = {"text": "", "thinking": "", "signature": "", "input": {}}
    return {key: blank.get(key, value) for key, value in block.items()}


def _object(arguments: str) -> Any:
    try:
        return json.loads(arguments)
    except ValueError:  # scripted so; a stream carries it as it is, a whole body has no way to say it
        return {}


def _reason(reply: Reply) -> str:
    if reply.end == "complete":
        return "tool_use" if reply.calls else "end_turn"
    return "max_tokens" if reply.end == "incomplete" else reply.end


def _failure(reply: Reply, stamp: Stamp) -> dict[str, Any]:
    kind, message = _BROKEN[reply.end]
    return {"error": {"type": kind, "message": message, "details": None}, "request_id": stamp.id("req_")}


def _message(stamp: Stamp, asked: Mapping[str, Any], usage: Any, **state: Any) -> dict[str, Any]:
    return {
        "id": stamp.id("msg_"),
        "type": "message",
        "role": "assistant",
        "model": asked.get("model"),
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        **state,
        "usage": {**usage, "service_tier": "standard"},
    }


def _counts(read: int, written: int) -> dict[str, Any]:
    return {
        "input_tokens": read,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": written,
    }
