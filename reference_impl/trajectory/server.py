"""The trajectories of many sessions behind the chat endpoint that agents already speak.

Rule: a server object is plain state and an ASGI application over it; it opens no port, and its ids, its backend and the
place of its journals are handed in.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from reference_impl.trajectory.chat import Backend, Chat
from reference_impl.trajectory.errors import GoneError, HistoryError, SamplesError, TrajectoryError
from reference_impl.trajectory.linear import LinearTrajectory
from reference_impl.trajectory.samples import Sample, assemble

_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}")

Handler = Callable[[Request], Awaitable[Response]]


@dataclass(slots=True)
class Sessions:
    """The open sessions. `make` opens the trajectory of a session id; `ids` gives ids of sessions and records."""

    make: Callable[[str], LinearTrajectory]
    backend: Backend
    ids: Callable[[], str]
    open: dict[str, Chat] = field(default_factory=dict)

    def create(self, name: str | None = None) -> str:
        """Open a session, a new one or (after a restart) one that has a journal, and return its id.

        Raises:
            HistoryError: the id is no plain name (it may become the name of a file).
        """
        name = self.ids() if name is None else name
        if not _NAME.fullmatch(name):
            raise HistoryError(f"{name!r} is no session id: letters, digits, - and _ only")
        if name not in self.open:
            self.open[name] = Chat(self.make(name), self.backend, self.ids)
        return name

    def find(self, name: str) -> Chat:
        """An open session.

        Raises:
            GoneError: there is none of this id.
        """
        try:
            return self.open[name]
        except KeyError:
            raise GoneError(f"there is no session {name!r}") from None

    async def delete(self, name: str) -> None:
        """Close a session and forget it, without waiting for generations that are under way.

        Raises:
            GoneError: there is none of this id (any more).
        """
        chat = self.find(name)
        del self.open[name]
        await chat.close()


def application(sessions: Sessions) -> Starlette:
    """The endpoints. Every refusal is `{"error": {"message", "type", "code"}}` with the status of its type.

    POST /sessions (`{"session_id"}` to open an earlier one), GET and DELETE /sessions/ID, POST /sessions/ID/close,
    GET /sessions/ID/samples, and POST /sessions/ID/v1/chat/completions, which is what a client's base URL points at.
    """

    async def create(request: Request) -> Response:
        body = await _body(request) if await request.body() else {}
        name = body.get("session_id")
        return JSONResponse({"session_id": sessions.create(None if name is None else str(name))}, 201)

    async def chat(request: Request) -> Response:
        answer = await sessions.find(_name(request)).complete(await _body(request))
        return JSONResponse(dict(answer.body), answer.status)

    async def get(request: Request) -> Response:
        return JSONResponse(_state(sessions.find(_name(request)).trajectory))

    async def close(request: Request) -> Response:
        await sessions.find(_name(request)).close()
        return JSONResponse({"closing": True})

    async def delete(request: Request) -> Response:
        await sessions.delete(_name(request))
        return Response(status_code=204)

    async def samples(request: Request) -> Response:
        limit = request.query_params.get("max_tokens")
        if limit is not None and not limit.isdecimal():
            raise HistoryError(f"max_tokens={limit!r} is no number of tokens")
        made = assemble(sessions.find(_name(request)).trajectory, int(limit) if limit is not None else None)
        return JSONResponse({"samples": [_sample(sample) for sample in made]})

    routes: list[tuple[str, Handler, str]] = [
        ("/sessions", create, "POST"),
        ("/sessions/{name}", get, "GET"),
        ("/sessions/{name}", delete, "DELETE"),
        ("/sessions/{name}/close", close, "POST"),
        ("/sessions/{name}/samples", samples, "GET"),
        ("/sessions/{name}/v1/chat/completions", chat, "POST"),
    ]
    return Starlette(
        routes=[Route(path, handler, methods=[method]) for path, handler, method in routes],
        exception_handlers={TrajectoryError: _refused},
    )


def _name(request: Request) -> str:
    return str(request.path_params["name"])


async def _body(request: Request) -> dict[str, Any]:
    try:
        body = await request.json()
    except ValueError as error:
        raise HistoryError(f"the body is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise HistoryError("the body must be a JSON object")
    return body


async def _refused(request: Request, error: Exception) -> Response:
    del request
    status = error.status if isinstance(error, TrajectoryError) else 500
    body: dict[str, Any] = {"error": {"message": str(error), "type": type(error).__name__, "code": status}}
    if isinstance(error, SamplesError):
        body["samples"] = [_sample(sample) for sample in error.samples]
    return JSONResponse(body, status)


def _state(trajectory: LinearTrajectory) -> dict[str, Any]:
    return {
        "messages": list(trajectory.messages),
        "records": [record.to_json() for record in trajectory.records],
        "num_assistant": trajectory.num_assistant,
        "token_ids": list(trajectory.token_ids),
        "epoch": trajectory.epoch,
        "closing": trajectory.closing,
    }


def _sample(sample: Sample) -> dict[str, Any]:
    return {
        "tokens": list(sample.tokens),
        "response_length": sample.response_length,
        "loss_mask": list(sample.loss_mask),
        "logprobs": list(sample.logprobs),
        "status": sample.status.value,
    }
