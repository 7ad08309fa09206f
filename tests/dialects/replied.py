"""Replies and requests for the tests of the wire formats."""

from __future__ import annotations

import json

from pytest_durability.dialects import replies
from pytest_durability.dialects.replies import Reply
from pytest_durability.dialects.wire import ARGUMENTS, REASONING, TERMINAL, TEXT

ASKED = {"model": "model-1", "stream": True}
TALKING = Reply((replies.text("Hello wörld, how are you?"),))
THINKING = Reply(
    (replies.reasoning("I think so"), replies.text("Hellö"), replies.tool_call("f", {"q": 1}), replies.tool_call("g"))
)
UNSEALED = Reply((replies.reasoning("I think", sealed=False), replies.text("so")))
CALLING = Reply((replies.tool_call("f", {"q": "dürer"}, id="call_own"),))
SILENT = Reply()
ALL = [TALKING, THINKING, UNSEALED, CALLING, SILENT]
NAMES = ["talking", "thinking", "unsealed", "calling", "silent"]


def content(event):
    """The JSON of an event, None for the one that has none."""
    data = event.data.partition(b"data: ")[2].strip()
    return None if data == b"[DONE]" else json.loads(data)


def contents(events):
    """The JSON of all events that have any."""
    return [found for event in events if (found := content(event)) is not None]


def check_events(events, reply):
    """What holds in every format: one event each, the pieces in order, and one terminal at the end."""
    assert all(event.data.endswith(b"\n\n") and event.data.count(b"\n\n") == 1 for event in events)
    assert [event.text for event in events if event.kind == TEXT] == [
        piece for part in reply.parts if isinstance(part, replies.Text) for piece in part.pieces
    ]
    assert "".join(event.text for event in events if event.kind == REASONING) == "".join(
        part.text for part in reply.parts if isinstance(part, replies.Reasoning)
    )
    assert "".join(event.text for event in events if event.kind == ARGUMENTS) == "".join(call.arguments for call in reply.calls)
    assert [event.kind for event in events].index(TERMINAL) == len(events) - 1
