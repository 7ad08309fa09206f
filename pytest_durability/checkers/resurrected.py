"""A message that was archived comes back as live after a lost clear; the model then reads it twice.

Rule: only an acknowledged removal binds the store; a commit that was never acknowledged may roll back.
"""

from __future__ import annotations

from pytest_durability.ledger import Expectation
from pytest_durability.observation import Observation
from pytest_durability.verdict import Anomaly, Resurrected


def check(seen: Observation, due: Expectation) -> Anomaly | None:
    """`Resurrected` if a token whose removal was acknowledged is in the transcript."""
    if not due.gone or seen.rows is None:
        return None
    back = [token for token in seen.tokens() if token in due.gone and not due.needed.get(token)]
    if not back:
        return None
    entry = due.entry(back[0])
    return Resurrected(
        f"{back[0]} was moved out of the session, then is live again",
        because=(
            f"op {entry.acked if entry else '?'}  {back[0]} was acknowledged, and a later commit that moved it out was too",
            f"but   it is in the transcript again: {', '.join(back[:6])}",
        ),
        witnesses=[entry.call] if entry else [],
        kind="commit",
    )
