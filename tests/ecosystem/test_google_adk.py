"""Both session services of google-adk 2.13.0, unaided: one is unusable for ever if its first start is cut short, and both sort by the clock.

Source: https://github.com/google/adk-python, `src/google/adk/sessions`.
"""

from __future__ import annotations

import logging
import time
import warnings

import pytest

from pytest_durability import Anomaly, Append, Message, Promise, Reload, Reordered, Workload
from pytest_durability.checkers.overlapped import judge_overlap
from pytest_durability.checkers.wholes import Whole

pytest.importorskip("google.adk")

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from google.adk.events import Event
    from google.adk.sessions import DatabaseSessionService
    from google.adk.sessions.sqlite_session_service import SqliteSessionService
    from google.genai import types

pytestmark = pytest.mark.filterwarnings("ignore")
logging.getLogger("google_adk").setLevel(logging.CRITICAL)

SAYS = Workload((Append("user", "first zmq1z"), Reload(), Append("assistant", "second zmq2z")))
NAME = {"app_name": "a", "user_id": "u", "session_id": "s"}


class Adk:
    """One session of a service; an event is acknowledged when `append_event` returns."""

    promise = Promise(acknowledged="process-kill")

    async def open(self, world):
        service = self.service(f"{world.root}/x.db")
        session = await service.get_session(**NAME) or await service.create_session(**NAME)
        return service, session

    async def append(self, store, message):
        service, session = store
        content = types.Content(role=message.role, parts=[types.Part(text=message.text)])
        await service.append_event(session, Event(author=message.role, content=content))

    async def transcript(self, store):
        session = await store[0].get_session(**NAME)
        return [Message(event.author, event.content.parts[0].text) for event in session.events]


class Sqlite(Adk):
    """Over aiosqlite."""

    @staticmethod
    def service(path):
        return SqliteSessionService(path)


class Database(Adk):
    """Over SQLAlchemy."""

    @staticmethod
    def service(path):
        return DatabaseSessionService(f"sqlite+aiosqlite:///{path}")


def test_the_sqlite_service_holds(durability):
    """No kill takes an acknowledged event or leaves a session that does not open."""
    report = durability.sweep(Sqlite, SAYS, models="process-kill", depth=1)
    assert report.portability == ()
    assert report.models[0].states > 20


def test_the_database_service_is_unusable_after_a_kill_at_its_first_start(durability):
    """The version is written after the tables: without it every later start refuses the database."""
    with pytest.raises((Anomaly, ExceptionGroup)) as caught:
        durability.sweep(Database, SAYS, models="process-kill", depth=1)
    found = getattr(caught.value, "exceptions", [caught.value])
    assert any(type(error).__name__ == "Unloadable" and "Schema version not found" in str(error) for error in found)


def started(world):
    """The error that a first, or a later, start ends with; None if the session is there."""
    service = Database.service(f"{world.root}/x.db")
    try:
        world.turns.run(service.create_session(**NAME))
    except Exception as error:
        return error
    finally:
        world.turns.run(ended(service))
    return None


def test_a_lock_error_at_its_first_start_has_the_same_effect(durability):
    """One lock that cannot be had, between the tables and the version, and no start succeeds any more; before that they recover."""
    after = []
    for nth in range(8, 12):  # those before are needed to connect
        with durability.world() as world:
            others = iter([True] * nth)
            world.disk.fail("lock", lambda path, others=others: path.endswith("x.db") and not next(others, False), "EIO")
            assert "disk I/O error" in str(started(world)), "the lock that fails is part of the first start"
            after.append(started(world))
    assert after[:3] == [None] * 3
    assert "Schema version not found" in str(after[3])


# A turn with two tools: each result has to come behind its call, or the provider refuses the conversation.
PARTS = {
    "q1": types.Part(text="q1"),
    "c1": types.Part(function_call=types.FunctionCall(id="c1", name="f", args={})),
    "r1": types.Part(function_response=types.FunctionResponse(id="r1", name="f", response={})),
    "c2": types.Part(function_call=types.FunctionCall(id="c2", name="f", args={})),
    "r2": types.Part(function_response=types.FunctionResponse(id="r2", name="f", response={})),
}


def told(event):
    """The name of an event's part."""
    part = event.content.parts[0]
    return part.text or (part.function_call or part.function_response).id


async def ended(service):
    """Close the connections that a service keeps, if it keeps any."""
    if hasattr(service, "close"):
        await service.close()


def turn_and_clock(world, adapter, sets_clock):
    """A program: one turn is appended event by event, and meanwhile `sets_clock` does something; then the session is read anew."""
    path = world.root / "x.db"

    def program():
        for file in world.root.iterdir():
            file.unlink()
        service = adapter.service(str(path))
        session = world.turns.run(service.create_session(**NAME))

        async def turn():
            for part in PARTS.values():
                content = types.Content(role="model", parts=[part])
                await service.append_event(session, Event(author="a", invocation_id="i", timestamp=time.time(), content=content))

        async def clock():
            sets_clock(world.clock)

        world.turns.overlap(turn, clock).raise_errors()
        world.turns.run(ended(service))
        service = adapter.service(str(path))
        loaded = world.turns.run(service.get_session(**NAME))
        world.turns.run(ended(service))
        anomaly = judge_overlap((Whole("turn 0", tuple(PARTS), 1, 9),), [told(event) for event in loaded.events])
        if anomaly is not None:
            raise anomaly

    return program


@pytest.mark.parametrize("adapter", [Sqlite, Database])
def test_a_clock_that_is_set_back_reorders_a_turn(durability, adapter):
    """Events are loaded in the order of their timestamps: the search finds the moment at which a step back shows it."""
    with durability.world(clock="frozen") as world:
        with pytest.raises(Reordered) as found:
            world.turns.explore(turn_and_clock(world, adapter, lambda clock: clock.step(-1)), limit=60)
        assert "(1 preemptions" in found.value.__notes__[0], "one step of the clock between two events"


def test_equal_timestamps_reorder_a_turn(durability):
    """While the clock stands still, ties are broken by a random id: a result is loaded before its call."""
    with durability.world(clock="frozen") as world, pytest.raises(Reordered):
        world.turns.explore(turn_and_clock(world, Database, lambda clock: clock.freeze()), limit=60)


@pytest.mark.parametrize(
    ("adapter", "sets_clock"),
    [(Sqlite, lambda clock: clock.freeze()), (Sqlite, lambda _: None), (Database, lambda _: None)],
    ids=["Sqlite, equal", "Sqlite, running", "Database, running"],
)
def test_a_clock_that_goes_on_orders_a_turn(durability, adapter, sets_clock):
    """The control: with a running clock both hold, and with equal timestamps the one that breaks ties by the row does."""
    with durability.world(clock="frozen") as world:
        assert world.turns.explore(turn_and_clock(world, adapter, sets_clock), preemptions=1, limit=8, rare=0).runs == 8
