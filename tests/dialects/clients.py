"""The official clients against a strict provider, without a socket: what a program sees of each rejection."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from pytest_durability.dialects.rejection import Rejection
from pytest_durability.dialects.requests import CHAT, MESSAGES, Request
from tests.dialects.smallest import HOST, ITEMS, KEY

Answer = Callable[[Request], Rejection | None]


def ask(dialect: str, body: Mapping[str, Any], answer: Answer, *, path: str | None = None, retries: int = 0) -> Any:
    """Send a body through the client of a dialect; `answer` gives the rejection, None accepts with an empty reply.

    Raises:
        Exception: what the client raises.
    """
    if dialect == MESSAGES:
        return _anthropic(answer, retries).messages.create(**body)
    client = _openai(answer, retries)
    if path == ITEMS:
        return client.conversations.items.create("conv_1", **body)
    return client.chat.completions.create(**body) if dialect == CHAT else client.responses.create(**body)


def fails(dialect: str, body: Mapping[str, Any], answer: Answer, *, path: str | None = None, retries: int = 0) -> Any:
    """What the client raises."""
    try:
        ask(dialect, body, answer, path=path, retries=retries)
    except Exception as error:
        return error
    raise AssertionError(f"the client accepted {body}")


def code_of(error: Any) -> str | None:
    """The code that a program finds in an error of either client."""
    code = getattr(error, "code", None)
    return code if isinstance(code, str) else None


def _http(answer: Answer) -> Any:
    import httpx2

    def handle(sent: Any) -> Any:
        rejection = answer(Request.of(sent.url.path, dict(sent.headers), sent.read()))
        if rejection is None:
            return httpx2.Response(200, json={})
        return httpx2.Response(rejection.status, headers=dict(rejection.headers), content=rejection.payload())

    return httpx2.Client(transport=httpx2.MockTransport(handle))


def _openai(answer: Answer, retries: int) -> Any:
    return _client("openai").with_options(http_client=_http(answer), max_retries=retries)


def _anthropic(answer: Answer, retries: int) -> Any:
    return _client("anthropic").with_options(http_client=_http(answer), max_retries=retries)


@functools.cache
def _client(kind: str) -> Any:
    """One client of each kind: to make one costs more than all requests of a test."""
    if kind == "openai":
        import openai

        return openai.OpenAI(api_key=KEY, base_url=f"https://{HOST}/v1", http_client=_http(lambda _: None))
    import anthropic

    return anthropic.Anthropic(api_key=KEY, base_url=f"https://{HOST}", http_client=_http(lambda _: None))
