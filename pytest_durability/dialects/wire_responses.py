"""OpenAI Responses: a reply as the events, or the JSON body, of `POST /responses`.

Rule: every item is announced, streamed and closed as the service does it, because the openai client's own accumulator
refuses a response with unfinished items.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_durability.dialects.replies import Part, Reasoning, Reply, Text
from pytest_durability.dialects.wire import ARGUMENTS, REASONING, SEAL, TERMINAL, TEXT, Event, Stamp, Usage, sse, to_json

_STATUS = {"complete": "completed", "incomplete": "incomplete", "failed": "failed", "error": "failed", "abort": "incomplete"}
_REASON = {"incomplete": "max_output_tokens", "abort": "abort"}
_FAILURE = {"code": "server_error", "message": "The server had an error while processing your request. Sorry about that!"}
_ECHOED: dict[str, Any] = {
    "instructions": None,
    "max_output_tokens": None,
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "reasoning": {"effort": None, "summary": None},
    "store": True,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1.0,
    "truncation": "disabled",
    "metadata": {},
}


def events(reply: Reply, stamp: Stamp, asked: Mapping[str, Any]) -> list[Event]:
    """The server-sent events of a reply to the request body `asked`."""
    stream = _Stream()
    begun = _response(stamp, asked, status="in_progress")
    stream.add("response.created", response=begun)
    stream.add("response.in_progress", response=begun)
    broken = reply.end in ("failed", "error")
    for index, part in enumerate(reply.parts):
        last = index == len(reply.parts) - 1
        _part(stream, index, part, stamp, closed=not (broken and last), status=_item_status(reply, index))
    if reply.end == "error":
        stream.add("error", TERMINAL, **_FAILURE, param=None)
        return stream.events
    status = _STATUS[reply.end]
    stream.add(f"response.{status}", TERMINAL, response=_ended(reply, stamp, asked))
    return stream.events


def body(reply: Reply, stamp: Stamp, asked: Mapping[str, Any]) -> Event:
    """The JSON body of a reply to a request without `stream`."""
    if reply.end == "error":
        return Event(to_json({"error": {**_FAILURE, "type": "server_error", "param": None}}), TERMINAL)
    whole = _ended(reply, stamp, asked)
    return Event(to_json(whole), TERMINAL, reply.text if whole["output"] else "", tuple(whole["output"]))


def output(reply: Reply, stamp: Stamp) -> list[dict[str, Any]]:
    """The output items of a reply, complete."""
    return [_item(index, part, stamp, _item_status(reply, index)) for index, part in enumerate(reply.parts)]


Items = tuple[Mapping[str, Any], ...]


class _Stream:
    """Numbers the events."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def add(self, name: str, kind: str = "", piece: str = "", items: Items = (), /, **content: Any) -> None:
        """Append the event `name` with its content; `kind`, `piece` and `items` are those of `Event`."""
        data = {"type": name, "sequence_number": len(self.events), **content}
        self.events.append(Event(sse(data, name), kind, piece, items))


def _part(stream: _Stream, index: int, part: Part, stamp: Stamp, *, closed: bool, status: str) -> None:
    """Announce an item, stream its pieces and, unless the reply broke inside it, close it."""
    item = _item(index, part, stamp, status)
    at = {"item_id": item["id"], "output_index": index}
    stream.add("response.output_item.added", output_index=index, item=_empty(item))
    if isinstance(part, Text):
        where = {**at, "content_index": 0}
        stream.add("response.content_part.added", **where, part={**item["content"][0], "text": ""})
        for piece in part.pieces:
            stream.add("response.output_text.delta", TEXT, piece, **where, delta=piece, logprobs=[])
        if closed:
            stream.add("response.output_text.done", **where, text=part.text, logprobs=[])
            stream.add("response.content_part.done", **where, part=item["content"][0])
    elif isinstance(part, Reasoning):
        _summary(stream, part, {**at, "summary_index": 0}, closed=closed)
    else:
        for piece in part.pieces:
            stream.add("response.function_call_arguments.delta", ARGUMENTS, piece, **at, delta=piece)
        if closed:
            stream.add("response.function_call_arguments.done", **at, name=part.name, arguments=part.arguments)
    if closed:
        kind = SEAL if isinstance(part, Reasoning) else ""
        stream.add("response.output_item.done", kind, "", (item,), output_index=index, item=item)


def _summary(stream: _Stream, part: Reasoning, where: Mapping[str, Any], *, closed: bool) -> None:
    if not part.pieces:
        return
    stream.add("response.reasoning_summary_part.added", **where, part={"type": "summary_text", "text": ""})
    for piece in part.pieces:
        stream.add("response.reasoning_summary_text.delta", REASONING, piece, **where, delta=piece)
    if closed:
        stream.add("response.reasoning_summary_text.done", **where, text=part.text)
        stream.add("response.reasoning_summary_part.done", **where, part={"type": "summary_text", "text": part.text})


def _item(index: int, part: Part, stamp: Stamp, status: str) -> dict[str, Any]:
    if isinstance(part, Text):
        content = {"type": "output_text", "annotations": [], "logprobs": [], "text": part.text}
        return {"id": stamp.id("msg_", index), "type": "message", "status": status, "content": [content], "role": "assistant"}
    if isinstance(part, Reasoning):
        name = stamp.id("rs_", index)
        summary = [{"type": "summary_text", "text": part.text}] if part.pieces else []
        sealed = {"encrypted_content": stamp.seal(name, part.text)} if part.sealed else {}
        return {"id": name, "type": "reasoning", **sealed, "summary": summary}
    return {
        "id": stamp.id("fc_", index),
        "type": "function_call",
        "status": status,
        "arguments": part.arguments,
        "call_id": part.id or stamp.id("call_", index),
        "name": part.name,
    }


def _empty(item: Mapping[str, Any]) -> dict[str, Any]:
    """The item as it is announced, with nothing in it yet."""
    blank: dict[str, Any] = {"status": "in_progress", "content": [], "summary": [], "arguments": "", "encrypted_content": ""}
    return {key: blank.get(key, value) for key, value in item.items()}


def _item_status(reply: Reply, index: int) -> str:
    cut_off = reply.end != "complete" and index == len(reply.parts) - 1
    return "incomplete" if cut_off else "completed"


def _ended(reply: Reply, stamp: Stamp, asked: Mapping[str, Any]) -> dict[str, Any]:
    usage = Usage.of(reply, asked)
    status, reason = _STATUS[reply.end], _REASON.get(reply.end)
    return _response(
        stamp,
        asked,
        status=status,
        completed_at=stamp.created if status == "completed" else None,
        error=_FAILURE if status == "failed" else None,
        incomplete_details={"reason": reason} if reason else None,
        output=output(reply, stamp) if status != "failed" else [],
        usage={
            "input_tokens": usage.read,
            "input_tokens_details": {"cache_write_tokens": 0, "cached_tokens": 0},
            "output_tokens": usage.written,
            "output_tokens_details": {"reasoning_tokens": usage.reasoned},
            "total_tokens": usage.read + usage.written,
        },
    )


def _response(stamp: Stamp, asked: Mapping[str, Any], **state: Any) -> dict[str, Any]:
    """The response object: what the request asked for is echoed, the rest has the service's defaults."""
    return {
        "id": stamp.id("resp_"),
        "object": "response",
        "created_at": stamp.created,
        "background": False,
        "error": None,
        "incomplete_details": None,
        "model": asked.get("model"),
        "output": [],
        "usage": None,
        **{name: asked.get(name, default) for name, default in _ECHOED.items()},
        **state,
    }
