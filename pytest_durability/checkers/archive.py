"""A commit moves messages between two places, and a crash in between must leave each of them in exactly one.

Rule: asked only of adapters that can show their archives (`archived`).
"""

from __future__ import annotations

from collections import Counter

from pytest_durability.ledger import Expectation
from pytest_durability.observation import Observation
from pytest_durability.verdict import Anomaly, Duplicate, LostAcknowledged


def check(seen: Observation, due: Expectation) -> Anomaly | None:
    """`Duplicate` for a message in both places, `LostAcknowledged` for one in neither."""
    if seen.archived is None or seen.rows is None:
        return None
    live = set(seen.tokens())
    archived = [token for row in seen.archived for token in row.tokens]
    for token in archived:
        if token in live and due.allowed.get(token, 0) <= 1:
            return Duplicate(
                f"{token} is in the archive and in the transcript",
                because=(f"{token} was said once, and is in both places after the reopen",),
                kind="commit",
            )
    counts = Counter(archived)
    doubled = next((token for token in archived if counts[token] > max(1, due.allowed.get(token, 0))), None)
    if doubled is not None:
        return Duplicate(f"{doubled} is in the archives twice", because=(f"{doubled} was said once",), kind="commit")
    kept = live | set(archived)
    for entry in due.shed:
        if entry.token not in kept:
            return LostAcknowledged(
                f"{entry.token} was acknowledged, and is in neither the transcript nor an archive",
                because=(f"op {entry.acked}  {entry.token} was acknowledged", "but   neither place holds it after the reopen"),
                witnesses=[entry.call, entry.acked or entry.call],
                kind="ack",
            )
    return None
