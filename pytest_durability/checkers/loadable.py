"""A session that cannot be opened loses everything at once, so this is asked first.

Rule: any exception from `open` or `transcript` is `Unloadable`, unless the adapter declares its type in `refuses`; a
declared refusal is legal only while nothing that must be there stands behind it, or while a record may be torn and the
store promises to refuse that.
"""

from __future__ import annotations

from pytest_durability.ledger import Expectation
from pytest_durability.observation import Failure, Observation
from pytest_durability.verdict import Anomaly, Unloadable


def check(seen: Observation, due: Expectation) -> Anomaly | None:
    """`Unloadable` if the session does not load, on the first or on the second open."""
    if seen.failure is not None:
        return _unloadable(seen.failure, due, "")
    if seen.again_failure is not None:
        return _unloadable(seen.again_failure, due, " when it is opened again")
    return None


def _unloadable(failure: Failure, due: Expectation, when: str) -> Anomaly | None:
    torn = due.in_flight and due.promise.torn_tail == "refuse"
    if failure.refused and (torn or not due.must):
        return None
    lost = (
        f"{len(due.must)} acknowledged message{'s' * (len(due.must) != 1)} cannot be reached"
        if due.must
        else "it can never be used again"
    )
    refusal = " (a declared refusal)" if failure.refused else ""
    return Unloadable(
        f"the session does not load{when}: {failure.kind}",
        because=(str(failure) + refusal + (f"  ({failure.site})" if failure.site else ""), f"so    {lost}"),
        witnesses=[entry.acked for entry in due.must[-1:] if entry.acked],
        kind=failure.kind,
        site=failure.site,
    )
