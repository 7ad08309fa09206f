"""The slow and fallible parts of an archive's second phase are handed in, so that the store needs no model.

Rule: a worker gets values and returns values; it touches no file of the session, and it may be called again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from reference_impl.store.message import Message


@dataclass(frozen=True, slots=True)
class Summary:
    """`overview`: what a context shows instead of the messages. `abstract`: one or two sentences of it."""

    overview: str
    abstract: str


Summarise = Callable[[Sequence[Message], Sequence[str]], Summary]
"""From the messages of an archive and the overviews of the archives before it, oldest first."""

Extract = Callable[[int, Sequence[Message]], Mapping[str, int]]
"""From an archive number and its messages to counters; called twice with one number it must not count twice."""


def outline(messages: Sequence[Message], earlier: Sequence[str]) -> Summary:
    """A summary without a model: the earlier overviews and the first words of every message."""
    rows = [f"{message.role}: {message.text[:80]}" for message in messages if not message.is_record]
    return Summary("\n".join([*earlier, *rows]), rows[0] if rows else "")


def count_messages(archive: int, messages: Sequence[Message]) -> Mapping[str, int]:
    """An extractor without a model: how many messages there were."""
    del archive
    return {"messages": len(messages)}


@dataclass(frozen=True, slots=True)
class Workers:
    """`attempts`: how often each worker is tried before the archive is marked as failed."""

    summarise: Summarise = outline
    extract: Extract = count_messages
    attempts: int = 3
