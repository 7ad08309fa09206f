"""How an agent and a model write tool calls to each other: in fields of their own, or in the text.

Rule: reasoning is replayed by the native-tool codec only, because only there each item still has the follower it was made with.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from reference_impl.replay.model import (
    FINGERPRINT,
    FOLLOWERS,
    ITEMS,
    MESSAGE_ID,
    RESPONSE_ID,
    THOUGHT,
    Call,
    LLMMessage,
    LLMResponse,
    ParsedResponse,
    Wire,
)

_CALL = re.compile(r"<tool_call>(.*?)</tool_call>", re.DOTALL)


class Codec(Protocol):
    """Writes messages for a provider, and reads its replies."""

    def prepare_messages(self, messages: Sequence[LLMMessage]) -> list[Wire]:
        """Wire dicts."""

    def parse(self, response: LLMResponse) -> ParsedResponse:
        """What the agent acts on."""

    def tools(self, specs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The tools as the request names them."""


class NativeToolCodec:
    """Calls are fields. The reasoning of a message goes with it in carriers, which the provider takes off."""

    def prepare_messages(self, messages: Sequence[LLMMessage]) -> list[Wire]:
        """Wire dicts, with carriers."""
        return [_wire(message) for message in messages]

    def parse(self, response: LLMResponse) -> ParsedResponse:
        """What the agent acts on."""
        return _parsed(response, response.content, response.tool_calls)

    def tools(self, specs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The tools as the request names them."""
        return [{"type": "function", "strict": False, **spec} for spec in specs]


class TextCodec:
    """Calls are written into the text, for models that know no tools; there are no carriers."""

    def prepare_messages(self, messages: Sequence[LLMMessage]) -> list[Wire]:
        """Wire dicts of text only."""
        return [{"role": "user" if one.role == "tool" else one.role, "content": _as_text(one)} for one in messages]

    def parse(self, response: LLMResponse) -> ParsedResponse:
        """What the agent acts on; a call that is no JSON stays text."""
        calls: list[Call] = []

        def take(found: re.Match[str]) -> str:
            try:
                call = json.loads(found[1])
                calls.append({"id": f"{response.response_id}-{len(calls)}", "name": call["name"], "arguments": _arguments(call)})
            except (ValueError, KeyError, TypeError):
                return found[0]
            return ""

        content = _CALL.sub(take, response.content)
        return _parsed(response, content.strip() if calls else content, calls)

    def tools(self, specs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """None: the request says nothing of tools."""
        del specs
        return []


def _wire(message: LLMMessage) -> Wire:
    wire: Wire = {"role": message.role, "content": message.content}
    if message.tool_calls:
        wire["tool_calls"] = [dict(call) for call in message.tool_calls]
    if message.tool_call_id is not None:
        wire["tool_call_id"] = message.tool_call_id
    if message.thought:
        wire[THOUGHT] = True
    if message.reasoning_items is not None:
        wire |= {
            ITEMS: [dict(item) for item in message.reasoning_items],
            FINGERPRINT: message.reasoning_fingerprint,
            RESPONSE_ID: message.response_id,
            FOLLOWERS: message.reasoning_followers,
            MESSAGE_ID: message.message_id,
        }
    return wire


def _parsed(response: LLMResponse, content: str, calls: Sequence[Call]) -> ParsedResponse:
    return ParsedResponse(
        content=content,
        tool_calls=tuple(calls),
        reasoning=response.reasoning_content,
        reasoning_items=response.reasoning_items,
        response_id=response.response_id,
        reasoning_followers=response.reasoning_followers,
        finish_reason=response.finish_reason,
    )


def _as_text(message: LLMMessage) -> Any:
    if message.role == "tool":
        return f"<tool_result>{message.content}</tool_result>"
    calls = [
        f"<tool_call>{json.dumps({'name': call['name'], 'arguments': call['arguments']})}</tool_call>"
        for call in message.tool_calls
    ]
    return "\n".join([message.content or "", *calls]).strip() if calls else message.content


def _arguments(call: Mapping[str, Any]) -> str:
    arguments = call.get("arguments", {})
    return arguments if isinstance(arguments, str) else json.dumps(arguments)
