"""The first promise of every store: what it acknowledged is there when the session is opened again (I2).

Rule: a message counts as kept if its token is in the transcript and, unless a healthy run alters them too, so are its
whole text and its role. Messages that a commit may have taken can be missing only as a whole prefix, unless a healthy run
shows an older one without them too (a summary that quotes it).
"""

from __future__ import annotations

from collections import Counter

from pytest_durability.ledger import Entry, Expectation
from pytest_durability.observation import Observation, Row, plain
from pytest_durability.verdict import Anomaly, LostAcknowledged


def check(seen: Observation, due: Expectation) -> Anomaly | None:
    """`LostAcknowledged` for the first acknowledged message that is missing, cut short or shown under another role."""
    if seen.rows is None:
        return None
    gone = missing(seen, due)
    if gone is not None:
        return _lost(gone, "is gone", seen)
    hole = _hole(due, Counter(seen.tokens()))
    if hole is not None:
        return _lost(hole, "is gone, while an older one is still there", seen)
    changed = altered(seen, due)
    return None if changed is None else _lost(*changed, seen)


def missing(seen: Observation, due: Expectation, role: str = "") -> Entry | None:
    """The first message of a kind (see `Entry.role`) that must be there and is not, or not as often."""
    found = Counter(seen.tokens())
    return next((entry for entry in due.must if entry.role == role and found[entry.token] < due.needed[entry.token]), None)


def altered(seen: Observation, due: Expectation, role: str = "") -> tuple[Entry, str] | None:
    """The first message of a kind that is there in another form, and in which; none may be missing."""
    rows = seen.by_token()
    for entry in due.must:
        change = _change(entry, rows[entry.token], due) if entry.role == role else ""
        if change:
            return entry, change
    return None


def _change(entry: Entry, rows: list[Row], due: Expectation) -> str:
    """In what way a message is not what was said, or ""."""
    say = entry.say
    if any(row.text == say.text and row.role == say.role for row in rows):
        return ""
    if entry.token not in due.calibration.altered:
        exact, wanted = due.promise.text == "exact", say.text.strip()
        if not any(row.text == say.text if exact else wanted in row.text for row in rows):
            return "comes back with another text"
    if due.keeps_role(entry) and not any(row.role == say.role for row in rows):
        return f"comes back as {plain(rows[0].role, 20)} instead of {plain(say.role, 20)}"
    return ""


def _hole(due: Expectation, found: Counter[str]) -> Entry | None:
    """A shed message that is missing although an older shed one is there (not a whole prefix); archives judge by themselves."""
    if due.archives:
        return None
    # A text that was said again since then may be there for that reason, so it proves nothing.
    oldest_kept = next((i for i, entry in enumerate(due.shed) if found[entry.token] and due.allowed[entry.token] == 1), None)
    if oldest_kept is None:
        return None
    older = due.shed[oldest_kept].token
    for entry in due.shed[oldest_kept:]:
        usual = any(entry.token in missing and older not in missing for missing in due.taken)
        if not found[entry.token] and not usual:
            return entry
    return None


def _lost(entry: Entry, how: str, seen: Observation) -> LostAcknowledged:
    shown = ", ".join(seen.tokens()[:8]) or "nothing"
    return LostAcknowledged(
        f"{entry.token} was acknowledged, then {how} after the reopen",
        because=(f"op {entry.acked}  {entry.token} was acknowledged", f"but   the reopened session shows: {shown}"),
        witnesses=[entry.call, entry.acked or entry.call],
        kind="ack",
    )
