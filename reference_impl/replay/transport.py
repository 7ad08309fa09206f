"""The provider client does no HTTP of its own: whoever uses it hands in the client that the program has anyway.

Rule: a refusal is a `RefusedError`, whichever library carried it, also when it comes inside a stream; any other failure stays what
the library raised. Events are separated by line feeds only: other line ends of Unicode are text.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from typing import Any, Protocol

from reference_impl.replay.errors import RefusedError

_REFUSED = 400
_QUIET: Mapping[str, Any] = {"mode": "json", "exclude_unset": True, "warnings": False}


class Transport(Protocol):
    """Carries bodies of `POST /responses` to one endpoint. `base_url` has no slash at its end."""

    @property
    def base_url(self) -> str:
        """Where requests go."""

    def send(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """The response object.

        Raises:
            RefusedError: the provider refused the request.
        """

    def stream(self, body: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        """The events of a streamed response. Raises as `send`."""


class HttpTransport:
    """Over a client of httpx or httpx2 (or one that looks like these). `headers` hold the key, `params` an API version."""

    def __init__(self, client: Any, base_url: str, headers: Mapping[str, str], params: Mapping[str, str] | None = None) -> None:
        self._client, self._given = client, {"headers": dict(headers), "params": dict(params or {})}
        self._base_url = base_url.rstrip("/")

    @property
    def base_url(self) -> str:
        """Where requests go."""
        return self._base_url

    @property
    def _url(self) -> str:
        return f"{self._base_url}/responses"

    def send(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """The response object."""
        answer = self._client.post(self._url, json=dict(body), **self._given)
        if answer.status_code >= _REFUSED:
            raise RefusedError.of(answer.status_code, answer.content)
        whole: Mapping[str, Any] = json.loads(answer.content)
        return whole

    def stream(self, body: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        """The events of a streamed response."""
        with self._client.stream("POST", self._url, json={**body, "stream": True}, **self._given) as answer:
            if answer.status_code >= _REFUSED:
                raise RefusedError.of(answer.status_code, answer.read())
            yield from events_of(answer.iter_bytes())


class OpenAITransport:
    """Over the official `openai` client, which may be an Azure one."""

    def __init__(self, client: Any) -> None:
        self._client = client

    @property
    def base_url(self) -> str:
        """Where requests go."""
        return str(self._client.base_url).rstrip("/")

    def send(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """The response object."""
        try:
            whole: Mapping[str, Any] = self._client.responses.create(**body).model_dump(**_QUIET)
        except Exception as error:
            raise _told(error) from error
        return whole

    def stream(self, body: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        """The events of a streamed response."""
        try:
            with closing(self._client.responses.create(**body, stream=True)) as events:
                for event in events:
                    yield event.model_dump(**_QUIET)
        except Exception as error:
            raise _told(error) from error


def _told(error: Exception) -> Exception:
    """An error of the client as a refusal, if it has the body of one; otherwise the error itself."""
    status, body = getattr(error, "status_code", None), getattr(error, "body", None)
    if status is None and not body:
        return error
    return RefusedError.of(status, body or str(error))


def events_of(chunks: Iterable[bytes]) -> Iterator[Mapping[str, Any]]:
    """The events in a body of server-sent events, each a JSON object on `data` lines."""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            data = line.rstrip(b"\r")
            if data.startswith(b"data:") and data[5:].strip() != b"[DONE]":
                yield json.loads(data[5:])
