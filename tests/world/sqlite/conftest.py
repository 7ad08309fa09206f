"""What the tests of the tap share: a world, and connections to its databases that are closed at the end."""

from __future__ import annotations

import sqlite3

import pytest

from pytest_durability.history import History
from pytest_durability.world.arena import Arena
from pytest_durability.world.disk.image import EMPTY
from pytest_durability.world.disk.interpose import interposed
from pytest_durability.world.disk.recorder import Recorder
from pytest_durability.world.world import open_world


@pytest.fixture(scope="module")
def patched():
    """Patch the process once for a module: a world inside costs nothing then."""
    with interposed():
        yield


@pytest.fixture
def world():
    """A world whose recording runs."""
    with open_world() as found:
        yield found


@pytest.fixture
def arena():
    """A root that nobody records yet."""
    with Arena() as found:
        yield found


@pytest.fixture
def record(arena):
    """Record the root on what it holds: `record(image, gate=...)` gives a recorder at work; all are stopped at the end."""
    started = []

    def recording(image=EMPTY, gate=None):
        found = Recorder(arena.root, History(), image, gate=gate)
        found.start()
        started.append(found)
        return found

    yield recording
    for found in started:
        found.stop()


@pytest.fixture
def connect(world):
    """Open a database of the world: `connect("state.db", "wal")`; autocommit, no waiting, closed at the end."""
    opened = []

    def connection(name="state.db", journal=None, sync=None, **options):
        found = sqlite3.connect(world.root / name, **{"isolation_level": None, "timeout": 0, **options})
        opened.append(found)
        for pragma, value in (("journal_mode", journal), ("synchronous", sync)):
            if value is not None:
                found.execute(f"pragma {pragma}={value}")
        return found

    yield connection
    for found in opened:
        found.close()
