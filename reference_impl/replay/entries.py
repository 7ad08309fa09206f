"""One thing that happened in a conversation, in either of the two forms that files hold, and the message it becomes.

Rule: both forms say the same; keys of a later version survive every rewrite. The reasoning of a reply is in the metadata of the
thought that it belongs to, and goes with the message in every mode.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Self

from reference_impl.replay.model import Call, LLMMessage

USER: Final = "user_message"
RESPONSE: Final = "agent_response"
THOUGHTS: Final = "agent_thoughts"
TOOL_CALL: Final = "tool_call"
FAILED_CALL: Final = "failed_tool_call"
TOOL_RESULT: Final = "tool_result"
SUMMARY: Final = "timeline_summary"
CONTEXT: Final = "context"
ROLES: Final[Mapping[str, str]] = {
    USER: "user",
    RESPONSE: "assistant",
    THOUGHTS: "assistant",
    TOOL_CALL: "assistant",
    FAILED_CALL: "assistant",
    TOOL_RESULT: "tool",
    SUMMARY: "system",
    CONTEXT: "system",
}
"""The types of entries, and who speaks in each of them."""

REPLAY: Final = "replay"
REJECTED: Final = "rejected"
"""`metadata["replay"] == "rejected"`: the provider refused these items, so they are not sent to it again."""
COMPRESSED: Final = "compressed_context"


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """One entry in the older form. `seq` is its place for ever; `ephemeral` entries are not saved; `extra`: unknown keys."""

    type: str
    content: Any = ""
    timestamp: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    message_id: str = ""
    seq: int = 0
    ephemeral: bool = False
    tool_call_id: str | None = None
    tool_calls: Sequence[Call] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_summary(self) -> bool:
        """Whether it stands for entries that were compressed."""
        return self.type == SUMMARY

    def to_llm_message(self) -> LLMMessage:
        """The message it becomes; an entry of an unknown type becomes an empty one, which is not sent."""
        role = ROLES.get(self.type, "")
        content = self.content if role else ""
        return _message(role, content, self.tool_calls, self.tool_call_id, self.metadata, self.type == THOUGHTS, self.message_id)

    def to_dict(self) -> dict[str, Any]:
        """For a file."""
        optional = {"tool_call_id": self.tool_call_id, "tool_calls": [dict(call) for call in self.tool_calls]}
        return {
            **self.extra,
            "type": self.type,
            "content": self.content,
            "timestamp": self.timestamp,
            "metadata": dict(self.metadata),
            "message_id": self.message_id,
            "seq": self.seq,
            **{key: value for key, value in optional.items() if value},
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """From a file; what is missing has its default."""
        known, extra = _known(data, ("type", *_COMMON, "message_id", "seq", "ephemeral"))
        return cls(extra=extra, **known)


@dataclass(frozen=True, slots=True)
class NativeMessage:
    """One entry in the form of a chat message. What has no key of its own (id, place, type) is in the metadata."""

    role: str
    content: Any = ""
    tool_calls: Sequence[Call] = ()
    tool_call_id: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    timestamp: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def type(self) -> str:
        """The type of the entry; told by the role if the metadata does not say it."""
        named = {"user": USER, "tool": TOOL_RESULT, "assistant": TOOL_CALL if self.tool_calls else RESPONSE}
        return str(self.metadata.get("type") or (SUMMARY if self.is_summary else named.get(self.role, CONTEXT)))

    @property
    def message_id(self) -> str:
        """The identity of the message in every store."""
        return str(self.metadata.get("message_id") or "")

    @property
    def seq(self) -> int:
        """Its place for ever; 0 if it has none."""
        return int(self.metadata.get("seq") or 0)

    @property
    def ephemeral(self) -> bool:
        """Whether it is not to be saved."""
        return bool(self.metadata.get("ephemeral"))

    @property
    def is_summary(self) -> bool:
        """Whether it stands for entries that were compressed."""
        return bool(self.metadata.get(COMPRESSED))

    def to_llm_message(self) -> LLMMessage:
        """The message it becomes, with the reasoning that belongs to it."""
        thought = self.metadata.get("type") == THOUGHTS
        return _message(self.role, self.content, self.tool_calls, self.tool_call_id, self.metadata, thought, self.message_id)

    def to_dict(self) -> dict[str, Any]:
        """For a file."""
        return {
            **self.extra,
            "role": self.role,
            "content": self.content,
            "tool_calls": [dict(call) for call in self.tool_calls],
            "tool_call_id": self.tool_call_id,
            "metadata": dict(self.metadata),
            "timestamp": self.timestamp,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """From a file; the metadata is kept whole."""
        known, extra = _known(data, ("role", *_COMMON))
        return cls(extra=extra, **known)

    @classmethod
    def from_entry(cls, entry: TimelineEntry) -> Self:
        """The same entry in this form."""
        own = {"type": entry.type, "message_id": entry.message_id, "seq": entry.seq}
        metadata = {**entry.metadata, **own, **({"ephemeral": True} if entry.ephemeral else {})}
        role = ROLES.get(entry.type, entry.type)
        return cls(role, entry.content, entry.tool_calls, entry.tool_call_id, metadata, entry.timestamp, entry.extra)


Entry = TimelineEntry | NativeMessage

_COMMON = ("content", "timestamp", "metadata", "tool_call_id", "tool_calls")


def entry_from_dict(data: Mapping[str, Any]) -> Entry:
    """An entry of a file: with `role` and without `type` it is a native message, otherwise one of the older form."""
    return NativeMessage.from_dict(data) if "role" in data and "type" not in data else TimelineEntry.from_dict(data)


def _known(data: Mapping[str, Any], keys: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The fields that a class has, without nulls, and the rest."""
    known = {key: data[key] for key in keys if data.get(key) is not None}
    return known, {key: value for key, value in data.items() if key not in keys}


def _message(
    role: str,
    content: Any,
    calls: Sequence[Call],
    call_id: str | None,
    metadata: Mapping[str, Any],
    thought: bool,  # noqa: FBT001  a field of the message, in its place
    name: str,
) -> LLMMessage:
    message = LLMMessage(role, content, tuple(calls), call_id, thought=thought, message_id=name)
    items = metadata.get("reasoning_items")
    if not items or role != "assistant" or metadata.get(REPLAY) == REJECTED:
        return message
    return replace(
        message,
        reasoning_items=tuple(items),
        reasoning_fingerprint=metadata.get("fingerprint"),
        response_id=metadata.get("response_id"),
        reasoning_followers=metadata.get("followers"),
    )
