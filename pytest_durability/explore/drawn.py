"""What Hypothesis draws: a short story of the user, and one fault that may strike in it.

Rule: the simplest value comes first everywhere (an append of a short text, no fault), so that shrinking ends at the fewest
steps; a draw never depends on what the store did.
"""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

from pytest_durability.recording import Capabilities
from pytest_durability.tokens import mark
from pytest_durability.workload import Append, AppendMany, Close, Commit, Reload, Say, Step, Workload

TEXTS = (
    "hello",
    "two\nlines",
    "caf\xe9 \u65e5\u672c\u8a9e \U0001f600",
    "a line\u2028separator, a next\x85line, a form\x0cfeed",
    "a carriage\rreturn, and\r\nboth",
    '{"role": "user", "text": "json"}',
    'back\\slash, "quotes", a NUL\x00',
    "x" * 6000,
)
"""Bodies of messages: plain first, then what line-based and C-based stores trip over, then more than a page."""

STEPS = 8
"""The longest story that is drawn; longer ones rarely find more and shrink slowly."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """One drawn case: the steps, and which fault of a list of `faults` (0: none) strikes at which operation."""

    workload: Workload
    fault: int = 0
    at: int = 0


def drawn_cases(able: Capabilities, faults: int) -> st.SearchStrategy[Drawn]:
    """Cases for an adapter with these capabilities, with one of so many kinds of fault."""
    kinds = ["append", "append"]  # once as the user, once as the assistant
    kinds += [name for name in ("append_many", "commit", "close") if name in able.members]
    step = st.tuples(st.integers(0, len(kinds)), st.integers(0, len(TEXTS) - 1), st.integers(0, 3))
    return st.builds(
        lambda codes, fault, at: Drawn(_story(codes, kinds, able), fault, at),
        st.lists(step, min_size=1, max_size=STEPS),
        st.integers(0, faults),
        st.integers(0, 63),
    )


def _story(codes: list[tuple[int, int, int]], kinds: list[str], able: Capabilities) -> Workload:
    """The steps that the codes stand for; the last kind of all is a reload."""
    writer = _Writer(ids=able.promise.retry == "idempotent")
    return Workload(tuple(writer.step(kinds[kind] if kind < len(kinds) else "reload", kind, text, n) for kind, text, n in codes))


class _Writer:
    """Gives every message its token, in the order of the story."""

    def __init__(self, *, ids: bool) -> None:
        self._ids = ids
        self._numbers: dict[str, int] = {}

    def step(self, name: str, kind: int, text: int, n: int) -> Step:
        if name == "append":
            said = self._say("assistant" if kind == 1 else "user", text)
            return Append(said.role, said.text, said.id)
        if name == "append_many":
            roles = ("user", "assistant", "user", "assistant")[: n + 1]
            return AppendMany(tuple(self._say(role, text) for role in roles))
        if name == "commit":
            return Commit(keep=n)
        return Close() if name == "close" else Reload()

    def _say(self, role: str, text: int) -> Say:
        self._numbers[role] = number = self._numbers.get(role, 0) + 1
        name = f"{role[0]}{number}"
        return Say(role, f"{mark(name)} {TEXTS[text]}", f"id-{name}" if self._ids else None)
