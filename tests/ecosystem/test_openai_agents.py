"""The four SQL sessions of openai-agents 0.24.0, unaided: what holds under every kill, and what compaction loses.

Source: https://github.com/openai/openai-agents-python, `src/agents/memory` and `src/agents/extensions/memory`. `add_items` is
the control group: a finding about it would be a false alarm.
"""

from __future__ import annotations

import asyncio
import contextlib
from types import SimpleNamespace

import pytest

from pytest_durability import Anomaly, Append, AppendMany, Commit, Message, Promise, Reload, Say, Workload
from pytest_durability.faults import READS
from pytest_durability.world.disk.gate import Fail
from pytest_durability.world.disk.sqlite.locks import held

pytest.importorskip("agents")

from agents import SQLiteSession
from agents.extensions.memory import AdvancedSQLiteSession, AsyncSQLiteSession, SQLAlchemySession
from agents.memory import OpenAIResponsesCompactionSession

SAYS = Workload(
    (
        Append("user", "first zmq1z"),
        Append("assistant", "second zmq2z"),
        Reload(),
        AppendMany((Say("user", "third zmq3z"), Say("assistant", "fourth zmq4z"))),
    )
)
COMPACTS = Workload(
    (
        Append("user", "first zmq1z"),
        Append("assistant", "second zmq2z"),
        Append("user", "third zmq3z"),
        Append("assistant", "fourth zmq4z"),
        Commit(keep=2),
    )
)


class Plain:
    """The session in one file; an item is acknowledged when `add_items` returns."""

    promise = Promise(acknowledged="process-kill")

    @staticmethod
    def session(path):
        return SQLiteSession("s", path)

    async def open(self, world):
        return self.session(f"{world.root}/x.db")

    async def append(self, store, message):
        await store.add_items([{"role": message.role, "content": message.text}])

    async def append_many(self, store, messages):
        await store.add_items([{"role": message.role, "content": message.text} for message in messages])

    async def transcript(self, store):
        return [Message(item.get("role", "system"), item.get("content", "summary")) for item in await store.get_items()]


class Advanced(Plain):
    """With branches and usage."""

    @staticmethod
    def session(path):
        return AdvancedSQLiteSession(session_id="s", db_path=path, create_tables=True)


class Asynchronous(Plain):
    """Over aiosqlite."""

    @staticmethod
    def session(path):
        return AsyncSQLiteSession("s", path)


class Engine(Plain):
    """Over SQLAlchemy."""

    @staticmethod
    def session(path):
        return SQLAlchemySession.from_url("s", url=f"sqlite+aiosqlite:///{path}", create_tables=True)


STORES = [Plain, Advanced, Asynchronous, Engine]


class Responses:
    """The service that compacts: a summary, then the last items as they are."""

    def __init__(self, keep):
        self.keep = keep

    async def compact(self, **asked):
        items = [{"type": "compaction", "id": "c", "encrypted_content": "summary"}, *asked["input"][-self.keep :]]
        output = [SimpleNamespace(type=item.get("type", "message"), model_dump=lambda item=item, **_: item) for item in items]
        return SimpleNamespace(id="r", usage=None, output=output)


def compacting(store):
    """The same session as an application compacts it."""

    class Compacting(store):
        async def commit(self, session, keep):
            wrapped = OpenAIResponsesCompactionSession(
                "s",
                session,
                client=SimpleNamespace(responses=Responses(keep)),
                compaction_mode="input",
                model="gpt-4.1",
                should_trigger_compaction=lambda _context: True,
            )
            await wrapped.run_compaction({"force": True, "compaction_mode": "input"})

    return Compacting


async def shut(session):
    """Close a session in the way that its kind has."""
    engine = getattr(session, "_engine", None)
    if engine is not None:
        await engine.dispose()
    elif isinstance(session, AsyncSQLiteSession):
        await session.close()
    else:
        session.close()


class Nth:
    """Strikes the n-th operation of a kind on the database's files."""

    def __init__(self, kind, nth, error):
        self.kind, self.left, self.error = kind, nth, error
        self.fired = False
        self.reads = frozenset({kind} & set(READS))

    def before(self, kind, path, size, recorder):
        """Count down, strike once."""
        del path, size, recorder
        if kind == self.kind:
            self.left -= 1
            if self.left == 0:
                self.fired = True
                return Fail(self.error)
        return None


@pytest.mark.parametrize("store", STORES)
def test_add_items_holds_at_every_crash(durability, store):
    """No kill takes an acknowledged item, splits a batch, or leaves a session that does not open."""
    report = durability.sweep(store, SAYS, models="process-kill", depth=1)
    assert report.portability == ()
    assert report.models[0].states > 30


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("kind", ["write", "fsync", "lock"])
def test_add_items_holds_after_an_error(durability, store, kind):
    """A full disk, a failed sync or a lock at any operation of one call: it raises or retries, leaves no lock, and the item is there once."""
    errors = {"write": "ENOSPC", "fsync": "EIO", "lock": "EBUSY"}
    struck = 0
    for nth in range(1, 30):
        with durability.world() as world, contextlib.closing(asyncio.new_event_loop()) as loop:
            session = store.session(f"{world.root}/x.db")
            loop.run_until_complete(session.add_items([{"role": "user", "content": "one"}]))
            gate = Nth(kind, nth, errors[kind])
            world.disk._recorder.gate = gate
            failed = False  # the session over SQLAlchemy tries a refused lock again by itself
            try:
                loop.run_until_complete(session.add_items([{"role": "user", "content": "two"}]))
            except Exception:
                failed = True
                assert held(world.root) == ()
                loop.run_until_complete(session.add_items([{"role": "user", "content": "two"}]))
            assert [item["content"] for item in loop.run_until_complete(session.get_items())] == ["one", "two"]
            struck += gate.fired
            assert gate.fired or not failed
            loop.run_until_complete(shut(session))
        if not gate.fired:
            break
    assert struck > 0


@pytest.mark.parametrize("store", STORES)
def test_compaction_loses_the_whole_history(durability, store):
    """A kill between the clear and the add leaves an empty session, though every message was acknowledged."""
    with pytest.raises((Anomaly, ExceptionGroup)) as caught:
        durability.sweep(compacting(store), COMPACTS, models="process-kill", depth=1)
    found = getattr(caught.value, "exceptions", [caught.value])
    assert any("shows: nothing" in str(error) or "transcript is empty" in str(error) for error in found), str(caught.value)


def test_a_power_cut_takes_nothing_from_a_log_that_is_synced(durability):
    """The session over sqlite3 uses a log with full syncs, which keeps what it acknowledged on ext4 and whatever POSIX allows."""
    report = durability.sweep(Plain, SAYS, models="ext4-delalloc,posix", depth=1)
    assert report.portability == ()
