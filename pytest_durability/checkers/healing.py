"""Healing runs on every start for ever, so a heal that changes something each time ends in a ruined session (I10).

Rule: after one open, a second one shows the same rows (but for moments in rows of the store's own) and leaves the files
as they are.
"""

from __future__ import annotations

from pytest_durability.ledger import Expectation
from pytest_durability.moments import blanked_text
from pytest_durability.observation import Observation, Row
from pytest_durability.verdict import Anomaly, HealNotIdempotent


def check(seen: Observation, due: Expectation) -> Anomaly | None:
    """`HealNotIdempotent` if the second open differs from the first, in rows or in files."""
    del due
    if seen.rows is None or seen.again is None:
        return None
    if seen.rows != seen.again and not _same_but_moments(seen.rows, seen.again):
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


def _same_but_moments(rows: tuple[Row, ...], again: tuple[Row, ...]) -> bool:
    return len(rows) == len(again) and all(
        one == other or _same_notice(one, other) for one, other in zip(rows, again, strict=True)
    )


def _same_notice(one: Row, other: Row) -> bool:
    """Whether two rows that hold no message differ only in a date or a time."""
    return one.role == other.role and not one.tokens and not other.tokens and blanked_text(one.text) == blanked_text(other.text)
