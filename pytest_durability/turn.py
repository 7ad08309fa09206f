"""One turn of a conversation as a store that speaks no HTTP sees it: the user's text, and the reply piece by piece.

Rule: what was sent, what was shown and which effects happened is noted in the history of the run, so that it outlives
the store; a turn breaks in the ways in which a stream over a network breaks.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any, Protocol

from pytest_durability.dialects.cuts import Cut, Position, check, locate, prepared
from pytest_durability.dialects.replies import Reasoning, Reply, Text, ToolCall
from pytest_durability.dialects.wire import ARGUMENTS, REASONING, SEAL, TERMINAL, TEXT, Event
from pytest_durability.errors import UsageError
from pytest_durability.history import History, Lane, Outcome
from pytest_durability.suspension import let_others_run

DELIVERED, EFFECT = "delivered", "effect"
"""Kinds of ops on the stream lane: a piece of text that the user saw (`target`), and an effect of a tool (its call id)."""


class Noting(Protocol):
    """Where it is noted what happens; a run may put another history in its place."""

    history: History


Round = tuple[Reply, Cut | None]
"""One reply of a turn, and where it breaks."""


class Turn:
    """What an adapter's `turn(store, turn)` is given.

    `text`: what the user said. `number`: which turn of the run it is, from 0. `provider`: the same as `world.provider`, None if
    there is none. The reply comes from `chunks()`, or from the provider over HTTP. `calls`: the tool calls of the reply that came
    last, if it came whole; when each of them was run by `effect`, `chunks()` gives what the model says next.
    """

    __slots__ = ("_amid", "_call", "_dead", "_noting", "_results", "_rounds", "_waiting", "calls", "number", "provider", "text")

    def __init__(
        self,
        text: str,
        reply: Reply | None = None,
        cut: Cut | None = None,
        *,
        noting: Noting,
        then: tuple[Round, ...] = (),
        results: Mapping[str, str] | None = None,
        amid: Callable[[], None] = lambda: None,
        number: int = 0,
        call: int = 0,
        provider: Any = None,
    ) -> None:
        self._rounds: tuple[Round, ...] = () if reply is None else ((reply, cut), *then)
        for said, broken in self._rounds:
            if broken is not None:
                check(said, broken)
        self.text = text
        self.number = number
        self.provider = provider
        self.calls: tuple[ToolCall, ...] = ()
        self._noting, self._call = noting, call
        self._results, self._amid = results or {}, amid
        self._waiting = list(self._rounds)
        self._dead = False

    def chunks(self) -> Iterator[str]:
        """The reply's text, piece by piece; a cut ends it early, or raises.

        Raises:
            ConnectionResetError: the connection broke.
            TimeoutError: nothing came any more.
            UsageError: the reply was taken already, or there is none.
        """
        reply, cut = self._next()
        events, place = _events(reply, cut)
        for number, event in enumerate(events[: place.events]):
            if event.kind == TEXT:
                self._note(TEXT, event.text)
                yield event.text
            elif event.kind == TERMINAL and number == len(events) - 1:
                self._note("end")
        if cut is not None:
            self._break(cut)
        else:
            self.calls = reply.calls

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

    def effect(self, call_id: str) -> str:
        """The effect of a tool call happens now; it may happen once. Returns the result of the tool ("" if none is known)."""
        self._note(EFFECT, call_id)
        if not self._dead:
            self._amid()
        return self._results.get(call_id, "")

    def bury(self) -> None:
        """The process died: what its generators still do with this turn is not noted."""
        self._dead = True

    def _next(self) -> Round:
        """The reply that the model gives now."""
        self.calls = ()
        if not self._waiting:
            served = bool(self._rounds)
            raise UsageError(
                "this turn's reply was taken already" if served else "this turn has no scripted reply",
                why="a model answers a turn once, and once more after it called a tool",
                fix="call turn.chunks() again only after turn.calls" if served else "ask turn.provider, which answers over HTTP",
            )
        return self._waiting.pop(0)

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


def _events(reply: Reply, cut: Cut | None) -> tuple[list[Event], Position]:
    """The events of a reply, and up to which of them it comes."""
    events = _plain(reply if cut is None else prepared(reply, cut))
    place = None if cut is None else locate(events, cut)
    return events, place or Position(len(events))


def _plain(reply: Reply) -> list[Event]:
    """A reply as events of a format that has nothing but the pieces and an end."""
    events: list[Event] = []
    for part in reply.parts:
        kind = TEXT if isinstance(part, Text) else REASONING if isinstance(part, Reasoning) else ARGUMENTS
        events += [Event(piece.encode("utf-8", "surrogatepass"), kind, piece) for piece in part.pieces]
        if isinstance(part, Reasoning):
            events.append(Event(b"\n", SEAL))
    return [*events, Event(b"\n", TERMINAL)]
