"""A transport is the quickest way in: no socket, no port, no time, and the exceptions are those of the program's own library.

Rule: one class for each of `httpx` and `httpx2`, for sync and async clients; it raises what the real transport of that
library raises, and lets an event loop run before each piece, where a network would have made it wait.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pytest_durability.errors import UsageError
from pytest_durability.suspension import let_others_run
from pytest_durability.world.provider.exchange import Exchange

if TYPE_CHECKING:
    from pytest_durability.world.provider.provider import Provider

LIBRARIES = ("httpx", "httpx2")
_BREAKS = {
    "reset": ("ReadError", "[Errno 104] Connection reset by peer"),
    "protocol": ("RemoteProtocolError", "peer closed connection without sending complete message body (incomplete chunked read)"),
    "timeout": ("ReadTimeout", "The read operation timed out"),
    "stall": ("ReadTimeout", "The read operation timed out"),
}
_NO_ANSWER = ("RemoteProtocolError", "Server disconnected without sending a response.")


def transport(provider: Provider, module: Any) -> Any:
    """A transport of `module` (httpx or httpx2, or the name of one) that ends in `provider`.

    Raises:
        UsageError: it is neither, or it is not installed.
    """
    found = _transport_class(library(module))()
    found.provider = provider
    return found


def library(module: Any) -> Any:
    """The module `httpx` or `httpx2`, given as module or name.

    Raises:
        UsageError: it is neither, or it is not installed.
    """
    name = module if isinstance(module, str) else getattr(module, "__name__", repr(module))
    if name not in LIBRARIES:
        raise UsageError(
            f"{name!r} is no library that has transports",
            why="a client shows its own library's exceptions, so the two must fit",
            fix="give httpx or httpx2: the one that the program's client is built on",
        )
    return installed(name)


def installed(name: str) -> Any:
    """Import an optional package.

    Raises:
        UsageError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError:
        raise UsageError(f"{name} is not installed", fix=f"install {name}, or use another way into the provider") from None


class Breaking:
    """Raises what a broken connection looks like in one library (`httpx`, `httpx2`, `httpcore2`)."""

    def __init__(self, errors: Any, arguments: Callable[[Any], Mapping[str, Any]] = lambda _: {}) -> None:
        self._errors = errors
        self._arguments = arguments

    def unanswered(self, how: str, request: Any) -> Exception:
        """No status line came."""
        name, message = _BREAKS.get(how, _NO_ANSWER) if how != "protocol" else _NO_ANSWER
        return self._make(name, message, request)

    def inside(self, how: str, request: Any) -> Exception | None:
        """The body broke; None if it simply ended."""
        return self._make(*_BREAKS[how], request) if how in _BREAKS else None

    def _make(self, name: str, message: str, request: Any) -> Exception:
        error: Exception = getattr(self._errors, name)(message, **self._arguments(request))
        return error


class Body:
    """The parts of an answer as a stream, for sync and async clients alike."""

    def __init__(self, exchange: Exchange, breaking: Breaking, request: Any) -> None:
        self._exchange, self._breaking, self._request = exchange, breaking, request
        self._parts = exchange.parts()

    def __iter__(self) -> Iterator[bytes]:
        yield from self._parts
        _refuse_endless(self._exchange, self._request)
        self._break()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        await let_others_run()
        for part in self._parts:
            yield part
            await let_others_run()
        await _wait_endless(self._exchange, self._request)
        self._break()

    def close(self) -> None:
        """The client reads no further."""
        self._exchange.leave()

    async def aclose(self) -> None:
        """As `close`."""
        self._exchange.leave()

    def _break(self) -> None:
        error = self._breaking.inside(self._exchange.breaks, self._request)
        if error is not None:
            raise error


def _is_endless(exchange: Exchange, request: Any) -> bool:
    """Whether the stream stalls and the client has no read timeout, so that for it the stall never ends."""
    return exchange.breaks == "stall" and (request.extensions.get("timeout") or {}).get("read") is None


def _refuse_endless(exchange: Exchange, request: Any) -> None:
    if _is_endless(exchange, request):
        raise UsageError(
            "a stalled stream is read by a client without a read timeout",
            why="the program would wait here for ever, and so would the test",
            fix="give the client a read timeout (that it has none may be the finding), or cut with how='timeout'",
        )


async def _wait_endless(exchange: Exchange, request: Any) -> None:
    """An async program can still be cancelled, or have a timeout of its own."""
    if _is_endless(exchange, request):
        await asyncio.get_running_loop().create_future()


class Answering:
    """Answers the requests of one library; mixed into a transport class of that library."""

    provider: Provider
    library: Any

    def handle_request(self, request: Any) -> Any:
        """Answer a request of a sync client."""
        request.read()
        exchange = received(self.provider, request)
        if not exchange.answer.position.answered:
            _refuse_endless(exchange, request)
            raise unanswered(exchange, _of_client(self.library), request)
        return response(exchange, self.library, _of_client(self.library), request)

    async def handle_async_request(self, request: Any) -> Any:
        """Answer a request of an async client."""
        await request.aread()
        await let_others_run()
        exchange = received(self.provider, request)
        if not exchange.answer.position.answered:
            await _wait_endless(exchange, request)
            raise unanswered(exchange, _of_client(self.library), request)
        return response(exchange, self.library, _of_client(self.library), request)


@functools.cache
def _transport_class(module: Any) -> Any:
    return type("ProviderTransport", (Answering, module.BaseTransport, module.AsyncBaseTransport), {"library": module})


@functools.cache
def _stream_class(module: Any) -> Any:
    return type("ProviderStream", (Body, module.SyncByteStream, module.AsyncByteStream), {})


def _of_client(module: Any) -> Breaking:
    return Breaking(module, lambda request: {"request": request})


def received(provider: Provider, request: Any) -> Exchange:
    """Hand a request of httpx or httpx2, whose body was read, to the provider."""
    return provider.receive(request.method, request.url.path, request.headers, request.content)


def unanswered(exchange: Exchange, breaking: Breaking, request: Any) -> Exception:
    """What a client gets whose request is not even answered with a status line."""
    exchange.finish()
    return breaking.unanswered(exchange.breaks, request)


def response(exchange: Exchange, module: Any, breaking: Breaking, request: Any) -> Any:
    """The answer as a response of `module`, whose body breaks as `breaking` says."""
    headers = [*exchange.answer.headers.items(), ("transfer-encoding", "chunked")]
    body = _stream_class(module)(exchange, breaking, request)
    return module.Response(exchange.answer.status, headers=headers, stream=body, request=request)
