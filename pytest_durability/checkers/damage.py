"""One torn record may cost itself; it must not take intact neighbours with it (I13).

Rule: a missing message whose bytes are whole in a published file was not lost by the disk but by the reader. (A reply that is owed
because it was shown may be there because its transaction was under way.)
"""

from __future__ import annotations

from pytest_durability.ledger import REPLY, Expectation
from pytest_durability.observation import Observation
from pytest_durability.verdict import Anomaly, DamageSpread


def check(seen: Observation, due: Expectation) -> Anomaly | None:
    """`DamageSpread` if the session loads in part and leaves out an acknowledged message whose bytes are there."""
    if seen.rows is None or not seen.tokens():
        return None
    shown = set(seen.tokens()) | {token for row in seen.archived or () for token in row.tokens}
    for entry in due.must:
        if entry.role != REPLY and entry.token not in shown and entry.token in seen.present:
            return DamageSpread(
                f"{entry.token} was acknowledged and is on disk, but is left out of the session",
                because=(
                    f"op {entry.acked}  {entry.token} was acknowledged",
                    f"but   its bytes are in the files and the transcript leaves it out: {', '.join(seen.tokens()[:8])}",
                ),
                witnesses=[entry.call, entry.acked or entry.call],
                kind="ack",
            )
    return None
