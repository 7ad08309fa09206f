"""A Messages request as the service reads it: neighbours with the same role are one turn, a text is a block.

Rule: a block keeps the numbers of the message and the place it was sent in, because those are the ones that errors name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from pytest_durability.dialects.issued import Item, is_thinking
from pytest_durability.dialects.requests import text


@dataclass(frozen=True, slots=True)
class Block:
    """A content block, and where it was sent: `messages.<n>.content.<m>`."""

    n: int
    m: int
    item: Item

    @property
    def kind(self) -> str:
        """The type of the block."""
        return text(self.item.get("type"))

    @property
    def place(self) -> str:
        """Where it is, in the words of the service."""
        return f"messages.{self.n}.content.{self.m}"


@dataclass(frozen=True)
class Turn:
    """Neighbouring messages of one role."""

    role: str
    blocks: tuple[Block, ...]
    n: int

    @cached_property
    def calls(self) -> tuple[Block, ...]:
        """The tool calls that the caller has to answer."""
        return tuple(block for block in self.blocks if block.kind == "tool_use")

    @cached_property
    def results(self) -> tuple[Block, ...]:
        """The answers to tool calls."""
        return tuple(block for block in self.blocks if block.kind == "tool_result")

    @cached_property
    def thinking(self) -> tuple[Block, ...]:
        """The thinking blocks, readable or redacted."""
        return tuple(block for block in self.blocks if is_thinking(block.item))


def blocks_of(message: Item, n: int) -> Iterator[Block]:
    """The content blocks of message `n`; a text is one block."""
    content = message.get("content")
    if isinstance(content, str):
        yield Block(n, 0, {"type": "text", "text": content})
    elif isinstance(content, list):
        yield from (Block(n, m, item) for m, item in enumerate(content) if isinstance(item, Mapping))


def turns_of(messages: Sequence[Item]) -> tuple[Turn, ...]:
    """The turns of a history; the number of a turn is that of its last message."""
    turns: list[Turn] = []
    for n, message in enumerate(messages):
        role, blocks = text(message.get("role")), tuple(blocks_of(message, n))
        if turns and turns[-1].role == role:
            blocks = (*turns.pop().blocks, *blocks)
        turns.append(Turn(role, blocks, n))
    return tuple(turns)


def last_assistant(turns: Sequence[Turn]) -> Turn | None:
    """The last turn of the assistant."""
    return next((turn for turn in reversed(turns) if turn.role == "assistant"), None)


def tool_loop(turns: Sequence[Turn]) -> Turn | None:
    """The first assistant turn of the tool loop that the request goes on with, None if it does not go on with one.

    A loop begins behind the last user turn that answers no call.
    """
    if not turns or not turns[-1].results:
        return None
    start = next((i for i in range(len(turns) - 1, -1, -1) if turns[i].role == "user" and not turns[i].results), -1)
    return next((turn for turn in turns[start + 1 :] if turn.role == "assistant"), None)
