"""The first promise of every store: what it acknowledged is there when the session is opened again (I2).

Rule: a message counts as kept if its token is in the transcript and, unless a healthy run alters texts too, so is its
whole text. Messages that a commit may have taken can be missing only as a whole prefix.
"""

from __future__ import annotations

from collections import Counter

from pytest_durability.ledger import Entry, Expectation
from pytest_durability.observation import Observation
from pytest_durability.verdict import Anomaly, LostAcknowledged


def check(seen: Observation, due: Expectation) -> Anomaly | None:
    """`LostAcknowledged` for the first acknowledged message that is missing or cut short."""
    if seen.rows is None:
        return None
    found = Counter(seen.tokens())
    for entry in due.must:
        if found[entry.token] < due.needed[entry.token]:
            return _lost(entry, "is gone", seen)
    hole = _hole(due, found)
    if hole is not None:
        return _lost(hole, "is gone, while an older one is still there", seen)
    texts, exact = seen.texts(), due.promise.text == "exact"
    for entry in due.must:
        if entry.token not in due.calibration.altered and not _whole(entry, texts[entry.token], exact=exact):
            return _lost(entry, "comes back with another text", seen)
    return None


def _whole(entry: Entry, texts: list[str], *, exact: bool) -> bool:
    if exact:
        return entry.say.text in texts
    wanted = entry.say.text.strip()
    return any(wanted in text for text in texts)


def _hole(due: Expectation, found: Counter[str]) -> Entry | None:
    """A shed message that is missing although an older shed one is there (not a whole prefix); archives judge by themselves."""
    if due.archives:
        return None
    # A text that was said again since then may be there for that reason, so it proves nothing.
    oldest_kept = next((i for i, entry in enumerate(due.shed) if found[entry.token] and due.allowed[entry.token] == 1), None)
    if oldest_kept is None:
        return None
    return next((entry for entry in due.shed[oldest_kept:] if not found[entry.token]), None)


def _lost(entry: Entry, how: str, seen: Observation) -> LostAcknowledged:
    shown = ", ".join(seen.tokens()[:8]) or "nothing"
    return LostAcknowledged(
        f"{entry.token} was acknowledged, then {how} after the reopen",
        because=(f"op {entry.acked}  {entry.token} was acknowledged", f"but   the reopened session shows: {shown}"),
        witnesses=[entry.call, entry.acked or entry.call],
        kind="ack",
    )
