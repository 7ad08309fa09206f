"""What a client was really sent is known here and nowhere else: one request, its answer, and how far the answer came.

Rule: a piece counts as delivered at the moment the bytes that complete its event are handed over, not earlier and not
later, whichever way in the request came; it is noted in the history, never near the store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pytest_durability.dialects.cuts import Cut, Position
from pytest_durability.dialects.requests import Request
from pytest_durability.dialects.strict import Findings
from pytest_durability.dialects.wire import ARGUMENTS, REASONING, TERMINAL, TEXT, Event
from pytest_durability.history import History, Lane, Op, Outcome

SHOWN = (TEXT, REASONING, ARGUMENTS)
"""Kinds of events that put an op of their own on the stream lane; `target` is the piece."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back: `events` up to `position`, then the connection breaks in the way of `cut` (None: nothing breaks).

    `headers` have lower-case names; a body that is not streamed is one event. `response_id` is the id under which the
    service stores the reply (Responses only), once it was sent to its end.
    """

    status: int
    headers: Mapping[str, str]
    events: Sequence[Event]
    position: Position
    cut: Cut | None = None
    response_id: str = ""


class Noting(Protocol):
    """Where it is noted what happens; a run may put another history in its place."""

    history: History


class Exchange:
    """One request as it was received (`world.provider.requests`), with its lint result and what became of its answer.

    `findings`: the rules that the request breaks (`refused`, and `warnings`, which are not answered). `rejected`: the rule
    that it was answered with, or empty. `ended`: "" while the answer is on its way, then "end" (the client has the event that
    ends the stream), "cut", "left" (the client stopped reading), "dead" (the process of the client ended) or "rejected".
    """

    def __init__(self, number: int, request: Request, op: Op, owner: Noting) -> None:
        self.number = number
        self.request = request
        self.op = op
        self.findings = Findings()
        self.rejected = ""
        self.ended = ""
        self.sent: list[Event] = []
        self.answer: Answer
        self.chunk_size: int | None = None
        self.on_end: Callable[[Exchange], None] | None = None
        self._owner = owner

    @property
    def dialect(self) -> str:
        """The dialect of the request: "responses", "chat" or "messages"."""
        return self.request.dialect

    @property
    def body(self) -> Mapping[str, Any]:
        """The body of the request."""
        return self.request.body

    @property
    def text(self) -> str:
        """The visible text that the client was sent, up to where the answer ended."""
        return self._joined(TEXT)

    @property
    def reasoning(self) -> str:
        """The reasoning that the client was sent."""
        return self._joined(REASONING)

    @property
    def arguments(self) -> str:
        """The arguments of tool calls that the client was sent."""
        return self._joined(ARGUMENTS)

    @property
    def items(self) -> list[Mapping[str, Any]]:
        """The output items or content blocks that the client has whole."""
        return [item for event in self.sent for item in event.items]

    @property
    def complete(self) -> bool:
        """Whether the event that ends the stream was sent."""
        return any(event.kind == TERMINAL for event in self.sent)

    @property
    def breaks(self) -> str:
        """How the connection breaks behind the last part, or empty; the way in has to act it out."""
        return self.answer.cut.how if self.answer.cut is not None else ""

    def parts(self) -> Iterator[bytes]:
        """The bytes of the body, piece by piece; asking for the next piece means that the client has the one before it."""
        place = self.answer.position
        for event in self.answer.events[: place.events]:
            *front, last = self._sized(event.data)
            yield from front
            self._deliver(event)
            yield last
        if place.rest:
            yield from self._sized(self.answer.events[place.events].data[: place.rest])
        self.finish()

    def finish(self) -> None:
        """Everything that was to be sent has been; the connection ends, or breaks."""
        if self.breaks:
            self._end("cut", f"{self.answer.cut}", failed=True)
        else:
            self._end("end")

    def leave(self) -> None:
        """The client reads no further."""
        if not self.ended:
            self._end("end" if self.complete else "left", failed=not self.complete)

    def die(self) -> None:
        """The process of the client ended; what its objects still do with this answer is of no interest."""
        if not self.ended:
            self._end("dead", quiet=True)

    def _sized(self, data: bytes) -> list[bytes]:
        size = self.chunk_size or len(data)
        return [data[i : i + size] for i in range(0, len(data), size)] or [data]

    def _deliver(self, event: Event) -> None:
        if self.ended:
            return
        self.sent.append(event)
        if event.text and (event.kind in SHOWN or event.kind == TERMINAL):
            kind = event.kind if event.kind in SHOWN else TEXT
            self._owner.history.add(Lane.STREAM, kind, event.text, size=len(event.text), call=self.op.seq)

    def _joined(self, kind: str) -> str:
        kinds = (TEXT, TERMINAL) if kind == TEXT else (kind,)  # a body that is not streamed has its text in its only event
        return "".join(event.text for event in self.sent if event.kind in kinds)

    def _end(self, kind: str, note: str = "", *, failed: bool = False, quiet: bool = False) -> None:
        if self.ended:
            return
        self.ended = "rejected" if self.rejected and kind == "end" else kind
        if not quiet and not self.rejected:
            outcome = Outcome.FAILED if failed else Outcome.OK
            self._owner.history.add(Lane.STREAM, kind, self.dialect, call=self.op.seq, note=note, outcome=outcome)
        if self.on_end is not None:
            self.on_end(self)

    def __repr__(self) -> str:
        return f"<request {self.number} {self.request.path}: {self.rejected or self.ended or 'on its way'}, text {self.text!r}>"
