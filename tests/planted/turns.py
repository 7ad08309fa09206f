"""Async session stores that are sound, and each with one bug that needs two turns in the right order to show.

Rule: a bug is one method of a class; its twin differs from it in that method alone, and passes every order. What overlaps, and
what is left, is the same program for both.
"""

# ruff: noqa: ASYNC230  stores write in the loop's thread, as many do

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pytest_durability.checkers.locked import left_locked
from pytest_durability.checkers.overlapped import judge_overlap
from pytest_durability.checkers.wholes import DONE, RAISED, STOPPED, Cut, Whole
from pytest_durability.world.disk.sqlite.locks import held
from pytest_durability.world.turns.turns import Turns
from pytest_durability.world.turns.waiting import Deadlock


async def thinks():
    """The model call: here other turns go on."""
    await asyncio.sleep(0)


class Lines:
    """One line a message, under a lock for each whole turn. Variants override `turn`, or what it uses."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.path = folder / "session.jsonl"
        self.lock = asyncio.Lock()

    async def turn(self, *texts):
        async with self.lock:
            await self.saves(*texts)

    async def saves(self, *texts):
        for text in texts:
            await self.add(text)
            await thinks()

    async def add(self, text):
        with open(self.path, "a") as file:
            file.write(text + "\n")

    async def compact(self, keep):
        async with self.lock:
            old = self.load()
            await thinks()
            self.write(old[len(old) - keep :])

    def write(self, rows):
        temporary = self.path.with_suffix(".tmp")
        temporary.write_text("".join(f"{row}\n" for row in rows))
        os.replace(temporary, self.path)

    def load(self):
        return self.path.read_text().splitlines() if self.path.exists() else []


class Unlocked(Lines):
    """No lock around a turn: messages of two turns mix."""

    async def turn(self, *texts):
        await self.saves(*texts)


class SharedCursor(Lines):
    """A cached agent keeps the turn that it is in on itself, so a second turn replaces it."""

    async def turn(self, *texts):
        self.current = list(texts)
        await thinks()
        for text in self.current:
            await self.add(text)


class OwnCursor(Lines):
    """The turn is a local variable."""

    async def turn(self, *texts):
        current = list(texts)
        await thinks()
        for text in current:
            await self.add(text)


class WholeFile(Lines):
    """Reads everything, thinks, writes everything and its own: who wrote meanwhile is lost."""

    async def turn(self, *texts):
        rows = self.load()
        await thinks()
        self.write([*rows, *texts])


class WholeFileLocked(WholeFile):
    """The same under a lock."""

    async def turn(self, *texts):
        async with self.lock:
            await super().turn(*texts)


class ByTime(Lines):
    """Sorts by the time of day."""

    async def add(self, text):
        with open(self.path, "a") as file:
            file.write(json.dumps([time.time(), text]) + "\n")

    def load(self):
        return [text for _, text in sorted(map(json.loads, super().load()), key=lambda row: row[0])]


class ByPlace(ByTime):
    """Keeps the time and sorts by the place in the file."""

    def load(self):
        return [json.loads(row)[1] for row in Lines.load(self)]


class MemoryIndex(Lines):
    """Numbers its files by a count that it read when it was opened; another store object on the session counts the same."""

    def __init__(self, folder):
        super().__init__(folder)
        self.count = len(self.names())

    def names(self):
        return sorted(self.folder.glob("message_*.json"), key=lambda path: int(path.stem.split("_")[1]))

    async def turn(self, *texts):
        for text in texts:
            await thinks()
            await self.add(text)

    async def add(self, text):
        (self.folder / f"message_{self.count}.json").write_text(text)
        self.count += 1

    def load(self):
        return [path.read_text() for path in self.names()]


class ExclusiveNumber(MemoryIndex):
    """Takes the next number that nobody has, by creating the file, and one file for a whole turn."""

    async def turn(self, *texts):
        await thinks()
        while True:
            try:
                with open(self.folder / f"message_{self.count}.json", "x") as file:
                    file.write("\n".join(texts))
            except FileExistsError:
                self.count += 1
            else:
                return

    def load(self):
        return [row for path in self.names() for row in path.read_text().splitlines()]


class ClearThenAdd(Lines):
    """A compaction that clears, thinks, and adds what it kept; turns are under the lock and it is not."""

    async def compact(self, keep):
        kept = self.load()[-keep:]
        self.write([])
        await thinks()
        for row in kept:
            await self.add(row)


class StaleCompaction(Lines):
    """A compaction that asks the model for a summary between reading and writing, without the lock."""

    async def compact(self, keep):
        old = self.load()
        await thinks()
        self.write(old[len(old) - keep :])


class KeepsLock(Lines):
    """Takes the lock and gives it back at the end, which a cancelled turn never reaches."""

    async def turn(self, *texts):
        await self.lock.acquire()
        await self.saves(*texts)
        self.lock.release()


class OpenTransaction(Lines):
    """Writes a turn in one transaction, which a cancelled turn leaves open."""

    def __init__(self, folder):
        super().__init__(folder)
        self.database = sqlite3.connect(folder / "session.db", timeout=0, isolation_level=None)
        self.database.execute("PRAGMA synchronous=OFF")  # no power fails here
        self.database.execute("CREATE TABLE IF NOT EXISTS rows(id INTEGER PRIMARY KEY, text)")

    async def saves(self, *texts):
        self.database.execute("BEGIN IMMEDIATE")
        for text in texts:
            self.database.execute("INSERT INTO rows(text) VALUES(?)", (text,))
            await thinks()
        self.database.execute("COMMIT")

    def load(self):
        return [text for (text,) in self.database.execute("SELECT text FROM rows ORDER BY id")]


class RolledBack(OpenTransaction):
    """Ends the transaction whatever happens."""

    async def saves(self, *texts):
        try:
            await super().saves(*texts)
        except BaseException:
            self.database.execute("ROLLBACK")
            raise


class SequenceReuse(Lines):
    """Asks for the highest number, thinks, and uses the next one; of two rows with one number the later one counts."""

    async def turn(self, *texts):
        for text in texts:
            number = len(self.load())
            await thinks()
            await Lines.add(self, json.dumps([number, text]))

    def load(self):
        return list(dict(map(json.loads, Lines.load(self))).values())


class SequenceTaken(SequenceReuse):
    """Takes the numbers and writes without a pause between."""

    async def turn(self, *texts):
        await thinks()
        first = len(self.load())
        for number, text in enumerate(texts, first):
            await Lines.add(self, json.dumps([number, text]))


class SharedTemporary(Lines):
    """Writes each turn to a file of its own, by way of a temporary name that all share."""

    temporary = "session.tmp"

    async def turn(self, *texts):
        await thinks()
        number = len(list(self.folder.glob("turn_*")))
        final = self.folder / f"turn_{number}"
        final.touch()
        temporary = self.folder / self.temporary.format(number)
        temporary.write_text("\n".join(texts))
        await thinks()
        os.replace(temporary, final)

    def load(self):
        return [row for path in sorted(self.folder.glob("turn_?")) for row in path.read_text().splitlines()]


class OwnTemporary(SharedTemporary):
    """The temporary name is the turn's own."""

    temporary = "{}.tmp"


class RetryWithoutKey(Lines):
    """A delivery that comes twice is looked up first, and between looking and adding comes the other one."""

    async def turn(self, *texts):
        for text in texts:
            if text not in self.load():
                await thinks()
                await self.add(text)


class RetryWithKey(RetryWithoutKey):
    """Looking and adding are one step."""

    async def turn(self, *texts):
        async with self.lock:
            await super().turn(*texts)


# -- what overlaps, and what must be left


def marks(*rows):
    """The tokens of rows, which here are the rows."""
    return [row for row in rows if row]


def wholes(found, said):
    """What is known of each turn after an overlap."""
    made = []
    for ended, tokens in zip(found.ended, said, strict=False):
        how = DONE if ended.error is None else STOPPED if ended.cancelled else RAISED
        made.append(Whole(f"turn {ended.name}", tuple(tokens), ended.began, ended.over, how, repr(ended.error)))
    return made


def raise_if(anomaly):
    """Anomalies are exceptions."""
    if anomaly is not None:
        raise anomaly


def two_turns(turns: Turns, store: Callable[[Path], Lines], folder: Path) -> None:
    """Two turns of two messages each on one store object."""
    said = (("u1", "a1"), ("u2", "a2"))
    one = store(folder)
    found = turns.overlap(*(lambda texts=texts: one.turn(*texts) for texts in said))
    raise_if(judge_overlap(wholes(found, said), marks(*one.load())))


def single_messages(turns, store, folder):
    """Two turns of one message each."""
    one = store(folder)
    found = turns.overlap(lambda: one.turn("u1"), lambda: one.turn("u2"))
    raise_if(judge_overlap(wholes(found, (("u1",), ("u2",))), marks(*one.load())))


def two_handles(turns, store, folder):
    """Two turns on two store objects of one session, both opened before."""
    said = (("u1", "a1"), ("u2", "a2"))
    first, second = store(folder), store(folder)
    found = turns.overlap(lambda: first.turn(*said[0]), lambda: second.turn(*said[1]))
    raise_if(judge_overlap(wholes(found, said), marks(*store(folder).load())))


def stepped_back(turns, store, folder):
    """One turn, while the wall clock is set back."""
    from pytest_durability.world.turns.clock import frozen_clock

    one = store(folder)
    with frozen_clock() as clock:

        async def sets_clock():
            clock.step(-5)

        found = turns.overlap(lambda: one.turn("u1", "a1"), sets_clock)
    raise_if(judge_overlap(wholes(found, (("u1", "a1"),)), marks(*one.load())))


def with_compaction(turns, store, folder):
    """A turn, and a compaction that keeps two messages, on a session of three."""
    one = store(folder)
    turns.run(one.turn("u1", "a1", "u2"))
    found = turns.overlap(lambda: one.turn("u3", "a3"), lambda: one.compact(2))
    turn, _ = wholes(found, (("u3", "a3"), ()))
    before = Whole("before", ("u1", "a1", "u2"), 0, 0)
    cut = Cut("compaction", 2, found.ended[1].began, found.ended[1].over)
    raise_if(judge_overlap((before, turn), marks(*one.load()), cuts=(cut,)))


def cancelled_turn(turns, store, folder):
    """A turn that may be cancelled, and another one; afterwards no lock is held, and the next turn can be said."""
    one = store(folder)
    before = [str(lock) for lock in held(folder)]
    found = turns.overlap(lambda: one.turn("u1", "a1"), lambda: one.turn("u2", "a2"))
    stuck = [str(waiting) for error in found.errors if isinstance(error, Deadlock) for waiting in error.waiting]
    raise_if(left_locked(before, [*stuck, *(str(lock) for lock in held(folder))], "a cancelled turn"))
    raise_if(judge_overlap(wholes(found, (("u1", "a1"), ("u2", "a2"))), marks(*one.load())))


def delivered_twice(turns, store, folder):
    """The same message, delivered two times at once: it is one message."""
    one = store(folder)
    turns.overlap(lambda: one.turn("u1"), lambda: one.turn("u1"))
    raise_if(judge_overlap((Whole("both deliveries", ("u1",), 1, 2),), marks(*one.load())))


@dataclass(frozen=True)
class Planted:
    """A bug: the store that has it, its twin without it, what overlaps, and the anomaly."""

    broken: type
    sound: type
    program: Callable
    anomaly: str
    cancel: bool = False


PLANTED = {
    "messages of two turns mix": Planted(Unlocked, Lines, two_turns, "NotSerialisable"),
    "shared cursor of a cached agent": Planted(SharedCursor, OwnCursor, single_messages, "Duplicate"),
    "read-modify-write of a whole file": Planted(WholeFile, WholeFileLocked, two_turns, "NotSerialisable"),
    "order by timestamp": Planted(ByTime, ByPlace, stepped_back, "Reordered"),
    "index kept in memory": Planted(MemoryIndex, ExclusiveNumber, two_handles, "NotSerialisable"),
    "clear then add": Planted(ClearThenAdd, Lines, with_compaction, "NotSerialisable"),
    "compaction from a stale snapshot": Planted(StaleCompaction, Lines, with_compaction, "StaleReplace"),
    "lock not released on cancel": Planted(KeepsLock, Lines, cancelled_turn, "LeftLocked", cancel=True),
    "transaction left open": Planted(OpenTransaction, RolledBack, cancelled_turn, "LeftLocked", cancel=True),
    "sequence reuse": Planted(SequenceReuse, SequenceTaken, single_messages, "NotSerialisable"),
    "shared temporary name": Planted(SharedTemporary, OwnTemporary, single_messages, "NotSerialisable"),
    "retry without key": Planted(RetryWithoutKey, RetryWithKey, delivered_twice, "Duplicate"),
}
