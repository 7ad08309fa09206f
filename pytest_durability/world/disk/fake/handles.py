"""Open files of the fake file system have numbers, positions and flags as those of a kernel have.

Rule: a number is never used twice, and none is one that the real kernel gives out; a file that lost its name lives on as long
as it is open; what is written is in the file at once, because buffers belong to the program.
"""

from __future__ import annotations

import errno
import os
import stat
import time
import weakref
from typing import Any

FIRST = 1 << 20
"""Real descriptor numbers are smaller than this."""

_ACCESS = os.O_RDONLY | os.O_WRONLY | os.O_RDWR


class Handle:
    """One open of a file or directory, shared by the numbers that dup made of it. `file` is the node of pyfakefs.

    `directory` and `name` tell by which of its names it was opened.
    """

    __slots__ = ("directory", "file", "flags", "holders", "name", "position")

    def __init__(self, file: Any, flags: int, directory: Any, name: str) -> None:
        self.file = file
        self.flags = flags
        self.directory = directory
        self.name = name
        self.position = 0
        self.holders = 0

    def may_read(self) -> bool:
        """Whether it was opened for reading."""
        return self.flags & _ACCESS != os.O_WRONLY

    def may_write(self) -> bool:
        """Whether it was opened for writing."""
        return self.flags & _ACCESS != os.O_RDONLY

    def content(self) -> bytes:
        """What the file holds now.

        Raises:
            OSError: it is a directory, or not open for reading.
        """
        if is_directory(self.file):
            raise failed(errno.EISDIR)
        if not self.may_read():
            raise failed(errno.EBADF)
        return self.file.byte_contents or b""

    def read(self, size: int) -> bytes:
        """Up to `size` bytes from the position on."""
        data = self.content()[self.position : self.position + size]
        self.position += len(data)
        return data

    def write(self, data: bytes) -> int:
        """Write at the position, or at the end of a file that is open for appending; the number of bytes."""
        offset = self.size() if self.flags & os.O_APPEND else self.position
        self.write_at(data, offset)
        self.position = offset + len(data)
        return len(data)

    def write_at(self, data: bytes, offset: int) -> None:
        """Write at an offset and leave the position where it is.

        Raises:
            OSError: not open for writing.
        """
        if not self.may_write():
            raise failed(errno.EBADF)
        if data:
            old = self.file.byte_contents or b""
            start = old if offset == len(old) else old[:offset].ljust(offset, b"\0")
            store(self.file, start + data + old[offset + len(data) :])

    def size(self) -> int:
        """Length of the file in bytes."""
        return len(self.file.byte_contents or b"")

    def resize(self, size: int) -> None:
        """Cut or extend the file with zeros.

        Raises:
            OSError: not open for writing, or a negative size.
        """
        if not self.may_write() or is_directory(self.file) or size < 0:
            raise failed(errno.EINVAL)
        resize(self.file, size)

    def seek(self, offset: int, whence: int) -> int:
        """Move the position; the new one.

        Raises:
            OSError: it would be before the start.
        """
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self.position, os.SEEK_END: self.size()}.get(whence)
        if start is None or start + offset < 0:
            raise failed(errno.EINVAL)
        self.position = start + offset
        return self.position


class Handles:
    """All numbers that are in use."""

    __slots__ = ("_next", "_open")

    def __init__(self) -> None:
        self._open: dict[int, Handle] = {}
        self._next = FIRST

    def add(self, handle: Handle, number: int | None = None) -> int:
        """Give a handle a new number, or this one."""
        if number is None:
            number = self._next
            self._next += 1
        handle.holders += 1
        self._open[number] = handle
        return number

    def get(self, number: int) -> Handle:
        """The handle behind a number.

        Raises:
            OSError: it is closed.
        """
        found = self._open.get(number)
        if found is None:
            raise failed(errno.EBADF)
        return found

    def known(self, number: int) -> bool:
        """Whether a number is open."""
        return number in self._open

    def close(self, number: int) -> Handle | None:
        """Give a number back; the handle if that was its last number.

        Raises:
            OSError: it is closed.
        """
        handle = self.get(number)
        del self._open[number]
        handle.holders -= 1
        return handle if handle.holders == 0 else None


def store(file: Any, data: bytes) -> None:
    """Make `data` the content of a node."""
    file.set_contents(data)
    file.st_mtime = file.st_ctime = time.time()


def resize(file: Any, size: int) -> None:
    """Cut or extend the content of a node with zeros."""
    old = file.byte_contents or b""
    store(file, old[:size].ljust(size, b"\0"))


def is_directory(file: Any) -> bool:
    """Whether a node is a directory."""
    return bool(stat.S_ISDIR(file.st_mode))


def directory_of(node: Any) -> Any:
    """The directory that a node was last put into, None for the root; pyfakefs 6 keeps it weakly."""
    found = node.parent_dir
    return found() if isinstance(found, weakref.ref) else found


def failed(number: int, *names: Any) -> OSError:
    """The error that the system would raise."""
    extra = [names[0], None, names[1]] if len(names) > 1 else list(names)
    return OSError(number, os.strerror(number), *extra)
