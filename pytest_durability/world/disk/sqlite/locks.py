"""A store whose write failed may keep the database locked for everybody, and it notices nothing itself.

Rule: whether a lock is held is read from the kernel, which changes nothing; a lock that a test needs is held by a real second
connection. The verdict is pure: what was held before the operation and is held after it proves nothing against that operation.

The places of the locks are part of SQLite's file format: https://sqlite.org/src/file/src/os.h (the pending byte),
https://sqlite.org/walformat.html#wal_locks (the log).
"""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass

from pytest_durability.errors import UnsupportedError
from pytest_durability.world.disk.calls import CALLS

_PENDING, _RESERVED, _SHARED_FIRST, _SHARED_LAST = 0x40000000, 0x40000001, 0x40000002, 0x400001FF
_LOG_WRITER = 120


@dataclass(frozen=True, slots=True)
class Held:
    """A lock that keeps other writers out of a database (path below the root): reserved, pending, exclusive, or of its log."""

    path: str
    lock: str

    def __str__(self) -> str:
        return f"{self.path}: {self.lock} lock"


def held(root: str | os.PathLike[str]) -> tuple[Held, ...]:
    """The locks that this process holds on databases below `root`, of those that keep other writers out.

    Raises:
        UnsupportedError: this system does not show its locks.
    """
    places = _locked_places()
    if not places:
        return ()
    found = []
    for folder, _folders, files in os.walk(root):
        for name in files:
            info = os.stat(os.path.join(folder, name))
            for start, end in places.get((info.st_dev, info.st_ino), ()):
                path = os.path.relpath(os.path.join(folder, name), root)
                lock = _named(path, start, end)
                if lock is not None:
                    found.append(lock)
    return tuple(sorted(set(found), key=str))


def _locked_places() -> dict[tuple[int, int], list[tuple[int, int]]]:
    """(Device, inode) -> the ranges of bytes on which this process holds write locks."""
    if sys.platform != "linux":
        raise UnsupportedError(f"locks cannot be listed on {sys.platform}", fix="run on Linux")
    found: dict[tuple[int, int], list[tuple[int, int]]] = {}
    with open("/proc/locks", encoding="ascii") as lines:
        for line in lines:
            _number, kind, *rest = line.split()
            if kind != "POSIX" or rest[1] != "WRITE" or int(rest[2]) != os.getpid():
                continue
            major, minor, inode = rest[3].split(":")
            end = (1 << 63) - 1 if rest[5] == "EOF" else int(rest[5])
            found.setdefault((os.makedev(int(major, 16), int(minor, 16)), int(inode)), []).append((int(rest[4]), end))
    return found


def _named(path: str, start: int, end: int) -> Held | None:
    if path.endswith("-shm"):
        return Held(path.removesuffix("-shm"), "log") if start <= _LOG_WRITER <= end else None
    if start <= _SHARED_LAST and end >= _SHARED_FIRST:
        return Held(path, "exclusive")
    if start <= _PENDING <= end:
        return Held(path, "pending")
    return Held(path, "reserved") if start <= _RESERVED <= end else None


@contextmanager
def holding(path: str | os.PathLike[str], *, begin: str = "IMMEDIATE") -> Iterator[None]:
    """A real second connection that holds the write lock of a database until the block ends.

    Whoever waits for the lock meanwhile waits in vain, so SQLite's waiting (`timeout=`) takes no time. `begin="EXCLUSIVE"`
    keeps readers out too, where there is no log.
    """
    tap = CALLS.sqlite
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)) as other:
        other.execute(f"BEGIN {begin}")
        if tap is not None:
            tap.waiting = False
        try:
            yield
        finally:
            if tap is not None:
                tap.waiting = True
            if other.in_transaction:
                with suppress(sqlite3.Error):  # a crash in the block killed this connection too
                    other.execute("ROLLBACK")
