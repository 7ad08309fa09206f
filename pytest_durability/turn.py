"""One turn of a conversation as a store that speaks no HTTP sees it: the user's text, and the reply piece by piece.

Rule: what was sent, what was shown and which effects happened is noted in the history of the run, so that it outlives
the store; a turn breaks in the ways in which a stream over a network breaks.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any, Protocol

from pytest_durability.dialects.cuts import Cut, Position, check, locate, prepared
from pytest_durability.dialects.replies import Reasoning, Reply, Text
from pytest_durability.dialects.wire import ARGUMENTS, REASONING, SEAL, TERMINAL, TEXT, Event
from pytest_durability.errors import UsageError
from pytest_durability.history import History, Lane, Outcome
from pytest_durability.suspension import let_others_run

DELIVERED, EFFECT = "delivered", "effect"
"""Kinds of ops on the stream lane: a piece of text that the user saw (`target`), and an effect of a tool (its call id)."""


class Noting(Protocol):
    """Where it is noted what happens; a run may put another history in its place."""

    history: History


class Turn:
    """What an adapter's `turn(store, turn)` is given.

    `text`: what the user said. `number`: which turn of the run it is, from 0. `provider`: the same as `world.provider`, None if
    there is none. The reply comes from `chunks()`, or from the provider over HTTP.
    """

    __slots__ = ("_call", "_cut", "_dead", "_noting", "_reply", "_served", "number", "provider", "text")

    def __init__(
        self,
        text: str,
        reply: Reply | None = None,
        cut: Cut | None = None,
        *,
        noting: Noting,
        number: int = 0,
        call: int = 0,
        provider: Any = None,
    ) -> None:
        if reply is not None and cut is not None:
            check(reply, cut)
        self.text = text
        self.number = number
        self.provider = provider
        self._reply, self._cut, self._noting, self._call = reply, cut, noting, call
        self._served = self._dead = False

    def chunks(self) -> Iterator[str]:
        """The reply's text, piece by piece; a cut ends it early, or raises.

        Raises:
            ConnectionResetError: the connection broke.
            TimeoutError: nothing came any more.
            UsageError: the reply was taken already, or there is none.
        """
        events, place = self._events()
        for number, event in enumerate(events[: place.events]):
            if event.kind == TEXT:
                self._note(TEXT, event.text)
                yield event.text
            elif event.kind == TERMINAL and number == len(events) - 1:
                self._note("end")
        if self._cut is not None:
            self._break(self._cut)

    async def achunks(self) -> AsyncIterator[str]:
        """As `chunks`, for `async for`; a task can be cancelled before each piece.

        Raises:
            ConnectionResetError: the connection broke.
            TimeoutError: nothing came any more.
            UsageError: the reply was taken already, or there is none.
        """
        await let_others_run()
        for piece in self.chunks():
            yield piece
            await let_others_run()

    def deliver(self, text: str) -> None:
        """The user sees `text` now; for stores that show text in a callback instead of yielding it."""
        self._note(DELIVERED, text)

    def effect(self, call_id: str) -> None:
        """The effect of a tool call happens now; it may happen once."""
        self._note(EFFECT, call_id)

    def bury(self) -> None:
        """The process died: what its generators still do with this turn is not noted."""
        self._dead = True

    def _events(self) -> tuple[list[Event], Position]:
        if self._reply is None or self._served:
            raise UsageError(
                "this turn's reply was taken already" if self._served else "this turn has no scripted reply",
                why="a model answers a turn once",
                fix="call turn.chunks() once in a turn" if self._served else "ask turn.provider, which answers over HTTP",
            )
        self._served = True
        reply = self._reply if self._cut is None else prepared(self._reply, self._cut)
        events = _plain(reply)
        place = None if self._cut is None else locate(events, self._cut)
        return events, place or Position(len(events))

    def _break(self, cut: Cut) -> None:
        self._note("cut", note=str(cut), failed=True)
        if cut.how in ("reset", "protocol"):
            raise ConnectionResetError(104, "Connection reset by peer")
        if cut.how in ("timeout", "stall"):
            raise TimeoutError("The read operation timed out")

    def _note(self, kind: str, text: str = "", note: str = "", *, failed: bool = False) -> None:
        if self._dead:
            return
        outcome = Outcome.FAILED if failed else Outcome.OK
        self._noting.history.add(Lane.STREAM, kind, text, size=len(text), call=self._call, note=note, outcome=outcome)

    def __repr__(self) -> str:
        return f"<turn {self.number} {self.text[:40]!r}>"


def _plain(reply: Reply) -> list[Event]:
    """A reply as events of a format that has nothing but the pieces and an end."""
    events: list[Event] = []
    for part in reply.parts:
        kind = TEXT if isinstance(part, Text) else REASONING if isinstance(part, Reasoning) else ARGUMENTS
        events += [Event(piece.encode("utf-8", "surrogatepass"), kind, piece) for piece in part.pieces]
        if isinstance(part, Reasoning):
            events.append(Event(b"\n", SEAL))
    return [*events, Event(b"\n", TERMINAL)]
