"""Clients send the whole conversation each time; this decides how much of it is the conversation that is recorded.

Rule: what a client may lose in transit (the difference between nothing, an empty text and an empty list, or the index of
a call) does not count; everything else does, white space too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from reference_impl.trajectory.errors import MatcherError
from reference_impl.trajectory.record import ChatMessage

Matcher = Callable[[ChatMessage, ChatMessage], bool]
"""Whether a recorded message (first) is the one that a client sent (second)."""

_COMPARED = ("role", "content", "reasoning_content")


def same_message(recorded: ChatMessage, given: ChatMessage) -> bool:
    """The matcher: role, content, reasoning content and tool calls are equal."""
    return _same(recorded, given, _exactly)


def same_meaning(recorded: ChatMessage, given: ChatMessage) -> bool:
    """A milder matcher: call arguments that are equal JSON objects are equal, however they are spelled."""
    return _same(recorded, given, _as_json)


def matched(recorded: Sequence[ChatMessage], given: Sequence[ChatMessage], same: Matcher) -> int:
    """How many messages the two have in common from the start.

    Raises:
        MatcherError: the matcher raised.
    """
    for at, (old, new) in enumerate(zip(recorded, given, strict=False)):
        try:
            if not same(old, new):
                return at
        except Exception as error:
            raise MatcherError(f"message {at} could not be compared: {error!r}") from error
    return min(len(recorded), len(given))


def _same(recorded: ChatMessage, given: ChatMessage, arguments: Callable[[Any], Any]) -> bool:
    if any((recorded.get(key) or None) != (given.get(key) or None) for key in _COMPARED):
        return False
    return _calls(recorded, arguments) == _calls(given, arguments)


def _calls(message: ChatMessage, arguments: Callable[[Any], Any]) -> list[Any]:
    return [_call(call, arguments) for call in message.get("tool_calls") or ()]


def _call(call: Mapping[str, Any], arguments: Callable[[Any], Any]) -> dict[str, Any]:
    compared = {key: value for key, value in call.items() if key != "index"}
    function = compared.get("function")
    if isinstance(function, Mapping):
        compared["function"] = {**function, "arguments": arguments(function.get("arguments"))}
    return compared


def _exactly(arguments: Any) -> Any:
    return arguments or None


def _as_json(arguments: Any) -> Any:
    try:
        value = json.loads(arguments, object_pairs_hook=_object)
    except (TypeError, ValueError):
        return _exactly(arguments)
    return ("json", value) if isinstance(value, dict) else _exactly(arguments)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in a JSON object")
    return found
