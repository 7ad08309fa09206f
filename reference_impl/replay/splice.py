"""Puts kept reasoning items back where they stood, so that the provider sees its own output and not a rearranged one.

Rule: an item is sent immediately before what it stood before in the reply, in order, once; one whose follower is gone stays away.
Text that the user has seen is always sent; text that only repeats a thought gives way to the items of that thought.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from reference_impl.replay.items import REASONING, serialize_output_item
from reference_impl.replay.model import FINGERPRINT, FOLLOWERS, ITEMS, MESSAGE_ID, TEXT, THOUGHT, Item, Wire

SWITCH: Final = "LLM_REASONING_REPLAY"
_OFF = ("0", "false", "off", "no")
UNKNOWN_RESULT: Final = "[No result of this call is known: it may or may not have run.]"
_NEXT: Final = "next"


def replay_on() -> bool:
    """The kill switch, asked on each call: the variable `LLM_REASONING_REPLAY`; on unless it says off."""
    return os.environ.get(SWITCH, "").strip().lower() not in _OFF


def sends_items(message: Mapping[str, Any], fingerprint: str | None) -> bool:
    """Whether the items of a message were made by the provider that is asked now. None equals nothing."""
    return bool(message.get(ITEMS)) and fingerprint is not None and message.get(FINGERPRINT) == fingerprint


@dataclass(frozen=True, slots=True)
class Spliced:
    """The input of a request. `items`: how many reasoning items it holds; `holders`: the ids of their messages."""

    input: list[Wire]
    items: int = 0
    holders: frozenset[str] = frozenset()


@dataclass(slots=True)
class _Piece:
    """One element of the input, and the items that go before it (with the ids of the messages that hold them)."""

    kind: str
    wire: Wire
    mark: str = ""
    held: list[tuple[Item, str]] = field(default_factory=list)
    sent: int = 0
    before: list[tuple[Item, _Piece]] = field(default_factory=list)
    holder: str = ""


@dataclass(frozen=True, slots=True)
class Splicer:
    """Makes inputs for one provider. `bare`: items without encrypted content may be sent, because the provider stores them."""

    fingerprint: str | None
    bare: bool = False

    def splice(self, messages: Sequence[Mapping[str, Any]], *, replay: bool) -> Spliced:
        """The input for some wire messages; without `replay` it holds no items, and all text. No carrier is ever in it."""
        pieces = _paired([piece for message in messages for piece in self._pieces(message, replay=replay)])
        _assign(pieces)
        sent: list[Wire] = []
        holders: list[str] = []
        for piece in pieces:
            for item, holder in piece.before:
                sent.append(dict(item))
                holders.append(holder.holder)
            if not (piece.kind == "thought" and (piece.sent or not piece.wire["content"])):
                sent.append(piece.wire)
        return Spliced(sent, len(holders), frozenset(holders))

    def _pieces(self, message: Mapping[str, Any], *, replay: bool) -> Iterator[_Piece]:
        held = list(self._held(message)) if replay and sends_items(message, self.fingerprint) else []
        role, content = str(message.get("role")), message.get("content")
        calls = message.get("tool_calls") or ()
        if role == "tool":
            call = str(message.get("tool_call_id"))
            yield _Piece("output", {"type": "function_call_output", "call_id": call, "output": content or ""}, call)
            return
        if role != "assistant":
            yield _Piece("user", {"role": role, "content": content})
            return
        name = str(message.get(MESSAGE_ID) or "")
        if message.get(THOUGHT) or message.get(ITEMS):
            yield _Piece("thought", {"role": role, "content": content if message.get(THOUGHT) else ""}, held=held, holder=name)
        if content and not message.get(THOUGHT):
            yield _Piece("text", {"role": role, "content": content})
        for call in calls:
            yield _Piece("call", {"type": "function_call", **_called(call)}, str(call["id"]))

    def _held(self, message: Mapping[str, Any]) -> Iterator[tuple[Item, str]]:
        items = message[ITEMS]
        followers = message.get(FOLLOWERS) or [_NEXT] * len(items)
        for item, follower in zip(items, followers, strict=False):
            if isinstance(item, Mapping) and follower is not None:
                clean = serialize_output_item(item)
                if clean.get("type") == REASONING and (clean.get("encrypted_content") or (self.bare and clean.get("id"))):
                    yield {"summary": [], **clean}, follower


def _called(call: Mapping[str, Any]) -> Wire:
    return {"call_id": call["id"], "name": call["name"], "arguments": call["arguments"]}


def _assign(pieces: Sequence[_Piece]) -> None:
    """Give each item to the piece that it stood before. What the user says, and the next thought, end its search."""
    known: set[object] = set()
    waiting: list[tuple[Item, str, _Piece]] = []
    for piece in pieces:
        if piece.kind in ("user", "thought"):
            waiting = [(item, follower, piece) for item, follower in piece.held]
            continue
        wanted = {"text": (_NEXT, TEXT), "call": (_NEXT, piece.mark)}.get(piece.kind, ())
        for item, follower, holder in waiting:
            name = item.get("id")
            if follower in wanted and (name is None or name not in known):
                known.add(name)
                holder.sent += 1
                piece.before.append((item, holder))
        waiting = [entry for entry in waiting if entry[1] not in (_NEXT, *wanted)]


def _paired(pieces: Sequence[_Piece]) -> list[_Piece]:
    """Each call with one output: a crash may have kept the one without the other, and no request with either is valid."""
    later: set[str] = set()
    whole: list[_Piece] = []
    for piece in reversed(pieces):
        if piece.kind == "output":
            later.add(piece.mark)
        elif piece.kind == "call" and piece.mark not in later:
            unknown = {"type": "function_call_output", "call_id": piece.mark, "output": UNKNOWN_RESULT}
            whole.append(_Piece("output", unknown, piece.mark))
        elif piece.kind == "call":
            later.discard(piece.mark)
        whole.append(piece)
    return list(_without_orphans(reversed(whole)))


def _without_orphans(pieces: Iterable[_Piece]) -> Iterator[_Piece]:
    called: set[str] = set()
    for piece in pieces:
        if piece.kind == "call":
            called.add(piece.mark)
        if piece.kind != "output" or piece.mark in called:
            yield piece
        if piece.kind == "output":
            called.discard(piece.mark)
