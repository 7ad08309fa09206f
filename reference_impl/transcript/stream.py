"""What a provider's stream tells and what a tool answers, in the few words that a turn understands.

Rule: a stream is complete when its terminal event has come, and not because it has ended. Every failure of a stream is one kind
of failure, whatever library it comes from; a failure of a tool is a result.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from reference_impl.transcript.errors import StreamCutError
from reference_impl.transcript.rows import Message


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of a reply, as it arrives."""

    text: str


@dataclass(frozen=True, slots=True)
class Call:
    """A complete tool call."""

    id: str
    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def as_message(self) -> Message:
        """Its form in a message."""
        return {"id": self.id, "name": self.name, "arguments": dict(self.arguments)}


@dataclass(frozen=True, slots=True)
class Done:
    """The terminal event: without it a stream was cut, however quietly. `text`: the whole reply, if the provider repeats it.

    `awaiting`: the calls are not to be run before the user approves.
    """

    finish_reason: str = "stop"
    text: str | None = None
    reasoning: tuple[Any, ...] = ()
    awaiting: bool = False


Event = Text | Call | Done
Model = Callable[[list[Message]], Iterable[Event]]
"""From a request to the events of the reply."""
AsyncModel = Callable[[list[Message]], AsyncIterable[Event]]
Tools = Callable[[Call], str]
"""From a call to its result; an exception becomes the result."""
AsyncTools = Callable[[Call], Awaitable[str]]


def events_of(model: Model, request: list[Message]) -> Iterator[Event]:
    """The events of a stream; any failure of it, of whatever library, is a stream that was cut."""
    try:
        yield from model(request)
    except Exception as error:
        raise StreamCutError(f"the stream failed: {error!r}") from error


async def async_events_of(model: AsyncModel, request: list[Message]) -> AsyncGenerator[Event, None]:
    """`events_of` in an event loop."""
    try:
        async for event in model(request):
            yield event
    except Exception as error:
        raise StreamCutError(f"the stream failed: {error!r}") from error


def answer(tools: Tools | None, call: Call) -> str:
    """The result of a call. A tool that fails has a result too, and the model decides what to do about it."""
    try:
        return tools(call) if tools is not None else _unknown(call)
    except Exception as error:
        return _failed(error)


async def async_answer(tools: AsyncTools | None, call: Call) -> str:
    """`answer` in an event loop."""
    try:
        return await tools(call) if tools is not None else _unknown(call)
    except Exception as error:
        return _failed(error)


def _unknown(call: Call) -> str:
    return f"[There is no tool named {call.name}.]"


def _failed(error: Exception) -> str:
    return f"[The tool failed: {error!r}]"
