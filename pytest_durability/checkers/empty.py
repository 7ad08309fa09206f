"""A read that fails quietly looks like a new session, and the next write then destroys the old one (I14).

Rule: an empty transcript is `SilentEmpty` only if a message must be there and its bytes still are.
"""

from __future__ import annotations

from pytest_durability.ledger import Expectation
from pytest_durability.observation import Observation
from pytest_durability.verdict import Anomaly, SilentEmpty


def check(seen: Observation, due: Expectation) -> Anomaly | None:
    """`SilentEmpty` if nothing loads although the state holds the bytes of a message that must be there."""
    if seen.rows is None or seen.tokens():
        return None
    archived = {token for row in seen.archived or () for token in row.tokens}
    hidden = [entry for entry in due.must if entry.token in seen.present and entry.token not in archived]
    if not hidden:
        return None
    names = ", ".join(entry.token for entry in hidden[:5])
    return SilentEmpty(
        f"the session opens empty although {names} {'is' if len(hidden) == 1 else 'are'} on disk",
        because=(
            f"op {hidden[0].acked}  {hidden[0].token} was acknowledged",
            f"but   the transcript is empty, while the bytes of {names} are still in the files",
        ),
        witnesses=[hidden[0].call, hidden[0].acked or hidden[0].call],
        kind="ack",
    )
