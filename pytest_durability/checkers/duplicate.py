"""A message shown twice is read twice by the model and by the user (I1).

Rule: a token may be in the transcript as often as it was said, and no more.
"""

from __future__ import annotations

from collections import Counter

from pytest_durability.ledger import Expectation
from pytest_durability.observation import Observation
from pytest_durability.verdict import Anomaly, Duplicate


def check(seen: Observation, due: Expectation) -> Anomaly | None:
    """`Duplicate` for the first token that is there more often than it was said."""
    for token, count in Counter(seen.tokens()).items():
        said = due.allowed.get(token, 0)
        if 0 < said < count:
            entry = due.entry(token)
            return Duplicate(
                f"{token} was said {_times(said)} and is there {_times(count)}",
                because=(
                    f"op {entry.call if entry else '?'}  {token} was said",
                    f"but   the reopened session shows: {', '.join(seen.tokens()[:10])}",
                ),
                witnesses=[entry.call] if entry else [],
                kind="ack",
            )
    return None


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")
