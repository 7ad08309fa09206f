"""One life of a store: sync and async look the same, and misuse is told from failure."""

from __future__ import annotations

import asyncio
import warnings

import pytest

from pytest_durability.adapter import Message
from pytest_durability.errors import AdapterError, UsageError
from pytest_durability.incarnation import Incarnation, failure
from pytest_durability.observation import Row


class Sync:
    """Keeps its messages in the world that it is given, a list."""

    def open(self, world):
        return world

    def append(self, store, message):
        store.append(message)

    def transcript(self, store):
        return list(store)


class Async:
    """The same with coroutines."""

    async def open(self, world):
        await asyncio.sleep(0)
        return world

    async def append(self, store, message):
        await asyncio.sleep(0)
        store.append(message)

    async def transcript(self, store):
        return list(store)


class Mixed(Sync):
    """A plain function that hands out an awaitable which is no coroutine."""

    def append(self, store, message):
        class Later:
            def __await__(self):
                yield from asyncio.sleep(0).__await__()
                store.append(message)

        return Later()


@pytest.fixture
def live():
    """Makes lives, and ends them afterwards."""
    lives = []

    def make(factory, world=None):
        lives.append(Incarnation(factory, [] if world is None else world))
        return lives[-1]

    yield make
    for life in lives:
        life.finalise()


@pytest.mark.parametrize("factory", [Sync, Async, Mixed])
def test_sync_and_async_look_the_same(live, factory):
    """Open, append and transcript work alike."""
    life = live(factory)
    life.open()
    life.call("append", Message("user", "zu1z a"))
    assert life.rows() == (Row("user", "zu1z a", ("u1",)),)


def test_a_life_has_one_loop_of_its_own(live):
    """All calls of a life share a loop; another life has another; a sync life needs none."""

    class Loops(Async):
        async def append(self, store, message):
            store.append(asyncio.get_running_loop())

    seen, other = [], []
    for world in (seen, other):
        life = live(Loops, world)
        life.open()
        life.call("append", None)
        life.call("append", None)
    assert seen[0] is seen[1]
    assert other[0] is other[1]
    assert seen[0] is not other[0]
    sync = live(Sync)
    sync.open()
    assert sync._loop is None


def test_nothing_of_a_life_runs_after_its_death(live):
    """A background task is neither resumed nor given the chance to clean up, and nobody is warned."""
    ran = []

    class Background(Async):
        async def open(self, world):
            async def saver():
                try:
                    await asyncio.sleep(0)
                    await asyncio.get_running_loop().create_future()
                finally:
                    ran.append("finally")

            self.task = asyncio.get_running_loop().create_task(saver())
            await asyncio.sleep(0)
            return world

    kept = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        life = live(Background)
        life.open()
        kept.append(life.adapter.task)
        loop = life._loop
        life.finalise()
        life.finalise()
    assert loop.is_closed()
    assert ran == []
    assert not kept[0].done()
    assert (life.adapter, life.store, life.world) == (None, None, None)
    kept[0]._log_destroy_pending = False


def test_each_life_has_an_adapter_of_its_own(live):
    """State of the adapter dies with it."""
    assert live(Sync).adapter is not live(Sync).adapter


@pytest.mark.parametrize("factory", [Sync, Async])
@pytest.mark.parametrize("error", [ValueError("x"), KeyError("y"), OSError(28, "full")], ids=repr)
def test_exceptions_of_the_store_pass(live, factory, error):
    """With their type and the same object."""

    class Broken(factory):
        def append(self, store, message):
            raise error

    life = live(Broken)
    life.open()
    with pytest.raises(type(error)) as caught:
        life.call("append", None)
    assert caught.value is error


WRONG = [None, 5, "text", b"bytes", {"a": 1}, iter([]), (message for message in ()), object()]
WRONG += [
    ["text"],
    [None],
    [{"role": "user"}],
    [("user", "a")],
    [Message("user", None)],
    [Message(None, "a")],
    [Message("user", b"a")],
]
WRONG += [[Message("user", "a"), 5]]


@pytest.mark.parametrize("value", WRONG, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("name", ["transcript", "archived"])
def test_a_wrong_type_is_told(live, value, name):
    """With the method, the value and what to return instead."""
    life = live(type("Wrong", (Sync,), {name: lambda self, store: value}))
    life.open()
    with pytest.raises(AdapterError, match=rf"Wrong\.{name} gave .*(?s:.)*list of Message"):
        life.rows(name)


@pytest.mark.parametrize("value", [[], (), [Message("user", "a")], (Message("user", "a"),)], ids=repr)
def test_any_sequence_of_messages_is_accepted(live, value):
    """Lists and tuples, also empty ones."""
    life = live(type("Good", (Sync,), {"transcript": lambda self, store: value}))
    assert len(life.rows()) == len(value)


def test_an_async_generator_is_no_transcript(live):
    """It cannot be counted, so it is told as a wrong type."""

    class Generator(Sync):
        async def transcript(self, store):
            yield Message("user", "a")

    with pytest.raises(AdapterError, match="async_generator"):
        live(Generator).rows()


def raised(error):
    """The error with a traceback."""
    try:
        raise error
    except type(error) as caught:
        return caught


def test_a_failure_is_a_value():
    """First line of the message without the root, type, site, and whether it was declared."""
    found = failure("open", raised(ValueError("bad /r/a\nmore")), (KeyError,), "/r")
    assert (found.during, found.kind, found.message, found.refused) == ("open", "ValueError", "bad <root>/a", False)
    assert found.site.startswith("tests/test_incarnation.py:")
    assert failure("open", raised(ValueError("x" * 999)), (Exception,), "/r").refused
    assert len(failure("open", raised(ValueError("x" * 999)), (), "/r").message) == 200


def test_misuse_is_no_failure_of_the_store():
    """It passes through, so that it is told as what it is."""
    with pytest.raises(UsageError):
        failure("open", UsageError("x"), (Exception,), "/r")


def test_an_exception_that_cannot_be_printed_is_a_failure_too():
    """A broken `__str__` must not end the run."""

    class Mute(Exception):
        def __str__(self):
            raise RuntimeError

    assert failure("open", raised(Mute()), (), "/r").kind == "Mute"
