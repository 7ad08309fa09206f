"""A transcript judged before any request is made of it: calls and results that do not pair will be refused by every provider.

Rule: it looks only at what `Message` holds, so it says the same for every dialect; a call that still waits at the very end is
told apart, because an approval may be pending.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pytest_durability.adapter import Message

KINDS: Final = ("unanswered", "orphan", "doubled", "waiting")
"""A call without its result, a result without its call, a second result for one call; a last call that may yet be answered."""


@dataclass(frozen=True, slots=True)
class Unpaired:
    """One fault: `kind` is one of `KINDS`, `index` the place of the message in the transcript, `call_id` the call."""

    kind: str
    index: int
    call_id: str

    @property
    def sure(self) -> bool:
        """Whether the next request is refused for it; a last call can still be answered before that request."""
        return self.kind != "waiting"

    def __str__(self) -> str:
        words = {
            "unanswered": "is never answered",
            "orphan": "is answered, and nothing asked for it",
            "doubled": "is answered a second time",
            "waiting": "is not answered yet",
        }
        return f"message {self.index}: call {self.call_id!r} {words[self.kind]}"


def call_id_of(call: Any) -> str:
    """The id of a tool call in any common form: a mapping or an object with `call_id` or `id`, or the id itself."""
    if isinstance(call, str):
        return call
    for name in ("call_id", "tool_call_id", "id"):
        value = call.get(name) if isinstance(call, Mapping) else getattr(call, name, None)
        if isinstance(value, str) and value:
            return value
    return ""


def lint_transcript(messages: Sequence[Message]) -> tuple[Unpaired, ...]:
    """The calls and results that do not pair, in the order of the transcript.

    A call is answered by the tool messages behind it, before the user or the assistant speaks again; calls of one step may
    stand in several assistant messages. A call without an id is not looked at. An id may be used again once it was answered.

    >>> asks = Message("assistant", "", tool_calls=({"id": "call_1"},))
    >>> [str(fault) for fault in lint_transcript([asks, Message("user", "well?")])]
    ["message 0: call 'call_1' is never answered"]
    """
    faults: list[Unpaired] = []
    open_calls: dict[str, int] = {}
    answered: set[str] = set()
    for index, message in enumerate(messages):
        if message.tool_call_id is not None:
            name = message.tool_call_id
            if open_calls.pop(name, None) is not None:
                answered.add(name)
            else:
                faults.append(Unpaired("doubled" if name in answered else "orphan", index, name))
            continue
        if message.role not in ("user", "assistant"):
            continue  # a system row, a notice or a summary does not end the answering
        if message.role == "user" or answered:
            faults.extend(Unpaired("unanswered", at, name) for name, at in open_calls.items())
            open_calls, answered = {}, set()
        open_calls |= {name: index for name in map(call_id_of, message.tool_calls) if name}
    faults.extend(Unpaired("waiting", at, name) for name, at in open_calls.items())
    return tuple(sorted(faults, key=lambda fault: fault.index))
