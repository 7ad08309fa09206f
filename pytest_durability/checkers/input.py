"""What a user typed is the one thing nobody can make up again (I4).

Rule: input is owed from the first request that was made for it, from the first text that was shown for it, or from the
return of the call, whichever came first; it is kept as an acknowledged message is.
"""

from __future__ import annotations

from pytest_durability.checkers.acknowledged import altered, missing
from pytest_durability.ledger import INPUT, Entry, Expectation
from pytest_durability.observation import Observation
from pytest_durability.verdict import Anomaly, LostInput


def check(seen: Observation, due: Expectation) -> Anomaly | None:
    """`LostInput` for the first accepted message of the user that is missing or comes back in another form."""
    if seen.rows is None or not any(entry.role == INPUT for entry in due.must):
        return None
    gone = missing(seen, due, INPUT)
    if gone is not None:
        return _lost(gone, "is gone", seen)
    changed = altered(seen, due, INPUT)
    return None if changed is None else _lost(*changed, seen)


def _lost(entry: Entry, how: str, seen: Observation) -> LostInput:
    shown = ", ".join(seen.tokens()[:8]) or "nothing"
    return LostInput(
        f"{entry.token} was accepted from the user, then {how} after the reopen",
        because=(
            f"op {entry.call}  the turn of {entry.token} began",
            f"op {entry.acked}  it was accepted: the model was asked, text was shown, or the turn returned",
            f"but   the reopened session shows: {shown}",
        ),
        witnesses=[entry.call, entry.acked or entry.call],
        kind="input",
    )
