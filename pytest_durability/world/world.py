"""What a store, an adapter or a hand-written test sees of the simulated outside.

Rule: a world hands things out and keeps no opinion; it is cheap to make, because every reopen gets its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pytest_durability.errors import UnsupportedError, UsageError
from pytest_durability.history import History
from pytest_durability.world.arena import Arena
from pytest_durability.world.disk.simdisk import SimDisk


class World:
    """`root`: the directory to keep the session in. `session`: the name of the session to open. `history`: the ops so far."""

    __slots__ = ("_arena", "_disk", "history", "session")

    def __init__(self, arena: Arena, history: History, *, session: str = "session", disk: SimDisk | None = None) -> None:
        self._arena = arena
        self._disk = disk
        self.history = history
        self.session = session

    @property
    def root(self) -> Path:
        """A real directory, in memory where the system has one; the same path in every life of the store."""
        return self._arena.root

    @property
    def disk(self) -> SimDisk:
        """The disk below `root`: crash states, faults, the recorded operations.

        Raises:
            UsageError: inside an adapter, where the harness drives the disk.
        """
        if self._disk is None:
            raise UsageError(
                "world.disk is not there for adapters",
                why="faults and crashes are chosen by the harness while an adapter runs",
                fix="use `with durability.world() as world:` for a hand-written test",
            )
        return self._disk

    def setenv(self, name: str, value: str) -> None:
        """Set an environment variable (HOME, XDG_DATA_HOME ...) until the world closes."""
        self._arena.setenv(name, str(value))


@contextmanager
def open_world(
    *, disk: str = "files", isolation: str = "same", provider: Any = None, clock: Any = None, seed: int = 0
) -> Iterator[World]:
    """A world for a hand-written test; recording runs from the first line of the block to its end.

    Raises:
        UsageError: an argument with a value that is not one of the valid ones.
        UnsupportedError: a valid value that this version does not offer.
    """
    _check("disk", disk, ("files", "fake"))
    _check("isolation", isolation, ("same", "process"))
    for name, value, offered in (
        ("disk", disk, "files"),
        ("isolation", isolation, "same"),
        ("provider", provider, None),
        ("clock", clock, None),
    ):
        if value != offered:
            raise UnsupportedError(
                f"world({name}={value!r}) is not offered by this version",
                why="the test would pass without what it asks for",
                fix=f"leave {name} out" + ("; check and sweep take isolation='process'" if name == "isolation" else ""),
            )
    with Arena(seed) as arena:
        history = History()
        simulated = SimDisk(arena, history)
        with simulated.recording():
            yield World(arena, history, disk=simulated)


def _check(name: str, value: str, valid: tuple[str, ...]) -> None:
    if value not in valid:
        raise UsageError(f"world({name}={value!r})", fix=f"choose from: {', '.join(map(repr, valid))}")
