"""SQLite writes a file through the table of functions that hangs on it, so each file below the root gets a table of ours.

Rule: a callback never answers "done" for what was not done: whatever goes wrong in it becomes an I/O error for SQLite and is
kept, to be raised when SQLite is out of the way. Reads, locks and shared memory stay native as long as no fault can strike them.
"""

from __future__ import annotations

import ctypes as c
import errno as _errno
import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from pytest_durability.world.disk import effects as fx
from pytest_durability.world.disk.gate import Mark, Short
from pytest_durability.world.disk.sqlite import native as n

if TYPE_CHECKING:
    from pytest_durability.world.disk.recorder import Recorder
    from pytest_durability.world.disk.sqlite.native import Methods

Native: TypeAlias = Callable[..., int]
"""A function of the native table."""

_CANNOT_WAIT = ("EBUSY", "EAGAIN", "EACCES")


class Life:
    """One life of a store as SQLite sees it: who records it (None: nobody, or not any more).

    `trouble`: what went wrong in callbacks. `workers`: threads that are there for one connection only.
    """

    __slots__ = ("recorder", "trouble", "workers")

    def __init__(self, recorder: Recorder | None) -> None:
        self.recorder = recorder
        self.trouble: list[BaseException] = []
        self.workers: set[threading.Thread] = set()


class OpenFile:
    """A file below the root that SQLite has open.

    `address`: of its `sqlite3_file`. `ino`, `parent`: it and its directory in the tree. `unsynced_name`: its first sync also
    syncs the directory. `key`: its real inode. `start`, `end`: where in memory its pager keeps the names of its files, for a
    database. `refused`: a lock on it was refused, and SQLite is waiting in vain.
    """

    __slots__ = ("address", "end", "ino", "key", "life", "native", "parent", "refused", "start", "unsynced_name", "writable")

    def __init__(self, address: int, native: int, life: Life, ino: int, parent: int) -> None:
        self.address, self.native, self.life, self.ino, self.parent = address, native, life, ino, parent
        self.unsynced_name = self.writable = self.refused = False
        self.start = self.end = 0
        self.key = -1


class Tables:
    """The method tables of a library, made once for each native one; `files` are those that are open now, by address.

    `slept`: SQLite has waited for a lock since one was refused. `release`: what to do with a file that was closed.
    """

    def __init__(self, release: Callable[[OpenFile], None]) -> None:
        self.files: dict[int, OpenFile] = {}
        self.slept = False
        self.refusing = 0
        self._release = release
        self._made: dict[tuple[int, str], Methods] = {}
        self._kept: list[Any] = []

    def of(self, native: int, kind: str) -> Methods:
        """The table to hang on a file: `plain`, `gated` (faults can strike reads and locks) or `dead`."""
        found = self._made.get((native, kind))
        if found is None:
            found = self._made[native, kind] = n.copied(native)
            calls = _Dead(self, found) if kind == "dead" else _Living(self, found)
            for name, prototype, function in calls.slots(gated=kind == "gated"):
                if getattr(found, name):
                    callback = prototype(function)
                    self._kept.append(callback)
                    setattr(found, name, c.cast(callback, n.VP).value)
            self._kept.append(calls)
        return found

    def hang(self, file: OpenFile, kind: str) -> None:
        """Put a table of ours on an open file."""
        n.VP.from_address(file.address).value = c.addressof(self.of(file.native, kind))

    def restore(self) -> None:
        """Give all open files their native tables back; they are not followed any more."""
        for file in list(self.files.values()):
            n.VP.from_address(file.address).value = file.native
        self.files.clear()

    def closed(self, address: int) -> OpenFile | None:
        """Forget a file that SQLite closes."""
        file = self.files.pop(address, None)
        if file is not None:
            self._release(file)
        return file


def trouble(life: Life, error: BaseException, code: int) -> int:
    """Keep what went wrong in a callback, and answer SQLite with this code."""
    life.trouble.append(error)
    return code


class _Living:
    """The callbacks of the files of one native table, for stores that are alive."""

    def __init__(self, tables: Tables, native: Methods) -> None:
        self._tables, self._files = tables, tables.files
        self._close: Native = n.X_CLOSE(native.xClose)
        self._read: Native = n.X_TRANSFER(native.xRead)
        self._write: Native = n.KEEPING_TRANSFER(native.xWrite)
        self._truncate: Native = n.KEEPING_TRUNCATE(native.xTruncate)
        self._sync: Native = n.X_FLAG(native.xSync)
        self._size: Native = n.X_SIZE(native.xFileSize)
        self._control: Native = n.X_CONTROL(native.xFileControl)
        self._lock: Native = n.X_FLAG(native.xLock)
        self._shm_lock: Native | None = n.X_SHM_LOCK(native.xShmLock) if native.xShmLock else None

    def slots(self, *, gated: bool) -> list[tuple[str, Any, Any]]:
        found = [
            ("xClose", n.X_CLOSE, self.close),
            ("xWrite", n.X_TRANSFER, self.write),
            ("xTruncate", n.X_TRUNCATE, self.truncate),
            ("xSync", n.X_FLAG, self.sync),
            ("xFileControl", n.X_CONTROL, self.control),
        ]
        if gated:
            found += [
                ("xRead", n.X_TRANSFER, self.read),
                ("xLock", n.X_FLAG, self.lock),
                ("xShmLock", n.X_SHM_LOCK, self.shm_lock),
            ]
        return found

    def write(self, address: int, buffer: int, size: int, offset: int) -> int:
        file = self._files[address]
        try:
            recorder = file.life.recorder
            assert recorder is not None
            with recorder.lock:
                if not recorder.running:
                    return n.OK if recorder.shut() else self._write(address, buffer, size, offset)
                if recorder.gate is not None:
                    return self._admitted(recorder, file, buffer, size, offset)
                return self._stored(recorder, file, buffer, size, offset, "")
        except BaseException as error:  # noqa: BLE001  nothing may leave a callback: that would be taken for success
            return trouble(file.life, error, n.IOERR_WRITE)

    def _stored(self, recorder: Recorder, file: OpenFile, buffer: int, size: int, offset: int, note: str) -> int:
        data = c.string_at(buffer, size)
        code = self._write(file.address, buffer, size, offset)
        if code:
            recorder.failed(
                "write", recorder.tree.path_of(file.ino), OSError(_errno.ENOSPC if code == n.FULL else _errno.EIO), size
            )
        else:
            recorder.record("write", file.ino, fx.Write(file.ino, offset, data), size, note)
        return code

    def _admitted(self, recorder: Recorder, file: OpenFile, buffer: int, size: int, offset: int) -> int:
        """Ask about a write; what is cut short is tried again with the rest, as SQLite does."""
        while True:
            try:
                decision = recorder.ask("write", recorder.tree.path_of(file.ino), size)
            except OSError as error:
                return n.FULL if error.errno == _errno.ENOSPC else n.IOERR_WRITE
            if type(decision) is not Short or decision.keep >= size:
                note = decision.note if type(decision) is Mark else ""
                return self._stored(recorder, file, buffer, size, offset, note)
            keep = decision.keep
            if keep <= 0:
                return n.FULL
            code = self._stored(recorder, file, buffer, keep, offset, "")
            if code:
                return code
            buffer, size, offset = buffer + keep, size - keep, offset + keep

    def truncate(self, address: int, size: int) -> int:
        file = self._files[address]
        try:
            recorder = file.life.recorder
            assert recorder is not None
            with recorder.lock:
                if not recorder.running:
                    return n.OK if recorder.shut() else self._truncate(address, size)
                try:
                    note = recorder.ask_note("truncate", recorder.tree.path_of(file.ino), size)
                except OSError:
                    return n.IOERR_TRUNCATE
                code = self._truncate(address, size)
                if code:
                    recorder.failed("truncate", recorder.tree.path_of(file.ino), OSError(_errno.EIO), size)
                    return code
                now = self._length(address)  # a chunk size makes SQLite round up
                recorder.record("truncate", file.ino, fx.Truncate(file.ino, now), now, note)
                return n.OK
        except BaseException as error:  # noqa: BLE001  see write
            return trouble(file.life, error, n.IOERR_TRUNCATE)

    def sync(self, address: int, flags: int) -> int:
        """What is synced is recorded, not synced: the root is thrown away.

        The first sync of a journal syncs its directory as well, and does not mind if that fails (`unixSync`).
        """
        file = self._files[address]
        try:
            recorder = file.life.recorder
            assert recorder is not None
            with recorder.lock:
                if not recorder.running:
                    return n.OK if recorder.shut() else self._sync(address, flags)
                try:
                    note = recorder.ask_note("fsync", recorder.tree.path_of(file.ino))
                except OSError:
                    return n.IOERR_FSYNC
                recorder.note("fsync", file.ino, fx.Sync(file.ino), note)
                if file.unsynced_name:
                    file.unsynced_name = False
                    sync_directory(recorder, file.parent)
                return n.OK
        except BaseException as error:  # noqa: BLE001  see write
            return trouble(file.life, error, n.IOERR_FSYNC)

    def close(self, address: int) -> int:
        file = self._tables.closed(address)
        code = self._close(address)
        if file is None:
            return code
        try:
            recorder = file.life.recorder
            if recorder is not None and file.writable:
                with recorder.lock:
                    if recorder.running:
                        recorder.note("close", file.ino, fx.Close(file.ino))
        except BaseException as error:  # noqa: BLE001  see write
            return trouble(file.life, error, n.IOERR_CLOSE)
        return code

    def control(self, address: int, operation: int, argument: int | None) -> int:
        """Only two requests can change a file: both may make it longer."""
        if operation not in (n.SIZE_HINT, n.CHUNK_SIZE):
            return self._control(address, operation, argument)
        file = self._files[address]
        try:
            recorder = file.life.recorder
            assert recorder is not None
            with recorder.lock:
                before = self._length(address)
                code = self._control(address, operation, argument)
                after = self._length(address)
                if after != before and recorder.running:
                    recorder.record("truncate", file.ino, fx.Truncate(file.ino, after), after)
                return code
        except BaseException as error:  # noqa: BLE001  see write
            return trouble(file.life, error, n.IOERR)

    def read(self, address: int, buffer: int, size: int, offset: int) -> int:
        file = self._files[address]
        try:
            return self._asked(file, "read", n.IOERR_READ) or self._read(address, buffer, size, offset)
        except BaseException as error:  # noqa: BLE001  see write
            return trouble(file.life, error, n.IOERR_READ)

    def lock(self, address: int, level: int) -> int:
        file = self._files[address]
        try:
            return self._refused(file) or self._lock(address, level)
        except BaseException as error:  # noqa: BLE001  see write
            return trouble(file.life, error, n.IOERR_LOCK)

    def shm_lock(self, address: int, place: int, count: int, flags: int) -> int:
        file = self._files[address]
        try:
            writer = place == 0 and flags == n.SHM_LOCK | n.SHM_EXCLUSIVE  # the one lock that a writer waits for
            assert self._shm_lock is not None
            return (self._refused(file) if writer else n.OK) or self._shm_lock(address, place, count, flags)
        except BaseException as error:  # noqa: BLE001  see write
            return trouble(file.life, error, n.IOERR_LOCK)

    def _refused(self, file: OpenFile) -> int:
        """Whether a lock is refused; if it is, then until SQLite gives up waiting, which it does by counting, not by the clock."""
        tables = self._tables
        if file.refused:
            waited, tables.slept = tables.slept, False
            if waited:
                return n.BUSY
            file.refused = False
            tables.refusing -= 1
        code = self._asked(file, "lock", n.IOERR_LOCK)
        if code == n.BUSY:
            file.refused, tables.slept = True, False
            tables.refusing += 1
        return code

    @staticmethod
    def _asked(file: OpenFile, kind: str, code: int) -> int:
        """Ask the gate about a read or a lock, if a fault waits for one."""
        recorder = file.life.recorder
        if recorder is None or not recorder.running or not recorder.wants(kind):
            return n.OK
        with recorder.lock:
            try:
                recorder.ask(kind, recorder.tree.path_of(file.ino), 0)
            except OSError as error:
                locked = kind == "lock" and _errno.errorcode.get(error.errno or 0) in _CANNOT_WAIT
                return n.BUSY if locked else code
        return n.OK

    def _length(self, address: int) -> int:
        size = n.I64()
        self._size(address, c.byref(size))
        return size.value


class _Dead:
    """The callbacks of the files of a dead life: what it writes goes nowhere, and it gets no new lock."""

    def __init__(self, tables: Tables, native: Methods) -> None:
        self._tables = tables
        self._close: Native = n.X_CLOSE(native.xClose)
        self._control: Native = n.X_CONTROL(native.xFileControl)

    def slots(self, *, gated: bool) -> list[tuple[str, Any, Any]]:
        del gated
        return [
            ("xClose", n.X_CLOSE, self.close),
            ("xWrite", n.X_TRANSFER, _swallow_write),
            ("xTruncate", n.X_TRUNCATE, _swallow),
            ("xSync", n.X_FLAG, _swallow),
            ("xLock", n.X_FLAG, _no_lock),
            ("xFileControl", n.X_CONTROL, self.control),
        ]

    def close(self, address: int) -> int:
        self._tables.closed(address)
        return self._close(address)

    def control(self, address: int, operation: int, argument: int | None) -> int:
        return n.OK if operation in (n.SIZE_HINT, n.CHUNK_SIZE) else self._control(address, operation, argument)


CALLBACKS = (_Living, _Dead)
"""Whose methods SQLite calls."""


def _swallow_write(_address: int, _buffer: int, _size: int, _offset: int) -> int:
    return n.OK


def _swallow(_address: int, _value: int) -> int:
    return n.OK


def _no_lock(_address: int, _level: int) -> int:
    """Without a lock a connection begins no transaction, rolls none back by its name and moves nothing out of the log."""
    return n.IOERR_LOCK


def sync_directory(recorder: Recorder, parent: int) -> int:
    """Record that SQLite synced a directory."""
    try:
        note = recorder.ask_note("fsync-dir", recorder.tree.path_of(parent))
    except OSError:
        return n.IOERR_DIR_FSYNC
    recorder.note("fsync-dir", parent, fx.SyncDir(parent), note)
    return n.OK


def real_inode(path: str) -> int:
    """The real inode of a path; -1 if there is none."""
    try:
        return os.stat(path).st_ino
    except OSError:
        return -1
