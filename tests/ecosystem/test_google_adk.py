"""Both session services of google-adk 2.13.0, unaided: one holds, one is unusable for ever if its first start is cut short.

Source: https://github.com/google/adk-python, `src/google/adk/sessions`.
"""

from __future__ import annotations

import logging
import warnings

import pytest

from pytest_durability import Anomaly, Append, Message, Promise, Reload, Workload

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
