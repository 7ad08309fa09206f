"""Where a stream may break, by names that mean the same in every wire format, turned into exact places in the bytes.

Rule: what a client has of a reply is exactly the events that lie whole before the cut; a place that a reply does not
have is refused, because a cut that never strikes tests nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from pytest_durability.dialects.replies import Reasoning, Reply, Text
from pytest_durability.dialects.wire import ARGUMENTS, REASONING, TERMINAL, TEXT, Event
from pytest_durability.errors import UsageError

HOWS = ("eof", "reset", "protocol", "timeout", "stall")
"""How a stream breaks: a clean end; a connection reset; the peer is gone inside a chunk; the client's read timeout strikes;
nothing more comes, ever (a client with a read timeout gets it, one without waits)."""

POINTS = (
    "no-answer",
    "first-byte",
    "between-events",
    "inside-event",
    "inside-character",
    "before-signature",
    "inside-arguments",
    "after-text",
    "before-terminal",
    "after-terminal",
)
"""Named places: before the status line; before the first byte of the body; between two pieces of text and inside one; inside
a multi-byte character; after the reasoning and before its signature; between two pieces of a call's arguments; after the
last piece of text; before the event that ends the stream, and after it. Besides: `event:3` (after three events) and
`byte:120` (after so many bytes of the body)."""

_COUNTED = re.compile(r"(event|byte):(\d{1,9})")


@dataclass(frozen=True, slots=True)
class Cut:
    """A reply breaks `after` so many characters of its text (or at a named place), in the way `how` names.

    Raises:
        UsageError: there is no such place or no such way.
    """

    after: int | str = 0
    how: str = "eof"

    def __post_init__(self) -> None:
        named = isinstance(self.after, str) and (self.after in POINTS or _COUNTED.fullmatch(self.after))
        if not named and (isinstance(self.after, (str, bool)) or self.after < 0):
            raise UsageError(
                f"cut(after={self.after!r})",
                why="a cut needs a place that every wire format has",
                fix=f"give a number of characters, event:N, byte:N, or one of {', '.join(POINTS)}",
            )
        if self.how not in HOWS:
            raise UsageError(f"cut(how={self.how!r})", fix=f"choose from: {', '.join(HOWS)}")

    def __str__(self) -> str:
        place = f"after {self.after} characters" if isinstance(self.after, int) else str(self.after)
        return f"{self.how} {place}"


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a list of events: `events` of them come whole, then `rest` bytes of the next one.

    `answered` is false if not even the status line comes.
    """

    events: int
    rest: int = 0
    answered: bool = True


def check(reply: Reply, cut: Cut) -> None:
    """Refuse a cut at a place that the reply does not have.

    Raises:
        UsageError: the cut would never strike.
    """
    lacks = _lacking(reply, cut.after)
    if lacks:
        raise UsageError(
            f"cut({cut}): the reply has {lacks}",
            why="a cut that never strikes would make the test say nothing",
            fix="script such a reply, or cut it at a place that it has",
        )


def _lacking(reply: Reply, after: int | str) -> str:
    if isinstance(after, int):
        return f"only {len(reply.text)} characters of text" if after > len(reply.text) else ""
    thought = any(isinstance(part, Reasoning) and part.pieces for part in reply.parts)
    missing = {
        "inside-character": ("no character of more than one byte", not reply.text.isascii()),
        "before-signature": ("no reasoning", thought),
        "inside-arguments": ("no call with arguments", any(len(call.pieces) > 1 for call in reply.calls)),
        "after-text": ("no text", bool(reply.text)),
    }
    said, has = missing.get(after, ("", True))
    return "" if has else said


def prepared(reply: Reply, cut: Cut) -> Reply:
    """The reply with a boundary between two pieces where the cut needs one."""
    if isinstance(cut.after, int):
        return reply.parted(cut.after)
    if cut.after in ("between-events", "inside-event") and sum(len(p.pieces) for p in reply.parts if isinstance(p, Text)) == 1:
        return reply.parted((len(reply.text) + 1) // 2)
    return reply


def locate(events: Sequence[Event], cut: Cut) -> Position | None:
    """The place of a cut in the events of a prepared reply; None if they have no such place."""
    if isinstance(cut.after, int):
        return _after_characters(events, cut.after)
    counted = _COUNTED.fullmatch(cut.after)
    if counted is not None:
        number = int(counted[2])
        return _after_bytes(events, number) if counted[1] == "byte" else Position(number) if number <= len(events) else None
    return _PLACES[cut.after](events)


def every(events: Sequence[Event]) -> Iterator[Cut]:
    """A cut at each boundary between two events and one inside each event, as clean ends; the first is before the first byte."""
    done = 0
    for number, event in enumerate(events):
        yield Cut(f"event:{number}")
        yield Cut(f"byte:{done + len(event.data) // 2}")
        done += len(event.data)
    yield Cut(f"event:{len(events)}")


def in_body(data: bytes, cut: Cut) -> Position | None:
    """The place of a cut in a body that is not streamed: its beginning, its end, and otherwise the middle of it."""
    if cut.after == "no-answer":
        return Position(0, answered=False)
    if cut.after in ("first-byte", "event:0"):
        return Position(0)
    if cut.after in ("after-terminal", "event:1"):
        return Position(1)
    if isinstance(cut.after, str) and cut.after.startswith("byte:"):
        return _after_bytes([Event(data)], int(cut.after[5:]))
    if cut.after == "inside-character":
        return _inside_character([Event(data, TEXT)])
    return Position(0, _boundary(data, len(data) // 2))


def _of_kind(events: Sequence[Event], kind: str) -> list[int]:
    return [number for number, event in enumerate(events) if event.kind == kind]


def _after_characters(events: Sequence[Event], after: int) -> Position | None:
    text = _of_kind(events, TEXT)
    if after == 0:
        return Position(text[0] if text else _end(events))
    done = 0
    for number in text:
        done += len(events[number].text)
        if done >= after:
            return Position(number + 1)
    return None


def _after_bytes(events: Sequence[Event], count: int) -> Position | None:
    for number, event in enumerate(events):
        if count < len(event.data):
            return Position(number, count)
        count -= len(event.data)
    return Position(len(events)) if count == 0 else None


def _middle(events: Sequence[Event]) -> int:
    """The number of the piece of text in the middle (of any event, if there is no text)."""
    text = _of_kind(events, TEXT)
    return text[len(text) // 2] if text else len(events) // 2


def _inside(events: Sequence[Event]) -> Position:
    number = _middle(events)
    return Position(number, _boundary(events[number].data, len(events[number].data) // 2))


def _boundary(data: bytes, at: int) -> int:
    """The nearest place at or before `at` that is not inside a character."""
    while at > 0 and data[at] & 0xC0 == 0x80:  # noqa: PLR2004  a continuation byte of UTF-8
        at -= 1
    return at


def _inside_character(events: Sequence[Event]) -> Position | None:
    wide = [number for number in _of_kind(events, TEXT) if not events[number].data.isascii()]
    if not wide:
        return None
    number = wide[len(wide) // 2]
    lead = next(at for at, byte in enumerate(events[number].data) if byte >= 0xC0)  # noqa: PLR2004  starts a character
    return Position(number, lead + 1)


def _before_signature(events: Sequence[Event]) -> Position | None:
    """After the last piece of the first reasoning of the reply."""
    thoughts = _of_kind(events, REASONING)
    last = [number for number in thoughts if number + 1 not in thoughts]
    return Position(last[0] + 1) if last else None


def _inside_arguments(events: Sequence[Event]) -> Position | None:
    """Between two pieces in the middle of the first call."""
    pieces = _of_kind(events, ARGUMENTS)
    first = [number for at, number in enumerate(pieces) if number == pieces[0] + at]
    return Position(first[len(first) // 2 - 1] + 1) if len(first) > 1 else None


def _after_text(events: Sequence[Event]) -> Position | None:
    text = _of_kind(events, TEXT)
    return Position(text[-1] + 1) if text else None


def _end(events: Sequence[Event]) -> int:
    """The number of the event that ends the stream."""
    ends = _of_kind(events, TERMINAL)
    return ends[-1] if ends else len(events)


_PLACES: dict[str, Callable[[Sequence[Event]], Position | None]] = {
    "no-answer": lambda _: Position(0, answered=False),
    "first-byte": lambda _: Position(0),
    "between-events": lambda events: Position(_middle(events)),
    "inside-event": _inside,
    "inside-character": _inside_character,
    "before-signature": _before_signature,
    "inside-arguments": _inside_arguments,
    "after-text": _after_text,
    "before-terminal": lambda events: Position(_end(events)),
    "after-terminal": lambda events: Position(len(events)),
}
