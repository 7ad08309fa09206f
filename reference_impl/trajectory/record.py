"""What one generation left behind: the request, the answer, and exactly the tokens that went in and came out.

Rule: a record is a value. Whether it is committed or provisional is said by its place in the trajectory and by its own
flag, and the two always agree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

ABORT = "abort"
"""The finish reason of a generation that was stopped from outside (new weights, for instance): an HTTP 200 all the same."""

LENGTH = "length"
"""The finish reason of a generation that ran out of tokens."""

ChatMessage = Mapping[str, Any]
"""A chat message as it travels: role, content, and for an assistant perhaps reasoning content and tool calls."""


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """One generation. Tokens are vocabulary ids; `output_logprobs` has one natural logarithm for each output token.

    Raises:
        ValueError: an abort that is not provisional, or a provisional record that is no abort.
    """

    record_id: str
    request: Mapping[str, Any]
    response: Mapping[str, Any]
    status_code: int
    finish_reason: str
    prompt_token_ids: tuple[int, ...]
    output_token_ids: tuple[int, ...]
    output_logprobs: tuple[float, ...] = ()
    provisional: bool = False
    message_id: str = ""

    def __post_init__(self) -> None:
        if self.provisional != (self.finish_reason == ABORT):
            kind = "provisional" if self.provisional else "committed"
            raise ValueError(f"record {self.record_id!r} ended by {self.finish_reason!r} and cannot be {kind}")

    @property
    def token_ids(self) -> tuple[int, ...]:
        """Prompt and output together: what the model had seen when the generation ended."""
        return self.prompt_token_ids + self.output_token_ids

    def to_json(self) -> dict[str, Any]:
        """Plain data; `from_json` reads it back."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> SessionRecord:
        """Read what `to_json` wrote."""
        numbers = {name: tuple(data[name]) for name in ("prompt_token_ids", "output_token_ids", "output_logprobs")}
        return cls(**{**data, **numbers})
