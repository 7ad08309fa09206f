"""Opening must not rewrite what is already right: each rewrite is one more chance to lose it.

Rule: asked only of a session that was ended cleanly, and only about content (not times, not `volatile` files).
"""

from __future__ import annotations

from pytest_durability.ledger import Expectation
from pytest_durability.observation import Observation
from pytest_durability.verdict import Anomaly, HealedHealthy


def check(seen: Observation, due: Expectation) -> Anomaly | None:
    """`HealedHealthy` if the open of a healthy session changed the content of a file."""
    del due
    if not seen.healthy or not seen.changed:
        return None
    change = seen.changed[0]
    return HealedHealthy(
        f"opening a healthy session changes {change.path}",
        because=(
            *(f"open  {item}" + (f"  ({item.site})" if item.site else "") for item in seen.changed[:4]),
            "if that is on purpose, name the file in the adapter's `volatile`",
        ),
        kind="files",
        site=change.site,
    )
