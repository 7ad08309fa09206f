"""The tokenizer is injected; what it must be able to do, and how its tokens join those that were really sampled, is here.

Rule: sampled tokens are never tokenized again. A text has many tokenizations and the model chose one of them, so the next
prompt is the recorded tokens plus the tokens of what is new.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from reference_impl.trajectory.record import ChatMessage


class ChatTokenizer(Protocol):
    """A tokenizer with its chat template."""

    def prompt(self, messages: Sequence[ChatMessage], tools: Sequence[Any]) -> Sequence[int]:
        """The tokens of a whole conversation, up to the place where the model begins to write."""

    def suffix(self, messages: Sequence[ChatMessage], start: int, tools: Sequence[Any]) -> Sequence[int]:
        """The tokens that `messages[start:]` add after an assistant message at `start - 1`, ready to be generated from."""

    def end_of_turn(self) -> Sequence[int]:
        """The tokens that close an assistant message."""


@dataclass(frozen=True, slots=True)
class TokenPolicy:
    """How strictly tokens must join.

    `max_trim_tokens`: how many tokens at the end of a snapshot the next prompt may lack (some templates drop the stop
    token). `allowed_append_roles`: roles that a client may add after a generated turn. `max_rollback`: how many generated
    turns one request may take back.
    """

    max_trim_tokens: int = 0
    allowed_append_roles: tuple[str, ...] = ("user", "tool", "system")
    max_rollback: int = 1

    def merge_tokens(self, snapshot: Sequence[int], suffix: Sequence[int], end_of_turn: Sequence[int]) -> tuple[int, ...]:
        """The recorded tokens, closed as the template closes a turn where the model did not do so itself, and the new ones."""
        closing = tuple(end_of_turn)
        present = next((n for n in range(len(closing), 0, -1) if tuple(snapshot[-n:]) == closing[:n]), 0)
        return (*snapshot, *closing[present:], *suffix)

    def continues(self, snapshot: Sequence[int], tokens: Sequence[int]) -> bool:
        """Whether `tokens` begin with the snapshot, except for what may be trimmed from its end."""
        kept = max(0, len(snapshot) - self.max_trim_tokens)
        return tuple(tokens[:kept]) == tuple(snapshot[:kept])
