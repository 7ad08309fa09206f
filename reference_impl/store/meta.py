"""The counters of a session: they make common questions cheap, and none of them is ever the proof of anything.

Rule: a file is replaced whole, never merged; whatever it says can be rebuilt from the messages and the archives.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from reference_impl.store.message import Message

VERSION = 1


@dataclass(frozen=True, slots=True)
class SessionMeta:
    """`.meta.json` of a session.

    `message_count`: lines in the live file, a hint and never a licence to delete. `total_message_count`: lines ever
    appended. `commit_count`: first phases that took effect. `next_seq`: a lower bound of the next number in the order.
    `usage`: what the second phases counted, by archive number. `extra`: fields of other versions, kept as they are.
    """

    session_id: str = ""
    version: int = VERSION
    created_at: str = ""
    updated_at: str = ""
    message_count: int = 0
    total_message_count: int = 0
    commit_count: int = 0
    last_commit_at: str | None = None
    keep_recent_count: int = 0
    pending_tokens: int = 0
    next_seq: int = 1
    usage: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, data: bytes) -> SessionMeta | None:
        """Read the file; None if it is damaged."""
        try:
            value = json.loads(data)
            known = {name: value.pop(name) for name in _KNOWN if name in value}
            meta = cls(**known, extra=value)
        except (ValueError, TypeError, AttributeError, RecursionError):
            return None
        return meta if isinstance(value, dict) and _well_typed(meta) else None

    def render(self) -> bytes:
        """The content of the file."""
        known = {name: getattr(self, name) for name in _KNOWN}
        return json.dumps({**self.extra, **known}, indent=1).encode("ascii") + b"\n"

    def counting(self, live: Sequence[Message], *, archived: int, commits: int, last_seq: int) -> SessionMeta:
        """The same meta with its counters corrected to what the files hold."""
        return replace(
            self,
            message_count=len(live),
            total_message_count=max(self.total_message_count, len(live) + archived),
            commit_count=max(self.commit_count, commits),
            next_seq=max(self.next_seq, last_seq + 1),
        )


_KNOWN = tuple(item.name for item in fields(SessionMeta) if item.name != "extra")
_NUMBERS = ("message_count", "total_message_count", "commit_count", "keep_recent_count", "pending_tokens", "next_seq")


def _well_typed(meta: SessionMeta) -> bool:
    values: dict[str, object] = {name: getattr(meta, name) for name in _KNOWN}
    numbers = all(type(values[name]) is int for name in _NUMBERS)
    return numbers and isinstance(values["session_id"], str) and isinstance(values["usage"], dict)


def tokens_in(messages: Sequence[Message]) -> int:
    """A rough count, for `pending_tokens`: four characters are about one token."""
    return sum([len(message.line) for message in messages]) // 4
