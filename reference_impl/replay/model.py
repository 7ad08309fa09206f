"""What travels between a timeline, a codec and a provider: messages to a model, and what it answered.

Rule: plain frozen data. On a wire dict everything private begins with an underscore, and no such key ever reaches a provider.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

Item = Mapping[str, Any]
"""One stored reasoning item: some of the keys `ITEM_FIELDS`."""
Call = Mapping[str, Any]
"""A tool call: `id`, `name`, `arguments` (JSON text, exactly as the model wrote it)."""
Wire = dict[str, Any]
"""A message on its way to a provider: `role`, `content`, `tool_calls`, `tool_call_id`, and the carriers."""

ITEM_FIELDS: Final = ("type", "id", "summary", "encrypted_content")
"""What a provider takes back of a reasoning item; replies hold more, and those fields are refused in a request."""

ITEMS: Final = "_reasoning_items"
FINGERPRINT: Final = "_reasoning_fingerprint"
RESPONSE_ID: Final = "_response_id"
FOLLOWERS: Final = "_reasoning_followers"
THOUGHT: Final = "_thought"
MESSAGE_ID: Final = "_message_id"
TEXT: Final = "text"
"""The follower mark of an item that stood before the text of the reply; other marks are call ids."""

Followers = Sequence[str | None]
"""For each item what it stood before: `TEXT`, a call id, or None for nothing."""


@dataclass(frozen=True, slots=True)
class LLMMessage:
    """One message to a model. `thought`: its content was never shown to the user.

    `reasoning_followers` is None where all items stood before the first thing that the reply said or called.
    """

    role: str
    content: Any = ""
    tool_calls: Sequence[Call] = ()
    tool_call_id: str | None = None
    reasoning_items: Sequence[Item] | None = None
    reasoning_fingerprint: str | None = None
    response_id: str | None = None
    reasoning_followers: Followers | None = None
    thought: bool = False
    message_id: str = ""


@dataclass(frozen=True, slots=True)
class LLMResponse:
    """One reply. `reasoning_items`: None if it has none. `finish_reason`: stop, tool_calls, length or abort.

    `requests`: how many were sent for it. `replayed`: how many reasoning items the accepted one held.
    """

    content: str = ""
    model: str = ""
    usage: Mapping[str, Any] = field(default_factory=dict)
    finish_reason: str = "stop"
    tool_calls: Sequence[Call] = ()
    reasoning_tokens: int = 0
    reasoning_content: str = ""
    reasoning_items: Sequence[Item] | None = None
    response_id: str | None = None
    reasoning_followers: Followers | None = None
    requests: int = 1
    replayed: int = 0


@dataclass(frozen=True, slots=True)
class ParsedResponse:
    """A reply as the agent acts on it: what to show, what to call, and the reasoning to keep."""

    content: str = ""
    tool_calls: Sequence[Call] = ()
    reasoning: str = ""
    reasoning_items: Sequence[Item] | None = None
    response_id: str | None = None
    reasoning_followers: Followers | None = None
    finish_reason: str = "stop"


@dataclass(frozen=True, slots=True)
class Rejected:
    """Replayed items were refused: the ids of the messages that held them, for which provider, and the code it gave."""

    message_ids: frozenset[str]
    fingerprint: str | None
    code: str


OnText = Callable[[str], None]
OnRejected = Callable[[Rejected], None]


def strip_carriers(messages: Sequence[Mapping[str, Any]]) -> list[Wire]:
    """The messages without any private key, for whoever sends them by another way than `provider`."""
    return [{key: value for key, value in message.items() if not key.startswith("_")} for message in messages]
