"""Healing runs on every start for ever, so a heal that changes something each time ends in a ruined session (I10).

Rule: after one open, a second one shows the same rows and leaves the files as they are.
"""

from __future__ import annotations

from pytest_durability.ledger import Expectation
from pytest_durability.observation import Observation
from pytest_durability.verdict import Anomaly, HealNotIdempotent


def check(seen: Observation, due: Expectation) -> Anomaly | None:
    """`HealNotIdempotent` if the second open differs from the first, in rows or in files."""
    del due
    if seen.rows is None or seen.again is None:
        return None
    if seen.rows != seen.again:
        first, second = (", ".join(t for row in rows for t in row.tokens) or "nothing" for rows in (seen.rows, seen.again))
        return HealNotIdempotent(
            "opening the session a second time shows another transcript",
            because=(f"first open   {first} ({len(seen.rows)} rows)", f"second open  {second} ({len(seen.again)} rows)"),
            kind="rows",
        )
    if seen.regrown:
        change = seen.regrown[0]
        return HealNotIdempotent(
            f"opening the session a second time changes {change.path} again",
            because=(
                *(f"second open  {item}" + (f"  ({item.site})" if item.site else "") for item in seen.regrown[:4]),
                "if that is on purpose, name the file in the adapter's `volatile`",
            ),
            kind="files",
            site=change.site,
        )
    return None
