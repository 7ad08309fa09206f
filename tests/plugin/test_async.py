"""Async adapters next to the plugins that run async tests: installed or not, and whatever mode they are in."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

STORE = """
import asyncio
import pytest
import stores


class Async(stores.Durable):
    '''The durable store behind coroutines that really wait.'''

    async def open(self, world):
        await asyncio.sleep(0)
        return super().open(world)

    async def append(self, store, message):
        await asyncio.sleep(0)
        super().append(store, message)

    async def transcript(self, store):
        await asyncio.sleep(0)
        return super().transcript(store)


class Forgetful(Async):
    async def append(self, store, message):
        await asyncio.sleep(0)


def test_durable(durability):
    assert durability.sweep(Async, depth=1, models=["process-kill", "strict"]).states > 10


def test_forgetful(durability):
    with pytest.raises(AssertionError, match="gone"):
        durability.sweep(Forgetful, depth=1, models=["process-kill"])
"""

INSIDE = {
    "pytest_asyncio": """
@pytest.mark.asyncio
async def test_inside(durability):
    durability.sweep(Async, depth=1)


@pytest.mark.asyncio
async def test_other():
    await asyncio.sleep(0)
""",
    "anyio": """
@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.mark.anyio
async def test_inside(durability):
    durability.sweep(Async, depth=1)


@pytest.mark.anyio
async def test_other():
    await asyncio.sleep(0)
""",
}
PLUGINS = {
    "pytest_asyncio": (
        "-p",
        "pytest_asyncio.plugin",
        "-o",
        "asyncio_mode=auto",
        "-o",
        "asyncio_default_fixture_loop_scope=function",
    ),
    "anyio": ("-p", "anyio.pytest_plugin"),
}


def test_async_adapters_need_no_plugin(run):
    """The harness runs the loop itself, so a plain test is all that it takes."""
    run(STORE).assert_outcomes(passed=2)


@pytest.mark.parametrize("plugin", PLUGINS)
def test_async_adapters_next_to_a_plugin_for_async_tests(run, plugin):
    """A plain test works as ever, and so do the coroutines of others; inside of a running loop the reason is told, no finding."""
    if find_spec(plugin) is None:
        pytest.skip(f"{plugin} is not installed")
    result = run(STORE + INSIDE[plugin], *PLUGINS[plugin])
    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines(
        [
            "E       *UsageError: an adapter with async methods was given to the harness inside of a running event loop*",
            "test_it.py:*: UsageError",
        ]
    )
