"""Adapters whose calls may be made at once, each with one bug that only an overlap shows, beside one that is sound.

Rule: a variant differs from `Locked` in one method. All write one JSON file by way of a temporary one.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import time

from pytest_durability import Message


class Store:
    """A file of rows, and a lock for one turn at a time."""

    def __init__(self, root):
        self.path = root / "session.json"
        self.lock = asyncio.Lock()

    def load(self):
        return json.loads(self.path.read_text()) if self.path.exists() else []

    def save(self, rows):
        temporary = self.path.with_suffix(".tmp")
        temporary.write_text(json.dumps(rows))
        os.replace(temporary, self.path)

    async def add(self, *rows):
        """Read, wait for something, write."""
        old = self.load()
        await asyncio.sleep(0)
        self.save([*old, *rows])


class Locked:
    """Sound: every call has the lock."""

    overlaps = True
    handles = 1

    async def open(self, world):
        return Store(world.root)

    async def append(self, store, message):
        async with store.lock:
            await store.add([message.role, message.text])

    async def commit(self, store, keep):
        async with store.lock:
            rows = store.load()
            await asyncio.sleep(0)
            store.save(rows[max(len(rows) - keep, 0) :])

    async def transcript(self, store):
        return [Message(role, text) for role, text in store.load()]


class Unlocked(Locked):
    """Read, wait, write: who wrote meanwhile is lost."""

    commit = None

    async def append(self, store, message):
        await store.add([message.role, message.text])


class KeepsLock(Locked):
    """Gives the lock back at the end, which a call that is cancelled never reaches."""

    commit = None

    async def append(self, store, message):
        await store.lock.acquire()
        await store.add([message.role, message.text])
        store.lock.release()


class StaleCommit(Locked):
    """A commit without the lock writes back what it had read before."""

    async def commit(self, store, keep):
        rows = store.load()
        await asyncio.sleep(0)
        store.save(rows[max(len(rows) - keep, 0) :])


class Turns(Locked):
    """Runs turns: the question and the answer are saved together when the turn is over."""

    append = commit = None

    async def turn(self, store, turn):
        async with store.lock:
            text = ""
            async for piece in turn.achunks():
                text += piece
                yield piece
            await store.add(["user", turn.text], ["assistant", text])


class MixedTurns(Turns):
    """Saves the question at once and the answer in the end, so that two turns mix."""

    async def turn(self, store, turn):
        store.save([*store.load(), ["user", turn.text]])
        text = ""
        async for piece in turn.achunks():
            text += piece
            yield piece
        store.save([*store.load(), ["assistant", text]])


class OpenTransaction(Locked):
    """Execute and commit are two steps, and a call that is cancelled between them leaves the transaction open."""

    commit = None

    async def open(self, world):
        database = sqlite3.connect(world.root / "s.db", timeout=0, isolation_level=None)
        database.execute("CREATE TABLE IF NOT EXISTS rows(id INTEGER PRIMARY KEY, role, text)")
        return database

    async def append(self, store, message):
        store.execute("BEGIN IMMEDIATE")
        store.execute("INSERT INTO rows(role, text) VALUES(?, ?)", (message.role, message.text))
        await asyncio.sleep(0)
        store.execute("COMMIT")

    async def transcript(self, store):
        return [Message(*row) for row in store.execute("SELECT role, text FROM rows ORDER BY id")]


class ByTime(Locked):
    """Sorts by the time of day."""

    commit = None

    async def append(self, store, message):
        async with store.lock:
            await store.add([message.role, message.text, time.time()])

    async def transcript(self, store):
        return [Message(role, text) for role, text, _ in sorted(store.load(), key=lambda row: row[2])]


class Plain:
    """No call of it waits for anything."""

    overlaps = True

    def open(self, world):
        return Store(world.root)

    def append(self, store, message):
        store.save([*store.load(), [message.role, message.text]])

    def transcript(self, store):
        return [Message(role, text) for role, text in store.load()]
