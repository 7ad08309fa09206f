"""What a model says is scripted once, as data, and served in the words of whichever provider is asked.

Rule: a reply knows nothing of any wire format; its text is cut into pieces the same way every time, so that the same
script gives the same bytes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pytest_durability.errors import UsageError

ENDS = ("complete", "incomplete", "failed", "error", "abort")
"""How a reply ends on the provider's side: done; out of tokens; failed with a last word; an error event; aborted."""

_PIECE = re.compile(r"\s*\S{1,12}|\s+\Z", re.DOTALL)
_ARGUMENTS = 10


@dataclass(frozen=True, slots=True)
class Text:
    """Visible text, as the pieces (deltas) that it is streamed in."""

    pieces: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """All of it."""
        return "".join(self.pieces)


@dataclass(frozen=True, slots=True)
class Reasoning:
    """Reasoning or thinking, in pieces. `sealed`: a signature or encrypted content follows, where the provider has such."""

    pieces: tuple[str, ...] = ()
    sealed: bool = True

    @property
    def text(self) -> str:
        """All of it."""
        return "".join(self.pieces)


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a tool; `pieces` are its arguments as JSON text. `id`: the call's id, None for the next free one."""

    name: str
    pieces: tuple[str, ...] = ()
    id: str | None = None

    @property
    def arguments(self) -> str:
        """The arguments as one JSON text."""
        return "".join(self.pieces)


Part = Text | Reasoning | ToolCall


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer of a model: its parts in the order in which they are said, and how it ends (one of `ENDS`)."""

    parts: tuple[Part, ...] = ()
    end: str = "complete"

    def __post_init__(self) -> None:
        if self.end not in ENDS:
            raise UsageError(f"a reply cannot end with {self.end!r}", fix=f"choose from: {', '.join(map(repr, ENDS))}")

    @property
    def text(self) -> str:
        """The visible text, all parts of it together."""
        return "".join(part.text for part in self.parts if isinstance(part, Text))

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        """The tool calls, in order."""
        return tuple(part for part in self.parts if isinstance(part, ToolCall))

    def plus(self, part: Part) -> Reply:
        """The same reply with one more part."""
        return replace(self, parts=(*self.parts, part))

    def parted(self, after: int) -> Reply:
        """The same reply with a boundary between two pieces after so many characters of its text."""
        parts: list[Part] = []
        for part in self.parts:
            if isinstance(part, Text):
                parts.append(Text(tuple(_parted(part.pieces, after))))
                after -= len(part.text)
            else:
                parts.append(part)
        return replace(self, parts=tuple(parts))


def text(said: str | Sequence[str]) -> Text:
    """Visible text: a string is cut into word-sized pieces, a sequence is taken as the pieces."""
    return Text(pieces_of(said))


def reasoning(said: str | Sequence[str], *, sealed: bool = True) -> Reasoning:
    """Reasoning, cut into pieces as `text` does."""
    return Reasoning(pieces_of(said), sealed)


def tool_call(name: str, arguments: Mapping[str, Any] | str | None = None, *, id: str | None = None) -> ToolCall:  # noqa: A002
    """A tool call. A string is taken as it is, also when it is no JSON; it is streamed in at least two pieces.

    Raises:
        UsageError: the arguments cannot be written as JSON.
    """
    if not isinstance(arguments, str):
        try:
            arguments = json.dumps(dict(arguments or {}), ensure_ascii=False)
        except (TypeError, ValueError) as error:
            raise UsageError(
                f"tool_call({name!r}, {ascii(arguments)[:60]}): {error}",
                fix="give a mapping that json.dumps can write, or a string",
            ) from None
    size = max(1, min(_ARGUMENTS, (len(arguments) + 1) // 2))
    return ToolCall(name, tuple(arguments[i : i + size] for i in range(0, len(arguments), size)), id)


def pieces_of(said: str | Sequence[str]) -> tuple[str, ...]:
    """The pieces of a text: words with the white space before them, long words in parts. A sequence is kept as it is."""
    return tuple(_PIECE.findall(said)) if isinstance(said, str) else tuple(piece for piece in said if piece)


def _parted(pieces: Sequence[str], after: int) -> list[str]:
    found: list[str] = []
    for piece in pieces:
        found += [piece[:after], piece[after:]] if 0 < after < len(piece) else [piece]
        after -= len(piece)
    return found
