"""A store that knows one absolute path and no other, and variants with one bug each.

Rule: `made` gives the adapter of a store at a place; the place is the only thing that is not fixed here, so that a test can
choose one that it may look at afterwards.
"""

from __future__ import annotations

import json
import os
import sqlite3
import tempfile
from pathlib import Path

from pytest_durability import Message, Promise

PLACE = Path("/var/lib/durability-agent")


def synced(folder):
    """Make the names in a directory durable."""
    fd = os.open(folder, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)


class Fixed:
    """One JSON file at a fixed place, replaced by rename at each append. Going there begins when the adapter is made."""

    promise = Promise(acknowledged="power-loss")
    place = PLACE

    def __init__(self):
        self.place.mkdir(parents=True, exist_ok=True)
        for folder in self.place.parents:
            synced(folder)

    @property
    def path(self):
        return self.place / "session.json"

    def open(self, world):
        return self

    def append(self, store, message):
        rows = [*self.rows(), [message.role, message.text]]
        self.save(json.dumps(rows).encode())

    def transcript(self, store):
        return [Message(role, text) for role, text in self.rows()]

    def rows(self):
        return json.loads(self.path.read_bytes()) if self.path.exists() else []

    def save(self, data):
        temporary = self.path.with_suffix(".tmp")
        temporary.unlink(missing_ok=True)  # after a power cut it may be the other name of the file itself
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            self.sync(file)
        os.replace(temporary, self.path)
        synced(self.place)

    def sync(self, file):
        os.fsync(file.fileno())


class FixedNoSync(Fixed):
    """Renames what it never synced."""

    def sync(self, file):
        pass


class FixedInPlace(Fixed):
    """Rewrites the file in place."""

    promise = Promise(acknowledged="process-kill")

    def save(self, data):
        with open(self.path, "wb") as file:
            file.write(data)


class FixedTurns(Fixed):
    """Runs turns, and saves what there is of a reply also when it is cut short; a dead life does that too, and must not reach anything."""

    promise = Promise(acknowledged="process-kill")

    def turn(self, store, turn):
        self.append(store, Message("user", turn.text))
        said = []
        try:
            for piece in turn.chunks():
                said.append(piece)
                yield piece
        finally:
            self.append(store, Message("assistant", "".join(said)))


class FixedScratch(Fixed):
    """Leaves a temporary file behind at each open, which is no part of the session."""

    promise = Promise(acknowledged="process-kill")

    def open(self, world):
        os.close(tempfile.mkstemp()[0])
        return super().open(world)


class FixedDatabase(Fixed):
    """Keeps a SQLite database, which a fake disk cannot host."""

    def open(self, world):
        sqlite3.connect(self.place / "state.db")
        return super().open(world)


def made(store, place):
    """The adapter class of a store at this place."""
    return type(store.__name__, (store,), {"place": Path(place), "__module__": store.__module__})
