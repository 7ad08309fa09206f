"""What is left of a history after a commit, or behind a limit, must be a history: a result without its call is none (I21).

Rule: asked of the next request, where the adapter can show it. A result has lost its call to a window only if something was cut off.
"""

from __future__ import annotations

from pytest_durability.ledger import Expectation
from pytest_durability.observation import Asked, Observation
from pytest_durability.verdict import Anomaly, WindowBroken

ORPHANS = frozenset(
    {
        "chat.orphan_tool_message",
        "chat.orphan_tool_message_compatible",
        "chat.unknown_tool_call_id",
        "messages.orphan_result",
        "responses.missing_call",
    }
)
"""The rules about a result that nothing asked for."""


def check(seen: Observation, due: Expectation) -> Anomaly | None:
    """`WindowBroken` if what was cut off holds the call of a result that was kept, or the newest messages."""
    if seen.asked is None or seen.rows is None:
        return None
    left_out = [token for token in seen.tokens() if token not in seen.asked.tokens]
    orphan = next((fault for fault in seen.asked.refused if fault.rule in ORPHANS), None)
    if orphan is not None and (due.taken or left_out):
        cut = f"the next request leaves out {', '.join(left_out[:5])}" if left_out else "a commit took older messages away"
        return WindowBroken(
            "a tool result was kept, and its call was cut off",
            because=(cut, f"so    {orphan.rule}  {orphan.message}"),
            kind=orphan.rule,
        )
    return _oldest(seen, seen.asked, left_out)


def _oldest(seen: Observation, asked: Asked, left_out: list[str]) -> WindowBroken | None:
    """A window of the oldest messages: what is left out is the end of the transcript, and more than its last row."""
    shown = list(seen.tokens())
    if len(left_out) < 2 or not asked.tokens or left_out != shown[-len(left_out) :] or left_out[0] == shown[0]:  # noqa: PLR2004
        return None
    return WindowBroken(
        f"the next request holds the oldest messages, and leaves out {', '.join(left_out[:5])}",
        because=(f"transcript    {', '.join(shown[:10])}", f"next request  {', '.join(asked.tokens[:10])}"),
        kind="oldest",
    )
