"""A message shown twice is read twice by the model and by the user (I1).

Rule: a token may be in the transcript as often as it was said, and no more. A retry that is promised to add nothing is no
saying of its own; once it is over, a second copy is its doing.
"""

from __future__ import annotations

from collections import Counter

from pytest_durability.ledger import Entry, Expectation
from pytest_durability.observation import Observation
from pytest_durability.verdict import Anomaly, Duplicate, RetryDoubled


def check(seen: Observation, due: Expectation) -> Anomaly | None:
    """`Duplicate` (or `RetryDoubled`) for the first token that is there more often than it was said."""
    for token, count in Counter(seen.tokens()).items():
        said = due.allowed.get(token, 0)
        if 0 < said < count:
            entry = due.entry(token)
            if token in due.retried:
                return _doubled(token, entry, seen)
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


def _doubled(token: str, entry: Entry | None, seen: Observation) -> RetryDoubled:
    return RetryDoubled(
        f"{token} was said once, and said again with the same id, and is there twice",
        because=(
            f"op {entry.call if entry else '?'}  {token} was said, and the same call was repeated with the same message id",
            "but   the store promises that a retry adds nothing (Promise.retry is 'idempotent')",
            f"and   the reopened session shows: {', '.join(seen.tokens()[:10])}",
        ),
        witnesses=[entry.call] if entry else [],
        kind="retry",
    )


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")
