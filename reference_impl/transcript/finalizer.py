"""However a turn ends, what the user saw of it belongs into the transcript; this is the last look at a turn's messages.

Rule: the text comes first, and no step that may fail comes before it. What was shown is matched with the rows of this turn only,
by message id, and by its visible text where a row has no id. A text of an earlier turn is no reason to leave this one out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from reference_impl.transcript.delivered import Delivered, completed
from reference_impl.transcript.repair import open_calls
from reference_impl.transcript.rows import (
    API_CONTENT,
    AWAITING,
    INTERRUPTED,
    MESSAGE_ID,
    PARTS,
    SYNTHETIC,
    TURN,
    Message,
    amend,
    visible_text,
)

Outcome = Literal["complete", "interrupted", "partial_stream_recovery", "failed", "out_of_budget"]
"""How a turn ended. "partial_stream_recovery": the stream died after the user had seen text; the text is kept as the reply."""

NOTICES: dict[str, str] = {
    "complete": "[The model gave no answer.]",
    "interrupted": "",
    "partial_stream_recovery": "[The connection broke: the reply above is not complete.]",
    "failed": "[No answer arrived. Whether the request took effect is not confirmed.]",
    "out_of_budget": "[Stopped: this turn took too many steps.]",
}
"""What the user is told besides the text."""
CLOSINGS: dict[str, str] = {
    "complete": "[This turn ended with an empty reply.]",
    "interrupted": "[The user interrupted this turn before any reply was shown.]",
    "partial_stream_recovery": "[The reply to these results was cut off before any of it was shown.]",
    "failed": "[The reply to this was cut off before any of it was shown. The action is not confirmed: verify before repeating it.]",
    "out_of_budget": "[This turn was stopped because it took too many steps.]",
}
"""What the model is told about a turn that ended without a reply."""
INTERRUPTED_CALL = "[Interrupted: this call was not completed, and its effect is unknown. Verify before doing it again.]"


@dataclass(slots=True)
class TurnEnd:
    """A turn that is over.

    `messages`: the list of the turn, history included; rows are added to it. `user`: its own user message. `reply`: the final
    text as the provider gave it, perhaps blank. `delivered`: what was shown, message by message. `earlier`: a text of a prior
    turn that may be shown where this one has none.
    """

    outcome: Outcome
    turn_id: str
    messages: list[Message]
    user: Message
    ids: Callable[[], str]
    reply: str = ""
    delivered: Sequence[Delivered] = ()
    earlier: str = ""


@dataclass(frozen=True, slots=True)
class Closing:
    """`text`: the reply, recovered if need be. `notice`: what the user has to be told besides. `changed`: rows that are new or amended."""

    text: str
    notice: str = ""
    changed: list[Message] = field(default_factory=list)


def turn_finalizer(end: TurnEnd) -> Closing:
    """Bring the rows of a turn into their final state, in memory; the flush follows."""
    text = recovered_text(end)
    changed = _close_calls(end)
    for shown in end.delivered:
        changed += backfill(end, shown)
    closing = _closing_row(end)
    if closing is not None:
        end.messages.append(closing)
        changed.append(closing)
    if closing is not None:
        notice = NOTICES[end.outcome]
    else:  # there is a reply, and perhaps not the whole of it
        notice = "" if end.outcome in ("complete", "interrupted") else NOTICES["partial_stream_recovery"]
    return Closing(text, notice, changed)


def recovered_text(end: TurnEnd) -> str:
    """The reply: as the provider gave it, else as it was shown in this turn, else an earlier one."""
    shown = end.delivered[-1].text if end.delivered else ""
    return next((text for text in (end.reply, shown, end.earlier) if text.strip()), "")


def backfill(end: TurnEnd, shown: Delivered) -> list[Message]:
    """Make sure that the rows of the turn hold what was shown; returns the row that was added or amended."""
    if not shown.text.strip():
        return []
    mine = [row for row in turn_rows(end) if row.get("role") == "assistant"]
    for row in mine:
        if row.get(MESSAGE_ID) == shown.message_id:
            return _amended(row, completed(visible_text(row), shown.text))
    for row in mine:
        said = visible_text(row).strip()
        if MESSAGE_ID not in row and said:
            if said.startswith(shown.text.strip()):
                return []
            if shown.text.strip().startswith(said):
                return _amended(row, shown.text)
    row = {"role": "assistant", "content": shown.text, MESSAGE_ID: shown.message_id, TURN: end.turn_id, SYNTHETIC: "backfill"}
    if end.outcome != "complete":
        row[INTERRUPTED] = True
    end.messages.append(row)  # without a stamp, so that the flush writes it
    return [row]


def turn_rows(end: TurnEnd) -> list[Message]:
    """The messages of a turn: those from its own user message on, also where a repair has merged or moved that."""
    for at, message in enumerate(end.messages):
        if message is end.user or _stands_for(message, end.user):
            return end.messages[at:]
    return [message for message in end.messages if message.get(TURN) == end.turn_id]


def _stands_for(message: Message, user: Message) -> bool:
    if any(part is user for part in message.get(PARTS, ())):
        return True
    return MESSAGE_ID in user and message.get(MESSAGE_ID) == user[MESSAGE_ID]


def _amended(row: Message, text: str | None) -> list[Message]:
    if text is None:
        return []
    amend(row, text)
    return [row]


def _waits(rows: Sequence[Message]) -> bool:
    """Whether the last calls of a turn wait for the user's approval."""
    return next((bool(row.get(AWAITING)) for row in reversed(rows) if row.get("role") == "assistant"), False)


def _close_calls(end: TurnEnd) -> list[Message]:
    """Calls of this turn that nobody will answer any more get a result that says so."""
    mine = turn_rows(end)
    if _waits(mine):
        return []
    closed: list[Message] = [
        {
            "role": "tool",
            "tool_call_id": call,
            "content": INTERRUPTED_CALL,
            MESSAGE_ID: end.ids(),
            TURN: end.turn_id,
            SYNTHETIC: "interrupted",
        }
        for call in open_calls(mine)
    ]
    end.messages.extend(closed)
    return closed


def _closing_row(end: TurnEnd) -> Message | None:
    """The row that ends a turn without a reply: nothing for the user to see, a sentence for the model."""
    mine = turn_rows(end)
    role = mine[-1].get("role") if mine else None
    if _waits(mine) or (role != "tool" and (role != "user" or end.outcome == "interrupted")):
        return None
    return {
        "role": "assistant",
        "content": "",
        API_CONTENT: CLOSINGS[end.outcome],
        MESSAGE_ID: end.ids(),
        TURN: end.turn_id,
        SYNTHETIC: "closing",
        **({} if end.outcome == "complete" else {INTERRUPTED: True}),
    }
