"""Providers refuse a history whose calls lack results or whose speakers do not alternate; this makes a list acceptable.

Rule: no text of user or assistant is lost, no call is invented, a real result is preferred to a synthetic one, and no dict is
edited: what changes is a new dict that remembers its parts. A second repair finds nothing to do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from reference_impl.transcript.rows import (
    API_CONTENT,
    AWAITING,
    INTERRUPTED,
    PARTS,
    SYNTHETIC,
    TURN,
    VIEW_ONLY,
    Message,
    visible_text,
)

UNKNOWN_OUTCOME = "[No result: the outcome of this call is unknown. Verify before doing it again.]"
CUT_NOTE = "\n\n[This reply was cut off here.]"
_SEPARATOR = "\n\n"


def repair_message_sequence(messages: list[Message]) -> int:
    """Repair a list in place; returns the number of repairs.

    Results go to their calls, results without a call in their turn go away, calls without a result get one that says so
    (except calls at the end that wait for approval), and neighbours of one speaker become one message.
    """
    answered, repairs = _answer_calls(messages)
    merged = _merge_neighbours(answered)
    repairs += len(answered) - len(merged)
    if repairs:
        messages[:] = merged
    return repairs


def provider_view(messages: Sequence[Message]) -> list[Message]:
    """What a provider is sent: a repaired copy without private keys. `_api_content` replays the bytes that were sent."""
    view = [_told_cut(message) for message in messages if not _says_nothing(message)]
    repair_message_sequence(view)
    return [_public(message) for message in view]


def open_calls(messages: Iterable[Message]) -> list[str]:
    """The ids of calls that no message answers, in order."""
    calls: list[str] = []
    for message in messages:
        if message.get("role") == "tool":
            calls = [call for call in calls if call != message.get("tool_call_id")]
        calls += call_ids(message)
    return calls


def call_ids(message: Mapping[str, Any]) -> list[str]:
    """The ids of the calls that a message makes."""
    calls = message.get("tool_calls")
    if message.get("role") != "assistant" or not isinstance(calls, list):
        return []
    return [str(call.get("id")) for call in calls if isinstance(call, dict)]


def _public(message: Message) -> Message:
    sent = {key: value for key, value in message.items() if not key.startswith("_")}
    if message.get(API_CONTENT) is not None:
        sent["content"] = message[API_CONTENT]
    return sent


def _told_cut(message: Message) -> Message:
    """The model learns that the user saw only the beginning of this reply; otherwise it reads like a complete one."""
    content = message.get("content")
    if message.get("role") != "assistant" or not message.get(INTERRUPTED) or message.get(API_CONTENT):
        return message
    return {**message, "content": content + CUT_NOTE} if isinstance(content, str) and content.strip() else message


def _says_nothing(message: Message) -> bool:
    """An assistant message without text and calls; providers refuse those."""
    blank = not visible_text(message).strip() and not isinstance(message.get("content"), list)
    return message.get("role") == "assistant" and blank and not message.get("tool_calls") and not message.get(API_CONTENT)


# Calls and results


def _answer_calls(messages: Sequence[Message]) -> tuple[list[Message], int]:
    """The list with each result behind its call; and what that took."""
    answered: list[Message] = []
    used: set[int] = set()  # positions of results that stand behind their call now
    repairs = 0
    for at, message in enumerate(messages):
        if message.get("role") == "tool":
            repairs += at not in used
            continue
        answered.append(message)
        waits = message.get(AWAITING) and all(_is_tool(later) for later in messages[at + 1 :])
        for call in call_ids(message):
            found = _result_of(call, messages, at, used)
            if found is not None:
                used.add(found)
                answered.append(messages[found])
                repairs += not all(_is_tool(between) for between in messages[at + 1 : found])
            elif not waits:
                stub = {"role": "tool", "tool_call_id": call, "content": UNKNOWN_OUTCOME, SYNTHETIC: VIEW_ONLY}
                answered.append(stub if TURN not in message else {**stub, TURN: message[TURN]})
                repairs += 1
    return answered, repairs


def _is_tool(message: Message) -> bool:
    return message.get("role") == "tool"


def _result_of(call: str, messages: Sequence[Message], at: int, used: set[int]) -> int | None:
    """Where the result of a call is: in the turn of the call, before another message makes a call of that name."""
    turn = messages[at].get(TURN)
    for position in range(at + 1, len(messages)):
        message = messages[position]
        if message.get(TURN) != turn:  # turns may overlap, and a call id is a name within its turn
            continue
        if call in call_ids(message):
            return None
        if _is_tool(message) and str(message.get("tool_call_id")) == call and position not in used:
            return position
    return None


# Neighbours


def _merge_neighbours(messages: Sequence[Message]) -> list[Message]:
    merged: list[Message] = []
    for message in messages:
        if merged and message.get("role") in ("user", "assistant") and merged[-1].get("role") == message["role"]:
            merged[-1] = _merge(merged[-1], message)
        else:
            merged.append(message)
    return merged


def _merge(first: Message, second: Message) -> Message:
    """One message that says what two say; neither of the two is touched."""
    new: Message = {**first, **second}
    for key in ("_message_id", "_db_persisted", "_seq", SYNTHETIC):  # those of one part are not those of the whole
        new.pop(key, None)
    new[PARTS] = (*first.get(PARTS, (first,)), *second.get(PARTS, (second,)))
    new["content"] = _joined(first.get("content"), second.get("content"))
    if API_CONTENT in first or API_CONTENT in second:
        new[API_CONTENT] = _joined(*[part.get(API_CONTENT) or part.get("content") for part in (first, second)])
    for key in ("tool_calls", "_reasoning_items"):
        if first.get(key) or second.get(key):
            new[key] = [*(first.get(key) or ()), *(second.get(key) or ())]
    return new


def _joined(first: Any, second: Any) -> Any:
    if isinstance(first, list) or isinstance(second, list):
        return [*_as_parts(first), *_as_parts(second)]
    return _SEPARATOR.join([text for text in (first, second) if text]) or first or second


def _as_parts(content: Any) -> list[Any]:
    if isinstance(content, list):
        return content
    return [{"type": "text", "text": content}] if content else []
