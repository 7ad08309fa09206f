"""Databases that connections of dead lives hold open: SQLite asks about names in their memory all the time, and a search has many.

Rule: an answer is that of all files that are held now; what is kept for the next question ends with the next change.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import NamedTuple

from pytest_durability.world.disk.sqlite.files import OpenFile


class _Held(NamedTuple):
    """Where the names of these files begin in memory, in order; the farthest end up to each; the inodes of the databases."""

    change: int
    starts: list[int]
    ends: list[int]
    keys: frozenset[int]


class Dead:
    """Open files by their address in memory."""

    def __init__(self) -> None:
        self._files: dict[int, OpenFile] = {}
        self._change = 0
        self._held = _Held(0, [], [], frozenset())

    def __bool__(self) -> bool:
        return bool(self._files)

    def add(self, file: OpenFile) -> None:
        """A connection died that held this file."""
        self._files[file.address] = file
        self._change += 1

    def discard(self, file: OpenFile) -> None:
        """It was closed, whether it was held by a dead connection or not."""
        if self._files.pop(file.address, None) is not None:
            self._change += 1

    def clear(self) -> None:
        """Nobody asks any more."""
        self._files.clear()
        self._change += 1

    def names(self, name: int) -> bool:
        """Whether a name stands in the memory of one of them."""
        held = self._now()
        at = bisect_right(held.starts, name)
        return at > 0 and name < held.ends[at - 1]

    def database(self, key: int) -> bool:
        """Whether one of them is the file with this inode."""
        return key in self._now().keys

    def _now(self) -> _Held:
        change = self._change  # read before the files: if a thread changes them meanwhile, the next question looks again
        if self._held.change != change:
            files = sorted((file.start, file.end, file.key) for file in list(self._files.values()))
            ends = list(accumulate((end for _, end, _ in files), max))
            self._held = _Held(change, [start for start, _, _ in files], ends, frozenset(key for _, _, key in files))
        return self._held
