"""Text that a user has read exists, whatever became of the turn; a session without it goes on from another conversation (I3).

Rule: a row keeps a reply if it holds at least what was shown of it at the moment from which the promise counts. More is legal.
"""

from __future__ import annotations

from pytest_durability.checkers.acknowledged import altered, missing
from pytest_durability.ledger import REPLY, Entry, Expectation
from pytest_durability.observation import Observation, plain
from pytest_durability.verdict import Anomaly, LostDelivered


def check(seen: Observation, due: Expectation) -> Anomaly | None:
    """`LostDelivered` for the first reply of which the user saw more than is there."""
    if seen.rows is None or not any(entry.role == REPLY for entry in due.must):
        return None
    gone = missing(seen, due, REPLY)
    if gone is not None:
        return _lost(gone, "is gone", seen)
    changed = altered(seen, due, REPLY)
    if changed is None:
        return None
    entry, how = changed
    return _lost(entry, "is there in part only" if "text" in how else how, seen)


def _lost(entry: Entry, how: str, seen: Observation) -> LostDelivered:
    said = entry.say.text
    rows = [plain(row.text) for row in seen.rows or () if entry.token in row.tokens]
    there = f"{entry.token} as {rows[0]!r}" if rows else ", ".join(seen.tokens()[:8]) or "nothing"
    return LostDelivered(
        f"{entry.token} was shown to the user, then {how} after the reopen",
        because=(
            f"op {entry.last}  {len(said)} characters of {entry.token} had been shown: {plain(said)!r}",
            f"but   the reopened session shows: {there}",
        ),
        witnesses=[entry.call, entry.last],
        kind="delivered",
    )
