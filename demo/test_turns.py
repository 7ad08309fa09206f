"""An async session store that reads, asks the model and writes, as it is often written; and the same with a lock around each turn.

Rule: neither is built to fail; they differ in one line.
"""

from __future__ import annotations

import asyncio
import json
import os
import zlib
from collections.abc import Awaitable, Callable
from pathlib import Path

from pytest_durability import Message


class Naive:
    """Reads the session, asks the model, writes the session and the turn."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "session.json"
        self.lock = asyncio.Lock()

    def load(self) -> list[str]:
        """Everything said so far."""
        return list(json.loads(self.path.read_text())) if self.path.exists() else []

    def save(self, rows: list[str]) -> None:
        """Replace the session by way of a temporary file of one's own, so that no reader sees half of it."""
        temporary = self.path.with_suffix(f".{zlib.crc32(rows[-1].encode()):08x}")
        temporary.write_text(json.dumps(rows))
        os.replace(temporary, self.path)

    async def turn(self, texts: tuple[str, ...], model: Callable[[], Awaitable[object]]) -> None:
        """One turn; while the model thinks, others go on."""
        rows = self.load()
        await model()
        self.save([*rows, *texts])

    def blocking_turn(self, texts: tuple[str, ...]) -> None:
        """The same without asyncio."""
        self.save([*self.load(), *texts])


class Locked(Naive):
    """One turn at a time."""

    async def turn(self, texts: tuple[str, ...], model: Callable[[], Awaitable[object]]) -> None:
        """The same under a lock."""
        async with self.lock:
            await super().turn(texts, model)


async def thinks() -> None:
    """The model call, without its time."""
    await asyncio.sleep(0)


class NaiveAdapter:
    """What the harness needs to know; `overlaps` says that turns may be made at once on one store object."""

    overlaps = True
    handles = 1
    store: type[Naive] = Naive

    async def open(self, world):
        return self.store(world.root)

    async def append(self, store, message):
        await store.turn((f"{message.role}: {message.text}",), thinks)

    async def transcript(self, store):
        return [Message(*row.split(": ", 1)) for row in store.load()]


class LockedAdapter(NaiveAdapter):
    """The adapter of the repaired store."""

    store = Locked


def test_naive(durability):
    """Two turns at once: the second one's answer overwrites the first one's."""
    durability.check(NaiveAdapter, faults=["ReorderTurns", "CancelTurn"], models=["process-kill"])


def test_locked(durability):
    """One turn at a time, wherever they are interrupted or cancelled."""
    durability.check(LockedAdapter, faults=["ReorderTurns", "CancelTurn"], models=["process-kill"])
