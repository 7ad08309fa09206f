"""What one disk operation does to the file system, as data: crash states are computed from these alone.

Rule: effects speak of inodes, never of paths (a renamed file stays the same file). Inode numbers are our own, given in
order of first sight; the root directory is inode 0 and everything in it at the start of recording is durable.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

ROOT = 0


@dataclass(frozen=True, slots=True)
class Create:
    """A new regular file `ino` under `name` in directory `parent`."""

    parent: int
    name: str
    ino: int


@dataclass(frozen=True, slots=True)
class Mkdir:
    """A new directory `ino` under `name` in directory `parent`."""

    parent: int
    name: str
    ino: int


@dataclass(frozen=True, slots=True)
class Symlink:
    """A new symbolic link `ino` to `target` under `name` in directory `parent`."""

    parent: int
    name: str
    ino: int
    target: str


@dataclass(frozen=True, slots=True)
class Link:
    """A further name for the existing file `ino`."""

    parent: int
    name: str
    ino: int


@dataclass(frozen=True, slots=True)
class Unlink:
    """The name of file or link `ino` is removed."""

    parent: int
    name: str
    ino: int


@dataclass(frozen=True, slots=True)
class Rmdir:
    """The empty directory `ino` is removed."""

    parent: int
    name: str
    ino: int


@dataclass(frozen=True, slots=True)
class Rename:
    """`ino` moves; `replaced` is the inode that had the new name (None: nothing had it)."""

    parent: int
    name: str
    new_parent: int
    new_name: str
    ino: int
    replaced: int | None
    directory: bool = False


@dataclass(frozen=True, slots=True)
class Write:
    """`data` at `offset`; `append` if the file was open with O_APPEND (the offset is then what the kernel chose)."""

    ino: int
    offset: int
    data: bytes
    append: bool = False


@dataclass(frozen=True, slots=True)
class Truncate:
    """The file is cut or extended (with zeros) to `size`."""

    ino: int
    size: int


@dataclass(frozen=True, slots=True)
class Sync:
    """fsync, fdatasync or O_SYNC: data and size of file `ino` are durable."""

    ino: int


@dataclass(frozen=True, slots=True)
class SyncDir:
    """fsync of directory `ino`: its entries are durable."""

    ino: int


@dataclass(frozen=True, slots=True)
class SyncAll:
    """sync(2): everything is durable."""


@dataclass(frozen=True, slots=True)
class Close:
    """The last writable descriptor of file `ino` from one open is closed."""

    ino: int


Effect = Create | Mkdir | Symlink | Link | Unlink | Rmdir | Rename | Write | Truncate | Sync | SyncDir | SyncAll | Close

sync_of = lru_cache(4096)(Sync)
"""`Sync(ino)`, one for all: the recorder makes one with each fsync."""

close_of = lru_cache(4096)(Close)
"""`Close(ino)`, the same for each close."""


@dataclass(slots=True)
class _Draft:
    """A `Write` in the making, with the same slots: filling a frozen one costs three times as much, on the hottest path."""

    ino: int
    offset: int
    data: bytes
    append: bool


def written(ino: int, offset: int, data: bytes, append: bool) -> Write:
    """`Write(ino, offset, data, append)`, for the recorder."""
    draft: Any = _Draft(ino, offset, data, append)
    draft.__class__ = Write
    return draft  # type: ignore[no-any-return]
