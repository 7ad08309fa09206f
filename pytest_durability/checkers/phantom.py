"""A row that nobody said is a half-written record taken for a whole one, or another session's.

Rule: a row without a token is legal if a healthy run of the same workload shows rows of its kind; a token is legal from
the moment its call began.
"""

from __future__ import annotations

from pytest_durability.ledger import REPLY, Expectation
from pytest_durability.observation import Observation, Row, plain
from pytest_durability.verdict import Anomaly, Phantom


def check(seen: Observation, due: Expectation) -> Anomaly | None:
    """`Phantom` for the first row that was never said, or that is a fragment of what was said."""
    for row in seen.rows or ():
        if not row.tokens and not due.legal_stranger(row):
            return _phantom(row, "holds no text that was said")
        for token in row.tokens:
            if not due.allowed.get(token):
                return _phantom(row, f"holds {token}, which had not been said at op {due.at}")
        if _fragment(row, due):
            return _phantom(row, "holds only a part of a message whose append was never acknowledged")
    return None


def _fragment(row: Row, due: Expectation) -> bool:
    """Whether a row is half a message. A row of another role (a summary, a notice) may quote as little as it likes."""
    for token in row.tokens:
        entry = due.entry(token)
        if entry is not None and entry.say.role != row.role:
            continue
        if entry is None or token in due.calibration.altered or due.needed.get(token) or token in due.gone:
            continue
        if entry.say.text.strip() in row.text:
            continue
        if not any(one.token == token and one.role == REPLY for one in due.said):  # a reply may have been cut
            return True
    return False


def _phantom(row: Row, why: str) -> Phantom:
    role, text = plain(row.role, 20), ascii(row.text[:60])
    return Phantom(
        f"a {role} row {text} {why}",
        because=(f"the reopened session shows a {role} row: {text}", f"but   it {why}"),
        kind=role,
    )
