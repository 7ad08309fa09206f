"""What the tests of the recorder share: a root in memory, recorded, and checked at the end."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pytest_durability.history import History, Op, Outcome
from pytest_durability.world.arena import memory_directory
from pytest_durability.world.disk.image import snapshot
from pytest_durability.world.disk.interpose import Interposition, interposed
from pytest_durability.world.disk.recorder import Gate, Recorder
from pytest_durability.world.disk.verify import verify


@dataclass
class Bench:
    """A recorder at work on `root`; `outside` is a directory beside it, on the same file system."""

    root: Path
    outside: Path
    interposition: Interposition
    history: History = field(default_factory=History)
    recorder: Recorder = field(init=False)

    def begin(self, gate: Gate | None = None) -> None:
        """Start a new recorder on what the root holds now."""
        self.history = History()
        self.recorder = Recorder(self.root, self.history, snapshot(self.root), gate=gate)
        self.recorder.start()

    def kinds(self) -> list[str]:
        """The kinds of the ops so far."""
        return [op.kind for op in self.history]

    def last(self) -> Op:
        """The newest op."""
        return self.history[-1]

    def effects(self) -> list[object]:
        """The effects so far."""
        return [op.effect for op in self.history if op.outcome is Outcome.OK]

    def check(self) -> None:
        """The log explains the directory."""
        verify(self.recorder)


@pytest.fixture
def space():
    """An empty directory in memory, if the system has such a place."""
    with tempfile.TemporaryDirectory(dir=memory_directory()) as base:
        yield Path(base).resolve()


@pytest.fixture
def bench(space):
    """A running recorder on an empty root; the log must explain the root at the end of the test."""
    (space / "root").mkdir()
    (space / "outside").mkdir()
    with interposed() as interposition:
        found = Bench(space / "root", space / "outside", interposition)
        found.begin()
        try:
            yield found
        finally:
            found.recorder.stop()
        found.check()
