"""Tests that already route their HTTP with respx, or with pytest-httpx2, can send the model's part of it to the provider.

Rule: a broken body raises what the library below the mocked layer raises, so that the program meets the exceptions of its
own client and not those of the mock's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_durability.world.provider.transports import Breaking, installed, received, response, unanswered

if TYPE_CHECKING:
    from pytest_durability.world.provider.provider import Provider

PATHS = r".*/(responses|chat/completions|messages|conversations/[^/]+/items)/?(\?.*)?$"


def route(provider: Provider, router: Any) -> Any:
    """Add a route for the paths of all dialects to a respx router; what it mocks (httpx, httpcore, httpcore2) is seen.

    Raises:
        UsageError: respx is not installed.
    """
    installed("respx")
    module = installed("httpx")  # respx speaks httpx to its routes, whatever it mocks
    breaking = _breaking(router)

    def answer(request: Any) -> Any:
        exchange = received(provider, request)
        if not exchange.answer.position.answered:
            raise unanswered(exchange, breaking, request)
        return response(exchange, module, breaking, request)

    return router.route(method="POST", url__regex=PATHS).mock(side_effect=answer)


def _breaking(router: Any) -> Breaking:
    layer = getattr(router, "using", None)
    if layer == "httpcore2":
        return Breaking(installed("httpcore2"))
    return Breaking(installed("httpx"), lambda request: {"request": request})
