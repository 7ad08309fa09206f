"""The three streaming formats share a shape: events that carry text, reasoning, arguments, or the end. This is that shape.

Rule: an event is bytes plus what a client has once it read all of them; nothing here is random or reads a clock.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pytest_durability.dialects.replies import Reasoning, Reply

EPOCH = 1_750_000_000
"""Replies are created at this moment plus their number, in seconds."""

TEXT, REASONING, SEAL, ARGUMENTS, FINISH, TERMINAL = "text", "reasoning", "seal", "arguments", "finish", "terminal"
"""Kinds of events: a piece of visible text, of reasoning, its signature, a piece of arguments, why it ends, and the end."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event as it goes over the wire, closing blank line included.

    `kind`: one of the kinds above, or empty for a frame around them. `text`: the piece of text, reasoning or arguments that
    it carries. `items`: the output items or content blocks that are complete, and may be sent back, once this event was read.
    """

    data: bytes
    kind: str = ""
    text: str = ""
    items: tuple[Mapping[str, Any], ...] = ()


def seal(item_id: str, text: str) -> str:
    """A stand-in for encrypted content and signatures that repeats: base64 of a digest over an item's id and its text."""
    digest = hashlib.blake2b(f"{item_id}\0{text}".encode("utf-8", "surrogatepass"), digest_size=48).digest()
    return base64.b64encode(digest).decode("ascii")


@dataclass(frozen=True, slots=True)
class Stamp:
    """What makes one reply this reply: its number (from 1), and how reasoning is sealed (from item id and text)."""

    number: int
    seal: Callable[[str, str], str] = field(default=seal, compare=False)

    @property
    def created(self) -> int:
        """When the reply was made, in epoch seconds."""
        return EPOCH + self.number

    def id(self, prefix: str, index: int | None = None) -> str:
        """An id as the provider would give it to the reply, or to its `index`-th part."""
        return f"{prefix}{self.number:06d}" + ("" if index is None else f"{index:02d}")


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens counted in a way that repeats: a quarter of the request's characters, and the pieces of the reply."""

    read: int
    written: int
    reasoned: int

    @classmethod
    def of(cls, reply: Reply, asked: Mapping[str, Any]) -> Usage:
        """The usage of one reply to one request body."""
        reasoned = sum(len(part.pieces) for part in reply.parts if isinstance(part, Reasoning))
        written = sum(len(part.pieces) for part in reply.parts)
        return cls(len(json.dumps(asked, default=str)) // 4, written, reasoned)


def to_json(value: Any) -> bytes:
    """JSON in UTF-8, with real multi-byte characters; a text that UTF-8 cannot hold is escaped instead."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    except UnicodeEncodeError:
        return json.dumps(value, ensure_ascii=True, separators=(",", ":")).encode("ascii")


def sse(value: Any, name: str | None = None) -> bytes:
    """One server-sent event."""
    head = b"" if name is None else b"event: " + name.encode() + b"\n"
    return head + b"data: " + to_json(value) + b"\n\n"


def joined(events: Sequence[Event]) -> bytes:
    """The whole body."""
    return b"".join(event.data for event in events)
