"""Whatever stands between a store and SQLite (threads, an event loop, an engine with a pool), the writes are the same."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from contextlib import closing

import pytest

from pytest_durability import Message, Promise
from pytest_durability.explore.sweep import sweep

pytestmark = pytest.mark.usefixtures("patched")

MODELS = "process-kill,ext4-delalloc,posix"
TABLE = "create table if not exists m(id integer primary key, role text, body text)"
INSERT = "insert into m(role, body) values (:role, :body)"
SELECT = "select role, body from m order by id"


def messages(rows):
    """The rows of the table as messages."""
    return [Message(role, body) for role, body in rows]


class Durable:
    """The promise of all of them: a log with full syncs."""

    promise = Promise(acknowledged="power-loss", filesystems=("ext4-delalloc", "posix"))


class Aiosqlite(Durable):
    """One connection with a thread of its own, which nobody closes."""

    async def open(self, world):
        import aiosqlite

        connection = await aiosqlite.connect(world.root / "state.db", isolation_level=None)
        await connection.execute("pragma journal_mode=wal")
        await connection.execute(TABLE)
        return connection

    async def append(self, connection, message):
        await connection.execute(INSERT, {"role": message.role, "body": message.text})

    async def transcript(self, connection):
        return messages(await connection.execute_fetchall(SELECT))


class ToThread(Durable):
    """A connection for each call, in a thread of the loop's pool."""

    async def open(self, world):
        def run(statement, values=()):
            with closing(sqlite3.connect(world.root / "state.db", isolation_level=None)) as connection:
                connection.execute("pragma journal_mode=wal")
                connection.execute(TABLE)
                return connection.execute(statement, values).fetchall()

        return lambda *statement: asyncio.to_thread(run, *statement)

    async def append(self, run, message):
        await run(INSERT, {"role": message.role, "body": message.text})

    async def transcript(self, run):
        return messages(await run(SELECT))


class Engine(Durable):
    """SQLAlchemy with its pool."""

    def open(self, world):
        from sqlalchemy import create_engine, text

        engine = create_engine(f"sqlite:///{world.root}/state.db")
        with engine.begin() as connection:
            connection.execute(text("pragma journal_mode=wal"))
            connection.execute(text(TABLE))
        return engine

    def append(self, engine, message):
        from sqlalchemy import text

        with engine.begin() as connection:
            connection.execute(text(INSERT), {"role": message.role, "body": message.text})

    def transcript(self, engine):
        from sqlalchemy import text

        with engine.connect() as connection:
            return messages(connection.execute(text(SELECT)))


class AsyncEngine(Durable):
    """SQLAlchemy over aiosqlite."""

    async def open(self, world):
        from sqlalchemy import text
        from sqlalchemy.ext.asyncio import create_async_engine

        engine = create_async_engine(f"sqlite+aiosqlite:///{world.root}/state.db")
        async with engine.begin() as connection:
            await connection.execute(text("pragma journal_mode=wal"))
            await connection.execute(text(TABLE))
        return engine

    async def append(self, engine, message):
        from sqlalchemy import text

        async with engine.begin() as connection:
            await connection.execute(text(INSERT), {"role": message.role, "body": message.text})

    async def transcript(self, engine):
        from sqlalchemy import text

        async with engine.connect() as connection:
            return messages(await connection.execute(text(SELECT)))


@pytest.mark.parametrize(
    ("adapter", "needs"),
    [
        (ToThread, ()),
        (Aiosqlite, ("aiosqlite",)),
        (Engine, ("sqlalchemy",)),
        (AsyncEngine, ("sqlalchemy", "aiosqlite", "greenlet")),
    ],
)
def test_a_durable_store_passes_over_each_driver(adapter, needs):
    """Every crash state, and every one during recovery, keeps what was acknowledged; and the dead leave no thread behind."""
    for name in needs:
        pytest.importorskip(name)
    before = threading.active_count()
    report = sweep(adapter, models=MODELS)
    assert report.portability == ()
    assert min(model.states for model in report.models) > 10
    for thread in set(threading.enumerate()) - {threading.main_thread()}:
        thread.join(10)
    assert threading.active_count() <= before
