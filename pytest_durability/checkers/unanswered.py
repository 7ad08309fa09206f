"""A call without its result, or a result without its call, is refused by every provider, and the session is stuck for ever (I5).

Rule: an adapter that shows the request that comes next (`request`) is judged by it, as `sendable` does for the reopened session,
else by the transcript. What a reopened transcript lacks may be put right when the conversation goes on, so one more turn has to tell.
"""

from __future__ import annotations

from pytest_durability.adapter import Message
from pytest_durability.checkers.sendable import PAIRING
from pytest_durability.dialects.transcript import lint_transcript
from pytest_durability.ledger import Expectation
from pytest_durability.observation import Asked, Observation, Row
from pytest_durability.verdict import Anomaly, UnansweredCall

ADVICE = (
    "if the store puts this right in the request only, let the adapter show it: `request(store)` returns the body that is sent"
)


def check(seen: Observation, due: Expectation) -> Anomaly | None:
    """`UnansweredCall` for the first call and result that do not pair, as the session is or as the next turn leaves it."""
    if seen.rows is None:
        return None
    onward = seen.onward
    if onward is None:
        found = _unpaired(seen.rows, seen.asked, due)
        return _wrong(found, "after the reopen", seen, seen.rows, due) if found else None
    if onward.rows is None:
        return None
    found = _unpaired(onward.rows, onward.asked, due)
    return _wrong(found, "when the conversation goes on after the reopen", seen, onward.rows, due) if found else None


def _unpaired(rows: tuple[Row, ...], asked: Asked | None, due: Expectation) -> str:
    """The first fault in words, or ""; what a commit may have taken the call of is not asked."""
    if asked is not None:
        return next((f"{fault.rule}  {fault.message}" for fault in asked.refused if fault.rule in PAIRING), "")
    messages = [Message(row.role, row.text, tool_calls=row.calls, tool_call_id=row.answers) for row in rows]
    faults = [fault for fault in lint_transcript(messages) if fault.sure and (fault.kind == "unanswered" or not due.taken)]
    return str(faults[0]) if faults else ""


def _wrong(found: str, when: str, seen: Observation, rows: tuple[Row, ...], due: Expectation) -> UnansweredCall:
    shown = "; ".join(_told(row) for row in rows[-6:])
    called = [entry.call for entry in due.said if entry.answers]
    return UnansweredCall(
        f"a tool call and its result do not pair {when}",
        because=(found, f"rows  {shown}", *((ADVICE,) if seen.asked is None else ())),
        witnesses=called[-1:],
        kind="request" if seen.asked is not None else "transcript",
    )


def _told(row: Row) -> str:
    parts = [row.role, ",".join(row.tokens) or "-"]
    if row.calls:
        parts.append(f"calls {', '.join(row.calls)}")
    if row.answers is not None:
        parts.append(f"answers {row.answers}")
    return " ".join(parts)
