"""Programs pass numbers around (dup, fdopen, dir_fd), so an operation on a descriptor is traced to its file by fstat.

Rule: a descriptor number proves nothing by itself: what is kept for it counts only while fstat shows the same file. Real
inode numbers are reused, so a file that lost its last name is identified anew each time.
"""

from __future__ import annotations

import fcntl
import os
import weakref
from typing import TYPE_CHECKING

from pytest_durability.world.disk import real
from pytest_durability.world.disk.paths import Paths, path_at
from pytest_durability.world.disk.tree import Tree

if TYPE_CHECKING:
    from pytest_durability.world.disk.rawfile import RecordedFile

_DELETED = " (deleted)"
_WRITABLE, _APPEND, _SYNC = os.O_WRONLY | os.O_RDWR, os.O_APPEND, os.O_DSYNC


class Descriptor:
    """One open of a file: shared by all numbers that dup made of it.

    `key` is the real inode; -1 as long as nobody asked, for a number that a file object owns.
    """

    __slots__ = ("append", "holders", "ino", "key", "path", "sync", "writable")

    def __init__(self, ino: int | None, key: int, flags: int, path: str) -> None:
        self.ino = ino
        self.key = key
        self.path = path
        self.append = flags & _APPEND != 0
        self.sync = flags & _SYNC != 0
        self.writable = flags & _WRITABLE != 0
        self.holders = 1


class Descriptors:
    """The descriptors that the program opened below the root, and which of our inodes a real file is.

    `open`: number -> open file. `owned`: those numbers that belong to a file object, which is proof of what is behind them
    until it closes.
    """

    __slots__ = ("_device", "_inodes", "_keys", "_orphans", "_paths", "_tree", "open", "owned")

    def __init__(self, paths: Paths, tree: Tree) -> None:
        self._paths = paths
        self._tree = tree
        self.open: dict[int, Descriptor] = {}
        self.owned: dict[int, weakref.ref[RecordedFile]] = {}
        self._inodes: dict[int, int] = {}
        self._keys: dict[int, int] = {}
        self._orphans: set[int] = set()
        self._device = os.stat(paths.root).st_dev

    def bind(self, key: int, ino: int) -> None:
        """Real inode `key` is our inode `ino` from now on."""
        self._inodes[key] = ino
        self._keys[ino] = key
        self._orphans.discard(ino)

    def unnamed(self, ino: int) -> None:
        """`ino` may have lost its last name, so that its real inode number may soon be another file's."""
        if ino in self._keys and not self._tree.linked(ino):
            self._orphans.add(ino)

    def ino_of(self, fd: int) -> int | None:
        """Our inode of an open descriptor; None if it is closed or not a file or directory of the root."""
        if fd in self.owned and (kept := self.open.get(fd)) is not None:
            return kept.ino
        try:
            info = real.fstat(fd)
        except (OSError, TypeError, OverflowError):
            return None
        if info.st_dev != self._device:
            return None
        ino = self._inodes.get(info.st_ino)
        if ino is None or ino in self._orphans:
            return self._search(fd, info.st_ino)
        return ino

    def _search(self, fd: int, key: int) -> int | None:
        path = path_at(fd)
        if path is None:
            kept = self.open.get(fd)
            relative = kept.path if kept is not None and kept.key == key else None
        elif path.endswith(_DELETED):
            return self._inodes.get(key)
        else:
            relative = self._paths.below(path)
        ino = None if relative is None else self._tree.lookup(relative)
        if ino is not None:
            self.bind(key, ino)
        return ino

    def describe(self, fd: int, ino: int) -> Descriptor:
        """Mode and flags of a descriptor of file `ino`; asked of the kernel unless the program opened it through us."""
        kept = self.open.get(fd)
        if kept is not None and kept.ino == ino:
            return kept
        found = Descriptor(ino, self._keys.get(ino, -1), fcntl.fcntl(fd, fcntl.F_GETFL), "")
        if kept is not None and kept.ino is None and kept.key == found.key:
            kept.ino = ino
            return kept
        return found

    def track(self, fd: int, ino: int | None, flags: int, path: str) -> Descriptor:
        """Remember a descriptor that the program just opened below the root."""
        found = self.open[fd] = Descriptor(ino, real.fstat(fd).st_ino, flags, path)
        return found

    def known(self, ino: int) -> bool:
        """Whether the real inode of `ino` is known."""
        return ino in self._keys

    def release(self, fd: int) -> Descriptor | None:
        """Forget a number that is being closed; the descriptor if that was the last number of its open."""
        kept = self.open.pop(fd, None)
        if kept is None:
            return None
        owned = self.owned.pop(fd, None) is not None
        kept.holders -= 1
        return kept if kept.holders == 0 and (owned or self._still(fd, kept)) else None

    def replaced(self, fd: int) -> Descriptor | None:
        """As `release`, for a number that dup2 just took away from what it was."""
        kept = self.open.pop(fd, None)
        self.owned.pop(fd, None)
        if kept is None:
            return None
        kept.holders -= 1
        return kept if kept.holders == 0 else None

    def share(self, fd: int, copy: int) -> None:
        """`copy` is a dup of `fd`."""
        kept = self.open.get(fd)
        if kept is None:
            return
        if kept.key < 0:
            kept.key = real.fstat(fd).st_ino
        if self._still(fd, kept):
            kept.holders += 1
            self.open[copy] = kept

    def _still(self, fd: int, kept: Descriptor) -> bool:
        try:
            info = real.fstat(fd)
        except OSError:
            return False
        return info.st_ino == kept.key and info.st_dev == self._device

    def close_all(self) -> frozenset[int]:
        """Close every descriptor that the program left open, except those whose number is another file's by now."""
        closed = set()
        for fd, kept in list(self.open.items()):
            if self._still(fd, kept):
                closed.add(fd)
                real.close(fd)
        self.open.clear()
        return frozenset(closed)
