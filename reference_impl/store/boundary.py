"""Where a commit may cut a conversation: a boundary in the wrong place leaves a call without its result.

Rule: pure; messages in order go in, an index comes out. The cut only ever moves back, towards keeping more.
"""

from __future__ import annotations

from collections.abc import Sequence

from reference_impl.store.message import Message


def cut_index(messages: Sequence[Message], keep: int) -> int:
    """How many of the messages, from the front, may be archived so that at least the last `keep` stay.

    Record lines are not counted and go with the message before them. A call stays if its result stays, and so does a
    call of the running turn that has no result yet.
    """
    spoken = [i for i, message in enumerate(messages) if not message.is_record]
    if not spoken or keep >= len(spoken):
        return 0
    cut = spoken[-keep] if keep > 0 else len(messages)
    cut = min([cut, *_open_calls(messages)])
    while (earlier := _first_call_answered_after(messages, cut)) < cut:
        cut = earlier
    return cut if any(i < cut for i in spoken) else 0


def _open_calls(messages: Sequence[Message]) -> list[int]:
    """The messages of the running turn with calls that nobody has answered yet."""
    answered = {name for message in messages for name in message.results()}
    turn = max([i for i, message in enumerate(messages) if message.role == "user"], default=-1)
    return [i for i, message in enumerate(messages) if i > turn and set(message.calls()) - answered]


def _first_call_answered_after(messages: Sequence[Message], cut: int) -> int:
    answered = {name for message in messages[cut:] for name in message.results()}
    return next((i for i, message in enumerate(messages[:cut]) if answered.intersection(message.calls())), cut)
