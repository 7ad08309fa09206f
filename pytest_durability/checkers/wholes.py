"""Turns that ran at the same time have no order of saying; what is known of each is when it ran, how it ended, what it carried.

Rule: every message of overlapping turns has a mark of its own, so that each row tells whose it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_durability.errors import UsageError

DONE, REFUSED, RAISED, STOPPED = "done", "refused", "raised", "stopped"
"""How a turn ended: it returned; it raised what the adapter declares as a refusal; it raised something else; it was cancelled, or killed."""


@dataclass(frozen=True, slots=True)
class Whole:
    """One turn: the tokens of its messages in the order of saying, and the numbers of the ops at which it began and was over.

    `ended`: `DONE`, `REFUSED`, `RAISED` or `STOPPED`. What was there before all turns is a `Whole` that is over at 0.
    """

    name: str
    tokens: tuple[str, ...]
    began: int
    over: int
    ended: str = DONE
    told: str = ""

    def precedes(self, other: Whole | Cut) -> bool:
        """Whether this was over before the other one began, so that it has to come first."""
        return self.over < other.began


@dataclass(frozen=True, slots=True)
class Cut:
    """A commit or compaction among the turns: it may take everything but the last `keep` messages of its moment."""

    name: str
    keep: int
    began: int
    over: int


def check_marks(turns: Sequence[Whole]) -> None:
    """Refuse turns whose messages cannot be told apart.

    Raises:
        UsageError: two messages carry one mark.
    """
    twice = [token for token, count in Counter(token for turn in turns for token in turn.tokens).items() if count > 1]
    if twice:
        raise UsageError(
            f"the mark {twice[0]} stands in two messages of overlapping turns",
            why="a row that may be of either turn cannot say which order they were in",
            fix="give each message of an overlap a text of its own",
        )
