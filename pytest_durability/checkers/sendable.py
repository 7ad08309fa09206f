"""A session is as good as its next request: one that every provider refuses cannot go on, however well it loads (I5, I12).

Rule: asked where the adapter can show the next request, and after the checkers that know more. A fault that a healthy run of the same
steps has too is the doing of those steps, unless it is a call without its result.
"""

from __future__ import annotations

from pytest_durability.checkers.window import ORPHANS
from pytest_durability.ledger import Expectation
from pytest_durability.observation import Observation, Refused
from pytest_durability.verdict import Anomaly, UnansweredCall, Wedged

PAIRING = ORPHANS | {
    "chat.missing_tool_message",
    "messages.missing_result",
    "messages.multiple_results",
    "responses.missing_output",
}
"""The rules about calls and results that do not pair."""


def check(seen: Observation, due: Expectation) -> Anomaly | None:
    """`UnansweredCall` or `Wedged` if the next request cannot be made, or is refused."""
    if seen.asked is None:
        return None
    if seen.asked.failure is not None:
        failed = seen.asked.failure
        if failed.refused:
            return None
        return Wedged(
            f"the session makes no next request: {failed.kind}",
            because=(f"{failed}" + (f"  ({failed.site})" if failed.site else ""), "so    it loads, and cannot go on"),
            kind=failed.kind,
            site=failed.site,
        )
    faults = [fault for fault in seen.asked.refused if fault.rule in PAIRING or fault.rule not in due.calibration.refused]
    return _refused(min(faults, key=lambda fault: fault.rule not in PAIRING)) if faults else None


def _refused(fault: Refused) -> Anomaly:
    where = f" ({fault.where})" if fault.where else ""
    because = (f"{fault.rule}  {fault.message}", "so    the next turn is refused, and so is each turn after it")
    if fault.rule in PAIRING:
        return UnansweredCall(
            f"the next request holds a call without its result, or the reverse{where}", because=because, kind=fault.rule
        )
    return Wedged(f"the next request is refused{where}", because=because, kind=fault.rule)
