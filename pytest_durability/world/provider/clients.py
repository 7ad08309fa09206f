"""A test that only wants to talk to the provider should not have to know how its client takes a transport.

Rule: a client made here never reaches a network, and is a plain client of its package in every other way.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pytest_durability.errors import UsageError
from pytest_durability.world.provider.transports import installed

if TYPE_CHECKING:
    from pytest_durability.world.provider.provider import Provider

URL = "http://provider.test"
_BUILT_ON_HTTPX2_SINCE = {"openai": 3, "anthropic": 2}
KINDS = tuple(f"{way}{name}" for name in ("httpx", "httpx2", "openai", "anthropic") for way in ("", "async-"))
"""What `client` makes."""


def client(provider: Provider, kind: str, options: Mapping[str, Any]) -> Any:
    """A client of a kind (one of `KINDS`); `options` are arguments of its class.

    Raises:
        UsageError: there is no such kind, or its package is not installed.
    """
    if kind not in KINDS:
        raise UsageError(f"client({kind!r})", fix=f"choose from: {', '.join(KINDS)}")
    name = kind.removeprefix("async-")
    package = installed(name)
    if name in ("httpx", "httpx2"):
        return _http(provider, package, kind, {"base_url": URL, **options})
    http = _http(provider, _built_on(package), kind, {})
    made = {"openai": ("AsyncOpenAI", "OpenAI"), "anthropic": ("AsyncAnthropic", "Anthropic")}[name]
    cls = getattr(package, made[0] if kind.startswith("async-") else made[1])
    base = f"{URL}/v1" if name == "openai" else URL
    return cls(**{"api_key": "test-key", "base_url": base, "http_client": http, **options})


def _http(provider: Provider, module: Any, kind: str, options: Mapping[str, Any]) -> Any:
    cls = module.AsyncClient if kind.startswith("async-") else module.Client
    return cls(**{"transport": provider.transport(module), "trust_env": False, **options})


def _built_on(package: Any) -> Any:
    """The library that an official client is built on: httpx2 since openai 3 and anthropic 2, httpx before."""
    return installed(
        "httpx2" if int(str(package.__version__).split(".")[0]) >= _BUILT_ON_HTTPX2_SINCE[package.__name__] else "httpx"
    )
