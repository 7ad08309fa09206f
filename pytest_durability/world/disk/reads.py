"""A store may take a failed read for an empty file, so reads can be made to fail, as a disk with a bad sector makes them.

Rule: nothing here changes anything, and what the gate lets pass leaves no trace. What is not there is answered by the system
alone: the gate is asked about files and directories that exist. Not seen are `stat`, mmap, and copies made by the kernel.
"""

# ruff: noqa: D102  the operations are those of os, documented there

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pytest_durability.world.disk import real

if TYPE_CHECKING:
    from pytest_durability.world.disk.recorder import Recorder


class Reads:
    """The operations that only read, for one recorder whose gate may strike them."""

    __slots__ = ("_recorder",)

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def _admit(self, fd: int) -> None:
        """Ask about a read from a descriptor, if it is one of the root."""
        recorder = self._recorder
        if not recorder.wants("read"):
            return
        ino = recorder.descriptors.ino_of(fd)
        if ino is not None:
            with recorder.lock:
                recorder.ask_read("read", recorder.tree.path_of(ino))

    def read(self, fd: int, length: int) -> bytes:
        self._admit(fd)
        return real.read(fd, length)

    def readv(self, fd: int, buffers: Sequence[Any]) -> int:
        self._admit(fd)
        return real.readv(fd, buffers)

    def pread(self, fd: int, length: int, offset: int) -> bytes:
        self._admit(fd)
        return real.pread(fd, length, offset)

    def preadv(self, fd: int, buffers: Sequence[Any], offset: int, flags: int = 0) -> int:
        self._admit(fd)
        return real.preadv(fd, buffers, offset, flags)

    def listdir(self, path: Any = None) -> list[Any]:
        self._admit_listing(path)
        return real.listdir(path)

    def scandir(self, path: Any = None) -> Any:
        self._admit_listing(path)
        return real.scandir(path)

    def _admit_listing(self, path: Any) -> None:
        """Ask about the names of a directory, if it is one of the root."""
        recorder = self._recorder
        if not recorder.wants("list"):
            return
        if isinstance(path, int):
            ino = recorder.descriptors.ino_of(path)
        else:
            found = recorder.paths.locate("." if path is None else path, None, True)
            ino = None if found is None else recorder.tree.lookup(found)
        if ino is not None and recorder.tree.is_dir(ino):
            with recorder.lock:
                recorder.ask_read("list", recorder.tree.path_of(ino), *(() if path is None else (path,)))
