"""What is kept of a reply's reasoning: the items that the provider will take back, and what each of them stood before.

Rule: an item is reduced to four fields when it is captured and again when it is sent, so that nothing that only replies may hold
goes out, whoever stored it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reference_impl.replay.model import ITEM_FIELDS, TEXT, Call, Followers, Item

REASONING = "reasoning"
_SPOKEN = ("message", "function_call")


@dataclass(frozen=True, slots=True)
class Captured:
    """The output of one reply, taken apart. `items` is None if it has no reasoning."""

    text: str = ""
    calls: Sequence[Call] = ()
    items: Sequence[Item] | None = None
    followers: Followers | None = None
    summary: str = ""


def endpoint_hash(base_url: str) -> str:
    """The first 8 hex characters of the SHA-256 of an address."""
    return hashlib.sha256(base_url.encode()).hexdigest()[:8]


def serialize_output_item(item: Mapping[str, Any]) -> Item:
    """The four fields of a reasoning item that may be sent back; those that are absent or null stay away."""
    return {key: item[key] for key in ITEM_FIELDS if item.get(key) is not None}


def capture(output: Iterable[Mapping[str, Any]]) -> Captured:
    """Take the output items of a reply apart, order kept."""
    text: list[str] = []
    calls: list[Call] = []
    summary: list[str] = []
    items: list[Mapping[str, Any]] = []
    marks: list[str | None] = []
    for item in output:
        kind = item.get("type")
        if kind == REASONING:
            items.append(item)
            summary += [thought for part in item.get("summary") or () if (thought := str(part.get("text", "")))]
        elif kind in _SPOKEN:
            spoken = _spoken(item) if kind == "message" else ""
            # The messages of a reply become one text, so only what stood before the first of them still has its place.
            mark = str(item.get("call_id")) if kind == "function_call" else TEXT if spoken and not text else None
            marks += [mark] * (len(items) - len(marks))
            text += [spoken] if spoken else []
            calls += [_call(item)] if kind == "function_call" else []
    marks += [None] * (len(items) - len(marks))
    said = "".join(text)
    natural = TEXT if said else next((str(call["id"]) for call in calls), None)
    plain = all(mark == natural for mark in marks)
    return Captured(said, tuple(calls), items or None, None if plain else tuple(marks), "\n\n".join(summary))


def _spoken(message: Mapping[str, Any]) -> str:
    parts = message.get("content") or ()
    return "".join(str(part.get("text") or part.get("refusal") or "") for part in parts if isinstance(part, Mapping))


def _call(item: Mapping[str, Any]) -> Call:
    return {"id": str(item.get("call_id")), "name": str(item.get("name")), "arguments": str(item.get("arguments") or "")}
