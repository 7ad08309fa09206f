"""One answer about what a session shows after its turns overlapped.

Rule: the most specific anomaly is the answer: a message twice, a turn's own messages out of order, a replacement that undid newer
data, and last the history as a whole.
"""

from __future__ import annotations

from collections.abc import Sequence

from pytest_durability.checkers.serialisable import not_serialisable
from pytest_durability.checkers.stale import stale_replace
from pytest_durability.checkers.turn_order import reordered
from pytest_durability.checkers.wholes import Cut, Whole, check_marks
from pytest_durability.verdict import Anomaly, Duplicate


def duplicate(turns: Sequence[Whole], shown: Sequence[str]) -> Duplicate | None:
    """A message of a turn that is there twice."""
    for turn in turns:
        for token in turn.tokens:
            if shown.count(token) > 1:
                return Duplicate(
                    f"{token} of {turn.name} is there {shown.count(token)} times, and was said once",
                    because=(f"shown {', '.join(shown[:12])}",),
                    witnesses=(turn.began,) if turn.began else (),
                    kind="ack",
                )
    return None


def judge_overlap(
    turns: Sequence[Whole], shown: Sequence[str], *, cuts: Sequence[Cut] = (), promised: str = "serialise"
) -> Anomaly | None:
    """The most specific thing wrong with what a session shows after its turns overlapped; None if nothing is.

    `shown`: the tokens of the transcript, in order. `promised`: `Promise.overlap`.

    Raises:
        UsageError: two messages carry one mark.
    """
    check_marks(turns)
    return (
        duplicate(turns, shown)
        or reordered(turns, shown)
        or stale_replace(turns, shown, cuts)
        or not_serialisable(turns, shown, cuts=cuts, promised=promised)
    )
