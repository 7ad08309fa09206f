"""What a drawn user says: plain words first, then what line-based, C-based and careless stores trip over.

Rule: the simplest value comes first everywhere, so that shrinking ends at it; a draw never depends on what the store did.
"""

from __future__ import annotations

from pytest_durability.tokens import find, mark
from pytest_durability.workload import Say

TEXTS = (
    "hello",
    "two\nlines",
    "caf\xe9 \u65e5\u672c\u8a9e \U0001f600",
    "a line\u2028separator, a next\x85line, a form\x0cfeed",
    "a carriage\rreturn, and\r\nboth",
    '{"role": "user", "text": "json"}',
    'back\\slash, "quotes", a NUL\x00',
    "",
    "a lone \udc80 surrogate",
    "x" * 6000,
)
"""Bodies of messages; the last one is longer than a page."""

REPLIES = (
    "short",
    "an answer of a few words,\nin two lines",
    "caf\xe9 \u65e5\u672c\u8a9e \U0001f600 and more of it",
    '{"json": [1, 2]}',
    "x" * 600,
)
"""Bodies of replies; the last one is longer than a line of any buffer, in a few pieces."""

HUGE = "y" * (1 << 20)
"""A body of many pages, which takes long to crash everywhere; only longer searches say it."""

OTHER = "other"
"""The name of the session that lives beside the usual one."""

MANY = 11
"""So many messages in a row pass what stores keep in a window, or count with one digit."""


class Writer:
    """Gives every message its token, in the order of the story; `ids`: and an id, for stores that know a retry by it."""

    def __init__(self, *, ids: bool) -> None:
        self._ids = ids
        self._numbers: dict[str, int] = {}
        self.said: list[Say] = []

    def say(self, role: str, body: str) -> Say:
        """A message that was not said before; a text that carries a mark already keeps it."""
        known = find(body)
        name = known[0] if known else self._name(role)
        text = body if known else f"{mark(name)} {body}" if body else mark(name)
        said = Say(role, text, f"id-{name}" if self._ids else None)
        self.said.append(said)
        return said

    def again(self, which: int) -> Say:
        """A text that was said before, said once more: a message of its own, with an id of its own."""
        said = self.said[-1 - which % len(self.said)]
        number = self._numbers["again"] = self._numbers.get("again", 0) + 1
        return Say(said.role, said.text, f"{said.id}-again-{number}" if said.id else None)

    def _name(self, role: str) -> str:
        letter = role[:1].lower() if "a" <= role[:1].lower() <= "y" else "m"
        self._numbers[letter] = number = self._numbers.get(letter, 0) + 1
        return f"{letter}{number}"
