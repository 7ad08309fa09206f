"""Lets a store run one turn, whatever form its `turn` has, and stops it where the user would have.

Rule: a piece is shown when the store hands it over, before the store runs on; stopping is what a caller does to a generator
(close it) or to a task (cancel it). A plain function that shows text by `turn.deliver` cannot be stopped.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pytest_durability.delivered import call_id
from pytest_durability.dialects.cuts import Cut
from pytest_durability.dialects.replies import Reply, Text, pieces_of, tool_call
from pytest_durability.errors import AdapterError
from pytest_durability.incarnation import Incarnation
from pytest_durability.suspension import let_others_run
from pytest_durability.turn import Round, Turn
from pytest_durability.workload import Ask

PIECES = 6
"""In so many pieces at most a reply comes."""

TOOL = "act"
"""The name of the tool that a model calls."""


def scripted(reply: str) -> Reply:
    """A reply in a few pieces of whole words, the same ones every time; its mark is never divided."""
    words = pieces_of(reply)
    size = -(-len(words) // PIECES) or 1
    return Reply((Text(tuple("".join(words[at : at + size]) for at in range(0, len(words), size))),))


def rounds(step: Ask, number: int, broken: tuple[int, str] | None = None) -> tuple[Round, ...]:
    """The replies of turn `number`, each with its cut: after how many characters of all its text, and how."""
    first = scripted(step.reply)
    if not step.tool:
        return ((first, Cut(*broken) if broken is not None else None),)
    asked = first.plus(tool_call(TOOL, {"turn": number}, id=call_id(number)))
    last = scripted(step.then)
    if broken is None:
        return (asked, None), (last, None)
    after, how = broken
    if after <= len(step.reply):
        return (asked, Cut(after, how)), (last, None)
    return (asked, None), (last, Cut(after - len(step.reply), how))


@dataclass(frozen=True, slots=True)
class Stop:
    """The user stops a turn after so many pieces; `shown` counts them, `note` is called just before it is stopped."""

    pieces: int
    shown: Callable[[], int]
    note: Callable[[], object]

    @property
    def due(self) -> bool:
        """Whether so many pieces were shown."""
        return self.shown() >= self.pieces


def converse(life: Incarnation, turn: Turn, stop: Stop | None = None) -> bool:
    """Run a turn to its end; whether the user stopped it before. Exceptions of the store pass through.

    Raises:
        AdapterError: the store handed over something that is no text.
    """
    if stop is not None and stop.due:
        stop.note()
        return True
    made = life.adapter.turn(life.store, turn)
    if isinstance(made, AsyncIterator):
        return bool(life.settle(_afollow(life.adapter, made, turn, stop)))
    if inspect.isawaitable(made):
        return bool(life.settle(_await(made, stop)))
    return isinstance(made, Iterator) and _follow(life.adapter, made, turn, stop)


async def aconverse(life: Incarnation, turn: Turn) -> None:
    """Run a turn beside others, to its end; between two pieces of a plain generator others may go on.

    Raises:
        AdapterError: the store handed over something that is no text.
    """
    made = life.adapter.turn(life.store, turn)
    if isinstance(made, AsyncIterator):
        await _afollow(life.adapter, made, turn, None)
    elif inspect.isawaitable(made):
        await made
    elif isinstance(made, Iterator):
        try:
            for piece in made:
                turn.deliver(_text(life.adapter, piece))
                await let_others_run()
        finally:
            if inspect.isgenerator(made):
                made.close()  # of a turn that was cancelled; one that is over has nothing left to close


def _follow(adapter: Any, pieces: Iterator[Any], turn: Turn, stop: Stop | None) -> bool:
    for piece in pieces:
        turn.deliver(_text(adapter, piece))
        if stop is not None and stop.due and inspect.isgenerator(pieces):
            stop.note()
            pieces.close()
            return True
    return False


async def _afollow(adapter: Any, pieces: AsyncIterator[Any], turn: Turn, stop: Stop | None) -> bool:
    async for piece in pieces:
        turn.deliver(_text(adapter, piece))
        if stop is not None and stop.due and inspect.isasyncgen(pieces):
            stop.note()
            await pieces.aclose()
            return True
    return False


async def _await(made: Awaitable[Any], stop: Stop | None) -> bool:
    """Wait for a coroutine that shows text by `turn.deliver`; to stop it, it is looked at whenever it waits for something."""
    if stop is None:
        await made
        return False
    task = asyncio.ensure_future(made)
    while not task.done():
        if stop.due:
            stop.note()
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            return True
        await asyncio.sleep(0)
    await task
    return False


def _text(adapter: Any, piece: Any) -> str:
    if isinstance(piece, str):
        return piece
    raise AdapterError(
        f"{type(adapter).__name__}.turn yielded {ascii(piece)[:80]} of type {type(piece).__name__}",
        why="what a turn yields is the text that the user sees at that moment",
        fix="yield strings, or call turn.deliver(text) and yield nothing",
    )
