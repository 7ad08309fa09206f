"""The model service of a test: it answers what was scripted, breaks where it was told to, and forgives nothing.

Rule: every way in (transports, class patch, routes, loopback server) ends in `receive`, so that a request is examined,
answered and noted in one way; ids and times come from a counter, so the same requests get the same bytes.
"""

from __future__ import annotations

import json
from _thread import RLock
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from pytest_durability.dialects import replies, wire_anthropic, wire_chat, wire_responses
from pytest_durability.dialects.cuts import Cut, Position, in_body, locate, prepared
from pytest_durability.dialects.rejection import Rejection
from pytest_durability.dialects.replies import Reply
from pytest_durability.dialects.requests import CHAT, MESSAGES, RESPONSES, Request, dialect_of_path
from pytest_durability.dialects.strict import Strict
from pytest_durability.dialects.wire import Event, Stamp
from pytest_durability.errors import UsageError
from pytest_durability.history import History, Lane, Outcome, digest
from pytest_durability.verdict import VacuousRun
from pytest_durability.world.provider.exchange import Answer, Exchange
from pytest_durability.world.provider.judge import Judge
from pytest_durability.world.provider.script import Script, Scripted

if TYPE_CHECKING:
    from pytest_durability.world.provider.server import Server

WIRES: Mapping[str, Any] = {RESPONSES: wire_responses, CHAT: wire_chat, MESSAGES: wire_anthropic}
HOST = "provider.test"
"""The name under which the provider is known to those who reach it in no other way."""

_BROKEN_STATUS = {"failed": 500, "error": 529}


class Provider:
    """`world.provider`: a model service without a network.

    `requests`: what was received so far; `strays`: requests to paths of no dialect. `errors`: failures of
    the provider itself, which clients hide. `chunk_size`: so many bytes of a body are handed over at once (None: one event).
    """

    def __init__(self, history: History | None = None, *, strict: Strict | None = None) -> None:
        self._history = History() if history is None else history
        self.requests: list[Exchange] = []
        self.strays: list[Exchange] = []
        self.errors: list[Exception] = []
        self.chunk_size: int | None = None
        self._judge = Judge(strict)
        self._script = Script()
        self._lock = RLock()
        self._server: Server | None = None
        self._living: set[Exchange] = set()

    @property
    def history(self) -> History:
        """Where it is noted what happens; a run that goes back in time puts another one in its place."""
        return self._history

    @history.setter
    def history(self, history: History) -> None:
        if self._server is not None:
            history.share()
        self._history = history

    # What the model will say.

    def reply(self, text: str | Sequence[str] = "", *, end: str = "complete") -> Scripted:
        """Script the next reply: visible text, a string in pieces of a word, a sequence in the pieces given.

        `end`: "complete", "incomplete" (out of tokens), "failed", "error" (an event inside the stream) or "abort".

        Raises:
            UsageError: there is no such end.
        """
        said = replies.text(text)
        return self._add(Reply((said,) if said.pieces else (), end))

    def tool_call(self, name: str, arguments: Mapping[str, Any] | str | None = None, *, id: str | None = None) -> Scripted:  # noqa: A002
        """Script the next reply: a call of a tool; `.tool_call()` on what this returns makes it two calls in one reply."""
        return self._add(Reply((replies.tool_call(name, arguments, id=id),)))

    def reasoning(self, said: str | Sequence[str], *, sealed: bool = True) -> Scripted:
        """Script the next reply: reasoning; `.text()` or `.tool_call()` on what this returns says what comes of it."""
        return self._add(Reply((replies.reasoning(said, sealed=sealed),)))

    def otherwise(self, text: str | Sequence[str] | Reply | None) -> None:
        """What is answered when nothing is scripted; None: such a request is refused with a message that says so."""
        self._script.otherwise = text if text is None or isinstance(text, Reply) else Reply((replies.text(text),))

    def expect(self, rounds: Sequence[tuple[Reply, Cut | None]]) -> None:
        """Script the replies of a turn in order, each with its cut; whatever is asked after them gets the last one again."""
        for reply, cut in rounds:
            waiting = self._add(reply)
            if cut is not None:
                waiting.cut(cut.after, cut.how)
        self.otherwise(rounds[-1][0])

    def cut(self, after: int | str = 0, how: str = "eof") -> None:
        """Break the reply that was scripted last (or, if none waits, the next one) after so many characters of its text.

        `after` may be a named place: see `dialects.cuts.POINTS`. `how`: "eof", "reset", "protocol", "timeout" or "stall".

        Raises:
            UsageError: there is no such place or way, or the reply has no such place.
        """
        with self._lock:
            self._script.cut(Cut(after, how))

    def reject(self, rule: str, times: int = 1, **details: Any) -> None:
        """Answer the next `times` requests with a named rejection, whatever they hold and whatever is scripted.

        `details` fill the words of the rejection, where it has variables.

        Raises:
            UsageError: there is no such rule.
        """
        if times < 1:
            raise UsageError(f"reject({rule!r}, times={times})", fix="give 1 or more")
        self._judge.check(rule, details)
        with self._lock:
            self._script.reject(rule, times, details)

    def _add(self, reply: Reply) -> Scripted:
        with self._lock:
            return self._script.add(reply)

    def withdraw(self) -> None:
        """Take back what is scripted and was not asked for, because the turn that it was for is over."""
        with self._lock:
            self._script = Script()

    def idle(self) -> list[str]:
        """The cuts and rejections that did not strike so far, in words."""
        return self._script.idle()

    # Ways in.

    @property
    def base_url(self) -> str:
        """A loopback server (127.0.0.1), started now if it is not yet: paths work with and without `/v1`.

        What it sends is noted when it is sent; a client that stops reading may have read less.
        """
        from pytest_durability.world.provider.server import Server

        with self._lock:
            if self._server is not None and self._server.foreign:
                self._server.close()
                self._server = None
            if self._server is None:
                self.history.share()
                self._server = Server(self)
            return self._server.url

    def transport(self, module: Any) -> Any:
        """A transport for `Client(transport=...)` and `AsyncClient(transport=...)` of `httpx` or `httpx2` (module or name).

        Raises:
            UsageError: it is not one of these modules, or it is not installed.
        """
        from pytest_durability.world.provider.transports import transport

        return transport(self, module)

    def client(self, kind: str, **options: Any) -> Any:
        """A ready client; `options` go to its class. Kinds: "httpx", "httpx2", "openai", "anthropic", each also "async-".

        Raises:
            UsageError: there is no such kind, or its package is not installed.
        """
        from pytest_durability.world.provider.clients import client

        return client(self, kind, options)

    def patched(self, *modules: Any) -> AbstractContextManager[None]:
        """For the length of a block, serve the clients that the program builds itself with `httpx` or `httpx2`.

        Requests to other paths of this machine pass; those to other machines are refused.

        Raises:
            UsageError: told when the block is entered: not one of these modules, or not installed.
        """
        from pytest_durability.world.provider.patching import patched

        return patched(self, modules)

    def route(self, router: Any) -> Any:
        """Add a route to this provider to a respx router, or to the router of pytest-httpx2; returns the route."""
        from pytest_durability.world.provider.routes import route

        return route(self, router)

    def close(self) -> None:
        """Stop the loopback server, if there is one, and end what is still on its way."""
        with self._lock:
            server, self._server = self._server, None
        if server is not None:
            server.close()
        self.bury()

    def check(self) -> None:
        """At the end of a test: say what the provider itself failed at, and which faults never struck.

        Raises:
            VacuousRun: a cut or a rejection was asked for and never struck.
        """
        if self.errors:
            raise self.errors[0]
        idle = self.idle()
        if idle:
            raise VacuousRun(
                f"{idle[0]} never struck", because=(*(f"{what} waited for a request that never came" for what in idle),)
            )

    def bury(self) -> None:
        """The process of the clients died: their answers end here, and what their objects still do is not noted."""
        with self._lock:
            living = list(self._living)
        for exchange in living:
            exchange.die()

    # What happens to a request.

    def receive(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Exchange:
        """Take a request and decide on its answer; one that belongs to no dialect is refused, and kept in `strays`."""
        if method.upper() != "POST" or dialect_of_path(path) is None:
            return self._stray(method, path)
        try:
            return self._received(Request.of(path, _hosted(headers), body), body)
        except Exception as error:  # a client would take it for a network failure, and try again
            self.errors.append(error)
            raise

    def _received(self, request: Request, body: bytes) -> Exchange:
        with self._lock:
            op = self.history.add(
                Lane.PROVIDER, "request", request.dialect, size=len(body), digest=digest(body), note=request.path
            )
            exchange = Exchange(len(self.requests) + 1, request, op, self)
            exchange.chunk_size = self.chunk_size
            self.requests.append(exchange)
            self._decide(exchange)
        return exchange

    def _stray(self, method: str, path: str) -> Exchange:
        with self._lock:
            op = self.history.add(Lane.PROVIDER, "stray", f"{method} {path}", outcome=Outcome.FAILED)
            exchange = Exchange(0, Request("", path), op, self)
            exchange.rejected = "stray"
            exchange.answer = _refusal(404, f"nothing is served at {method} {path}")
            self.strays.append(exchange)
        return exchange

    def _decide(self, exchange: Exchange) -> None:
        exchange.findings = self._judge.examine(exchange.request)
        forced = self._script.next_rejection(exchange.dialect)
        rejection = exchange.findings.rejection
        if forced is not None:
            rejection = self._judge.forced(forced[0], exchange.request, forced[1])
        if rejection is not None and rejection.effect == "answer":
            self._reject(exchange, rejection)
            return
        scripted = self._script.next_reply()
        if scripted is None:
            self._unscripted(exchange)
            return
        self._serve(exchange, scripted, "" if rejection is None else rejection.effect)

    def _reject(self, exchange: Exchange, rejection: Rejection) -> None:
        exchange.rejected = rejection.rule
        note = f"{rejection.status} {rejection.message}"
        self.history.add(Lane.PROVIDER, "rejected", rejection.rule, call=exchange.op.seq, outcome=Outcome.FAILED, note=note)
        exchange.answer = Answer(rejection.status, rejection.headers, [Event(rejection.payload())], Position(1))

    def _unscripted(self, exchange: Exchange) -> None:
        exchange.rejected = "unscripted"
        self.history.add(Lane.PROVIDER, "unscripted", exchange.dialect, call=exchange.op.seq, outcome=Outcome.FAILED)
        exchange.answer = _refusal(
            400,
            f"request {exchange.number} ({exchange.request.path}) has no scripted reply: call world.provider.reply(...) first",
        )

    def _serve(self, exchange: Exchange, scripted: Scripted, effect: str) -> None:
        """Encode the reply, find the place of its cut, and take note of what the client will know of it at the end."""
        reply, cut = _affected(scripted, effect)
        request = exchange.request
        if cut is not None:
            reply = prepared(reply, cut)
        stamp = Stamp(exchange.number, self._judge.sealing(request))
        wire = WIRES[request.dialect]
        events = wire.events(reply, stamp, request.body) if request.streams else [wire.body(reply, stamp, request.body)]
        place = None if cut is None else locate(events, cut) if request.streams else in_body(events[0].data, cut)
        status = 200 if request.streams else _status(reply, request.dialect)
        whole = Position(len(events))
        stored = stamp.id("resp_") if request.dialect == RESPONSES and reply.end not in _BROKEN_STATUS else ""
        exchange.answer = Answer(status, _headers(request, stamp), events, place or whole, cut if place else None, stored)
        scripted.struck = place is not None
        exchange.on_end = self._over
        self._living.add(exchange)
        self._judge.begin(exchange)

    def _over(self, exchange: Exchange) -> None:
        with self._lock:
            self._living.discard(exchange)
            self._judge.end(exchange)


def _hosted(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers, with one name for this machine: what is sealed for an endpoint must not depend on a free port."""
    host = str(headers.get("host", ""))
    here = host.partition(":")[0] in ("127.0.0.1", "localhost")
    return {**headers, "host": HOST if here or not host else host}


def _affected(scripted: Scripted, effect: str) -> tuple[Reply, Cut | None]:
    """The reply and its cut, as a forced answer of another kind than a refusal changes them."""
    if effect == "abort":
        return Reply(scripted.reply.parts, "abort"), scripted.broken
    if effect == "lost":
        return scripted.reply, Cut("no-answer", "reset")
    if effect == "truncated":
        return scripted.reply, Cut("before-terminal", "eof")
    return scripted.reply, scripted.broken


def _status(reply: Reply, dialect: str) -> int:
    """The status of a reply that is not streamed; a stream has said 200 before it fails."""
    if reply.end == "error" and dialect != MESSAGES:
        return 500
    return 200 if reply.end == "failed" and dialect == RESPONSES else _BROKEN_STATUS.get(reply.end, 200)


def _headers(request: Request, stamp: Stamp) -> dict[str, str]:
    kind = "text/event-stream; charset=utf-8" if request.streams else "application/json"
    name = "request-id" if request.dialect == MESSAGES else "x-request-id"
    return {"content-type": kind, name: stamp.id("req_")}


def _refusal(status: int, message: str) -> Answer:
    """An answer of the harness itself, in a shape that every client can show."""
    error = {"message": f"pytest-durability: {message}", "type": "invalid_request_error", "param": None, "code": None}
    body = json.dumps({"type": "error", "error": error}).encode()
    return Answer(status, {"content-type": "application/json"}, [Event(body)], Position(1))
