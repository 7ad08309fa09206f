"""One turn: what the user said, what was shown in reply, and the rows that must remain of it whichever way it ends.

Rule: a turn is told what happens and does no waiting of its own, so that a plain loop, an event loop or a test can drive it, and
turns may overlap. A piece of text is journalled before `feed` returns it to be shown. Leaving the `with` block ends the turn.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import aclosing
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from reference_impl.transcript.delivered import Delivered, DeliveredLog
from reference_impl.transcript.errors import StreamCutError, TurnOverError, UnsavedError
from reference_impl.transcript.finalizer import Closing, Outcome, TurnEnd, recovered_text, turn_finalizer
from reference_impl.transcript.repair import provider_view
from reference_impl.transcript.rows import API_CONTENT, AWAITING, MESSAGE_ID, TURN, Message, visible_text
from reference_impl.transcript.stream import (
    AsyncModel,
    AsyncTools,
    Call,
    Done,
    Event,
    Model,
    Text,
    Tools,
    answer,
    async_answer,
    async_events_of,
    events_of,
)

MOST_ROUNDS = 32
"""Requests of one turn before it is stopped."""


@dataclass(frozen=True, slots=True)
class TurnResult:
    """How a turn ended. `text`: its reply. `delivered`: what was shown of it. `saved`: whether the database has all of it."""

    outcome: Outcome
    text: str
    delivered: str
    notice: str
    saved: bool

    @property
    def undelivered(self) -> str:
        """What the user has yet to be shown: nothing marks a reply as shown as a whole."""
        rest = self.text[len(self.delivered) :] if self.text.startswith(self.delivered) else ""
        return "\n\n".join([part for part in (rest, self.notice) if part])


class Keeper(Protocol):
    """What a turn needs of its agent."""

    ids: Callable[[], str]

    def flush(self, turn: Turn) -> bool:
        """Write the messages of the turn; False if that failed."""

    def end(self, turn: Turn) -> None:
        """Take over the messages of a turn that is over, and its log, which is needed until they are saved."""

    def why_unsaved(self) -> Exception | None:
        """The failure of the last flush."""


class Turn:
    """A turn whose user message is durable. Made by `Agent.begin`."""

    def __init__(self, keeper: Keeper, turn_id: str, user: Message, history: list[Message], log: DeliveredLog) -> None:
        self.keeper, self.id, self.user, self.history, self.log = keeper, turn_id, user, history, log
        self.messages = history if any(message is user for message in history) else [*history, user]
        self.delivered: list[Delivered] = []
        self.result: TurnResult | None = None
        self.reply = ""
        self._message_id = ""
        self._calls: list[Call] = []
        self._done: Done | None = None
        self._complete = False

    # What happens

    def open(self) -> list[Message]:
        """A request is about to be sent: fixes the identity of the reply, and returns what the provider is sent."""
        self._running()
        self._message_id, self._calls, self._done = self.keeper.ids(), [], None
        self.reply, self._complete = "", False
        return provider_view(self.messages)

    def feed(self, event: Event) -> str:
        """Take an event of the stream; returns the text to show, which is in the log by then.

        Raises:
            StorageError: the text is not in the log and must not be shown.
        """
        self._running()
        if isinstance(event, Text):
            return self._deliver(event.text)
        if isinstance(event, Call):
            self._calls.append(event)
            return ""
        self._done = event
        rest = (event.text or "").removeprefix(self.shown)
        return self._deliver(rest) if rest and (event.text or "").startswith(self.shown) else ""

    @property
    def shown(self) -> str:
        """What was shown of the reply that is being streamed."""
        last = self.delivered[-1] if self.delivered else None
        return last.text if last is not None and last.message_id == self._message_id else ""

    def _deliver(self, piece: str) -> str:
        if piece:
            self.log.append(self._message_id, piece)
            if not self.shown:
                self.delivered.append(Delivered(self.id, self._message_id))
            self.delivered[-1].text += piece
        return piece

    def end_of_stream(self) -> tuple[Call, ...]:
        """The stream has ended: saves the reply, and returns the calls to run; without any, the turn is complete.

        Raises:
            StreamCutError: there was no terminal event.
        """
        self._running()
        done = self._done
        if done is None:
            raise StreamCutError("the stream ended without its terminal event")
        self.reply = self.shown or done.text or ""
        if self.reply.strip() or self._calls:
            self.messages.append(self._reply_row(done))
            if self.keeper.flush(self):
                self.log.saved()
        self._complete = not self._calls or done.awaiting
        return () if done.awaiting else tuple(self._calls)

    def _reply_row(self, done: Done) -> Message:
        row: Message = {"role": "assistant", "content": self.reply, MESSAGE_ID: self._message_id, TURN: self.id}
        row["_finish_reason"] = done.finish_reason
        if done.text and done.text != self.reply:  # the provider gets its own words back, the user's view stays
            row[API_CONTENT] = done.text
        if self._calls:
            row["tool_calls"] = [call.as_message() for call in self._calls]
        if done.reasoning:
            row["_reasoning_items"] = list(done.reasoning)
        if done.awaiting:
            row[AWAITING] = True
        return row

    def record(self, call: Call, result: str) -> None:
        """Save the result of a call, before anything else happens."""
        self._running()
        row = {"role": "tool", "tool_call_id": call.id, "tool_name": call.name, "content": result}
        self.messages.append({**row, MESSAGE_ID: self.keeper.ids(), TURN: self.id})
        self.keeper.flush(self)

    # The end

    def finish(self, outcome: Outcome) -> TurnResult:
        """End the turn; a second end is the first one. Text that was shown is in the messages, whatever the flush says."""
        if self.result is None:
            earlier = next((visible_text(row) for row in reversed(self.history) if row.get("role") == "assistant"), "")
            end = TurnEnd(outcome, self.id, self.messages, self.user, self.keeper.ids, self.reply, self.delivered, earlier)
            closing, saved = Closing(recovered_text(end)), False  # the text first: what follows may fail
            shown = self.delivered[-1].text if self.delivered else ""
            try:
                closing = self._finalize(end)
                saved = self.keeper.flush(self)
            finally:
                self.result = TurnResult(outcome, closing.text, shown, closing.notice, saved)
                self.keeper.end(self)
        return self.result

    def _finalize(self, end: TurnEnd) -> Closing:
        return turn_finalizer(end)

    def _running(self) -> None:
        if self.result is not None:
            raise TurnOverError(f"turn {self.id} is over ({self.result.outcome})")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> bool:
        """End the turn. A stream that was cut after text was shown raises nothing: the text is kept and the notice tells."""
        result = self.finish(self._outcome(error))
        if not result.saved:
            unsaved = UnsavedError(f"turn {self.id}: what was said is in memory only: {self.keeper.why_unsaved()}")
            if error is None or isinstance(error, GeneratorExit):
                raise unsaved from self.keeper.why_unsaved()
            error.add_note(str(unsaved))
            return False
        return result.outcome == "partial_stream_recovery"

    def _outcome(self, error: BaseException | None) -> Outcome:
        if error is None:
            return "complete" if self._complete else "out_of_budget" if self._done else "interrupted"
        if isinstance(error, StreamCutError):
            return "partial_stream_recovery" if self.shown.strip() else "failed"
        return "failed" if isinstance(error, Exception) else "interrupted"

    # Drivers

    def run(self, model: Model, tools: Tools | None = None, rounds: int = MOST_ROUNDS) -> Generator[str, None, TurnResult]:
        """Drive the turn to its end; yields each piece of text at the moment it may be shown.

        Raises:
            StreamCutError: the stream failed before any text was shown; the cause says how.
            UnsavedError: the turn is over and the user has the reply, and the database has not all of it.
        """
        with self:
            for _ in range(rounds):
                for event in events_of(model, self.open()):
                    if piece := self.feed(event):
                        yield piece
                calls = self.end_of_stream()
                for call in calls:
                    self.record(call, answer(tools, call))
                if not calls:
                    break
        assert self.result is not None
        return self.result

    async def arun(
        self, model: AsyncModel, tools: AsyncTools | None = None, rounds: int = MOST_ROUNDS
    ) -> AsyncGenerator[str, None]:
        """`run` in an event loop; `result` is set when it has ended."""
        with self:
            for _ in range(rounds):
                async with aclosing(async_events_of(model, self.open())) as events:
                    async for event in events:
                        if piece := self.feed(event):
                            yield piece
                calls = self.end_of_stream()
                for call in calls:
                    self.record(call, await async_answer(tools, call))
                if not calls:
                    break
