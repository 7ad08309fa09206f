"""A reasoning item is sealed for one provider, one model and one place: sent anywhere else it ends the session (I6).

Rule: asked of the next request, where the adapter can show it; a rule that is known from a paraphrase only is no finding.
"""

from __future__ import annotations

from pytest_durability.ledger import Expectation
from pytest_durability.observation import Observation
from pytest_durability.verdict import Anomaly, ForeignReasoning

RULES = frozenset(
    {
        "messages.invalid_signature",
        "messages.thinking_modified",
        "messages.thinking_not_first",
        "responses.call_without_reasoning",
        "responses.invalid_conversation_item",
        "responses.invalid_encrypted_content",
        "responses.item_not_found",
        "responses.message_without_reasoning",
        "responses.reasoning_without_follower",
        "responses.unknown_parameter",
    }
)
"""The rules that are about reasoning, and about the ids that bind something to it."""


def check(seen: Observation, due: Expectation) -> Anomaly | None:
    """`ForeignReasoning` if the next request replays reasoning that the provider refuses."""
    del due
    for fault in seen.asked.refused if seen.asked is not None else ():
        if fault.rule in RULES:
            return ForeignReasoning(
                f"the next request replays reasoning where it is not valid{f': {fault.where}' if fault.where else ''}",
                because=(f"{fault.rule}  {fault.message}",),
                kind=fault.rule,
            )
    return None
