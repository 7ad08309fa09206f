"""What OpenAI Chat Completions, and the many servers that speak it, refuse: calls and tool messages that do not pair.

Rule: a tool message answers the nearest message with calls, and nothing but tool messages may stand between the two.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Final

from pytest_durability.dialects.issued import Item
from pytest_durability.dialects.requests import text
from pytest_durability.dialects.rule import Group, Hit, Seen, rule, rules_in


def _calls(message: Item) -> list[Item]:
    calls = message.get("tool_calls")
    return [call for call in calls if isinstance(call, Mapping)] if isinstance(calls, list) else []


def _ids(message: Item) -> list[str]:
    return [text(call.get("id")) for call in _calls(message)]


def _is_tool(message: Item) -> bool:
    return message.get("role") == "tool"


@rule(
    "chat.missing_parameter", Group.ENVELOPE, "A", "Missing required parameter: '{name}'.",
    param="{name}", code="missing_required_parameter", sample={"name": "messages"}, optional=True,
    sources=("SilasMarvin/lsp-ai #108",),
)  # fmt: skip
def missing_parameter(seen: Seen) -> Iterator[Hit]:
    """There are no messages."""
    if not isinstance(seen.request.body.get("messages"), list):
        yield Hit({"name": "messages"})


@rule(
    "chat.empty_assistant", Group.SHAPE, "C", "Invalid assistant message: content or tool_calls must be set",
    code="invalid_request_error", about="assistant", optional=True, sources=("futuregene/future-os #224",),
)  # fmt: skip
def empty_assistant(seen: Seen) -> Iterator[Hit]:
    """An assistant message has neither content nor calls, as one that holds reasoning only (DeepSeek-style servers)."""
    for n, message in enumerate(seen.messages):
        if message.get("role") == "assistant" and not message.get("content") and not _calls(message):
            yield Hit({"n": n}, f"messages[{n}]")


@rule(
    "chat.bad_arguments", Group.SHAPE, "C", "The arguments of tool call {id} are not valid JSON.",
    sample={"id": "call_0"}, about="assistant", optional=True, sources=("agentscope-ai/agentscope #2469",),
)  # fmt: skip
def bad_arguments(seen: Seen) -> Iterator[Hit]:
    """The arguments of a call are not JSON, as after a stream that was cut (vLLM-style servers)."""
    for n, message in enumerate(seen.messages):
        for call in _calls(message):
            function = call.get("function")
            arguments = function.get("arguments") if isinstance(function, Mapping) else None
            if isinstance(arguments, str) and not _is_json(arguments):
                yield Hit({"id": text(call.get("id"))}, f"messages[{n}]")


def _is_json(written: str) -> bool:
    try:
        json.loads(written)
    except (ValueError, RecursionError):
        return False
    return True


@rule(
    "chat.missing_tool_message", Group.PAIRING, "A",
    "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. "
    "The following tool_call_ids did not have response messages: {ids}",
    param="messages.[{n}].role", sample={"ids": "call_0", "n": 0}, about="assistant",
    sources=("langchain-ai/langchain #27216", "pydantic/pydantic-ai #562 (param `messages`)", "sdcb/chats #132"),
)  # fmt: skip
def missing_tool_message(seen: Seen) -> Iterator[Hit]:
    """A call is not answered by the tool messages directly behind it; `n` is the message that stands there instead."""
    for index, message in enumerate(seen.messages):
        after = index + 1
        answered: set[str] = set()
        while after < len(seen.messages) and _is_tool(seen.messages[after]):
            answered.add(text(seen.messages[after].get("tool_call_id")))
            after += 1
        missing = [call_id for call_id in _ids(message) if call_id not in answered]
        if missing and message.get("role") == "assistant":
            n = after if after < len(seen.messages) else index
            yield Hit({"ids": ", ".join(missing), "n": n}, f"messages[{index}]")


def _orphans(seen: Seen) -> Iterator[tuple[int, bool]]:
    """The tool messages that answer nothing, and whether they stand behind other calls than theirs."""
    asked: list[str] = []
    for n, message in enumerate(seen.messages):
        if not _is_tool(message):
            asked = _ids(message) if message.get("role") == "assistant" else []
        elif text(message.get("tool_call_id")) not in asked:
            yield n, bool(asked)


@rule(
    "chat.orphan_tool_message", Group.PAIRING, "A",
    "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with 'tool_calls'.",
    param="messages.[{n}].role", sample={"n": 0}, about="tool", sources=("microsoft/semantic-kernel #12708", "sdcb/chats #132"),
)  # fmt: skip
def orphan_tool_message(seen: Seen) -> Iterator[Hit]:
    """A tool message stands behind no calls."""
    yield from (Hit({"n": n}, f"messages[{n}]") for n, others in _orphans(seen) if not others)


@rule(
    "chat.orphan_tool_message_compatible", Group.PAIRING, "A",
    "Messages with role 'tool' must be a response to a preceding message with 'tool_calls'",
    code="invalid_request_error", about="tool", optional=True, instead_of="chat.orphan_tool_message",
    sources=("qwersyk/Newelle #425", "OpenManus #744"),
)  # fmt: skip
def orphan_tool_message_compatible(seen: Seen) -> Iterator[Hit]:
    """The same, in the words of compatible servers (DeepSeek and others)."""
    yield from (Hit({"n": n}, f"messages[{n}]") for n, others in _orphans(seen) if not others)


@rule(
    "chat.unknown_tool_call_id", Group.PAIRING, "B",
    "Invalid parameter: 'tool_call_id' of '{id}' not found in 'tool_calls' of previous message.",
    param="messages.[{n}].tool_call_id", sample={"n": 0, "id": "call_0"}, about="tool", sources=("dapr/dapr-agents #145",),
)  # fmt: skip
def unknown_tool_call_id(seen: Seen) -> Iterator[Hit]:
    """A tool message stands behind calls, and names none of them."""
    for n, others in _orphans(seen):
        if others:
            yield Hit({"n": n, "id": text(seen.messages[n].get("tool_call_id"))}, f"messages[{n}]")


RULES: Final = rules_in(globals())
"""The rules of OpenAI Chat Completions."""
