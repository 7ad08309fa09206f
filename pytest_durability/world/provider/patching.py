"""Many programs build their own client, deep inside; for them the transport class itself is exchanged for a while.

Rule: everything is put back at the end of the block; nothing leaves the machine: a request to another path of this
machine passes, one to another machine is refused by the provider.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from pytest_durability.dialects.requests import dialect_of_path
from pytest_durability.errors import UsageError
from pytest_durability.world.provider.transports import LIBRARIES, library

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_durability.world.provider.provider import Provider

_HERE = ("127.0.0.1", "localhost", "::1")


@contextmanager
def patched(provider: Provider, modules: Sequence[Any]) -> Iterator[None]:
    """Serve clients of these libraries (none named: those that are installed) that are built or used inside the block.

    Raises:
        UsageError: a library is not one of httpx and httpx2, or none is installed.
    """
    with ExitStack() as stack:
        for module in [library(named) for named in modules] or _all_installed():
            stack.enter_context(_patched(provider, module))
        yield


def _all_installed() -> list[Any]:
    found = []
    for name in LIBRARIES:
        try:
            found.append(library(name))
        except UsageError:
            continue
    if not found:
        raise UsageError("neither httpx nor httpx2 is installed", fix="install the one that the program uses")
    return found


@contextmanager
def _patched(provider: Provider, module: Any) -> Iterator[None]:
    answering = provider.transport(module)
    sync_class, async_class = module.HTTPTransport, module.AsyncHTTPTransport
    sync_real, async_real = sync_class.handle_request, async_class.handle_async_request

    def handle_request(self: Any, request: Any) -> Any:
        return sync_real(self, request) if _passes(request) else answering.handle_request(request)

    async def handle_async_request(self: Any, request: Any) -> Any:
        return await (async_real(self, request) if _passes(request) else answering.handle_async_request(request))

    sync_class.handle_request, async_class.handle_async_request = handle_request, handle_async_request
    try:
        yield
    finally:
        sync_class.handle_request, async_class.handle_async_request = sync_real, async_real


def _passes(request: Any) -> bool:
    return request.url.host in _HERE and dialect_of_path(request.url.path) is None
