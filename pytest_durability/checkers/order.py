"""A transcript out of order is another conversation (I7).

Rule: what is there must be a subsequence of what was said. What was said while a tool ran may stand anywhere in that turn.
"""

from __future__ import annotations

from pytest_durability.ledger import Expectation
from pytest_durability.observation import Observation
from pytest_durability.verdict import Anomaly, Reordered


def check(seen: Observation, due: Expectation) -> Anomaly | None:
    """`Reordered` for the first row that stands before one that was said earlier."""
    said = [entry.token for entry in due.said if not entry.amid]
    amid = {entry.token for entry in due.said if entry.amid}
    position = 0
    shown = [token for token in seen.tokens() if token not in amid]
    for index, token in enumerate(shown):
        try:
            position = said.index(token, position) + 1
        except ValueError:
            earlier = shown[index - 1] if index else "?"
            return Reordered(
                f"{token} comes after {earlier}, but was said before it",
                because=(f"said  {', '.join(said[:10])}", f"shown {', '.join(shown[:10])}"),
                witnesses=[entry.call for entry in due.said if entry.token in (token, earlier)],
                kind="ack",
            )
    return None
