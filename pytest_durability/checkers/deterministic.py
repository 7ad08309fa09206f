"""A session that comes back differently each time cannot be trusted even when one of its forms is right (I25).

Rule: two opens of equal bytes, which differ in the random numbers that they draw and in nothing else, show the same messages in the
same order. What a store says of its own, and ids that it makes up, may differ.
"""

from __future__ import annotations

from pytest_durability.ledger import Expectation
from pytest_durability.observation import Observation
from pytest_durability.verdict import Anomaly, NotDeterministic


def check(seen: Observation, due: Expectation) -> Anomaly | None:
    """`NotDeterministic` if equal bytes gave two sessions, or two next requests."""
    del due
    twin = seen.twin
    if twin is None or seen.rows is None or seen.failure is not None:
        return None
    if twin.failure is not None:
        return _differs("loads, and does not load", f"{len(seen.rows)} rows", str(twin.failure), twin.failure.site, "load")
    if _messages(seen) != _messages(twin):
        return _differs("shows two transcripts", _told(seen.tokens()), _told(twin.tokens()), "", "rows")
    if seen.asked is not None and twin.asked is not None and seen.asked.tokens != twin.asked.tokens:
        return _differs("makes two next requests", _told(seen.asked.tokens), _told(twin.asked.tokens), "", "request")
    return None


def _messages(seen: Observation) -> list[tuple[str, tuple[str, ...]]]:
    return [(row.role, row.tokens) for row in seen.rows or () if row.tokens]


def _told(tokens: tuple[str, ...]) -> str:
    return ", ".join(tokens[:12]) or "nothing"


def _differs(what: str, one: str, other: str, site: str, kind: str) -> NotDeterministic:
    return NotDeterministic(
        f"the same files, opened twice: the session {what}",
        because=(f"one open    {one}", f"the other   {other}", "they differ in nothing but the random numbers that they drew"),
        kind=kind,
        site=site,
    )
