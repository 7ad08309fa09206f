"""A database must be in the same log as the files beside it, so SQLite's own calls for files pass through here.

Rule: only files below the root that is being recorded are touched; everything else, `:memory:` and temporary files too, stays
with SQLite. What a killed life still holds reaches nothing: neither by its open files nor by their names.
"""

from __future__ import annotations

import atexit
import ctypes as c
import os
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pytest_durability.errors import RecorderError, UnsupportedError
from pytest_durability.world.disk import effects as fx
from pytest_durability.world.disk import real
from pytest_durability.world.disk.calls import CALLS
from pytest_durability.world.disk.shut import Shut
from pytest_durability.world.disk.sqlite import native as n
from pytest_durability.world.disk.sqlite.dead import Dead
from pytest_durability.world.disk.sqlite.files import (
    Life,
    Native,
    OpenFile,
    Tables,
    real_inode,
    sync_directory,
    trouble,
)
from pytest_durability.world.disk.sqlite.workers import end, restore, worker

if TYPE_CHECKING:
    from pytest_durability.world.disk.recorder import Recorder

_NAMED = n.OPEN_JOURNAL | n.OPEN_SUPER_JOURNAL | n.OPEN_WAL
_JULIAN = 210_866_760_000_000
"""Milliseconds from the start of the Julian calendar, by which SQLite counts, to 1970."""
_BESIDE = 300
"""Less than lies between the names of one pager and those of the next in memory; more than what follows its own names."""

_immortal: list[Any] = []
"""What C code may point to until the process ends."""


class Tap:
    """The calls of one library. `waiting`: whether SQLite may really wait for a lock."""

    def __init__(self, library: n.Library) -> None:
        self.library = library
        self.tables = Tables(self._released)
        self._directories = "DISABLE_DIRSYNC" not in library.options
        self.installed = False
        self.waiting = True
        self._lives: dict[Recorder, Life] = {}
        self._dead = Dead()
        self._stray = Life(None)
        self._hook: Any = None
        self._saved: list[tuple[Any, str, int]] = []
        self._copy: n.Vfs | None = None
        self._opens: dict[int, Native] = {c.addressof(vfs): n.X_OPEN(vfs.xOpen) for vfs in library.vfs}
        first = library.vfs[0]
        self._delete: Native = n.X_DELETE(first.xDelete)
        self._random: Native = n.X_RANDOM(first.xRandomness)
        self._sleep: Native = n.X_SLEEP(first.xSleep)
        self._time: Native | None = n.X_TIME(first.xCurrentTimeInt64) if first.iVersion > 1 and first.xCurrentTimeInt64 else None
        self._callbacks = {
            "xOpen": n.X_OPEN(self._x_open),
            "xDelete": n.X_DELETE(self._x_delete),
            "xRandomness": n.X_RANDOM(self._x_random),
            "xSleep": n.X_SLEEP(self._x_sleep),
            **({"xCurrentTimeInt64": n.X_TIME(self._x_time)} if self._time else {}),
        }
        _immortal.append(self)
        atexit.register(self.uninstall)

    def describe(self) -> str:
        """How SQLite is seen: the way, its version, and what cannot be had from this build."""
        chance = "" if self.library.functions is not None else ", its salts are random in every run"
        return f"{self.library.mode}: SQLite {self.library.version}{chance}"

    # -- there and gone

    def install(self) -> None:
        """See what SQLite does from now on."""
        if self.installed:
            return
        self.installed = True
        self._hook, sys.unraisablehook = sys.unraisablehook, self._unraisable
        if self.library.mode == "register":
            self._register()
            return
        for vfs in self.library.vfs:
            self._fill(vfs)

    def _fill(self, vfs: n.Vfs) -> None:
        for name, callback in self._callbacks.items():
            self._saved.append((vfs, name, getattr(vfs, name)))
            setattr(vfs, name, c.cast(callback, n.VP).value)

    def _register(self) -> None:
        base, functions = self.library.vfs[0], self.library.functions
        if self._copy is None:
            self._copy = n.Vfs()
            c.memmove(c.byref(self._copy), c.byref(base), n.WORD * 5 + c.sizeof(n.Vfs) - n.Vfs.pAppData.offset)
            self._copy.zName = b"durability"
            _immortal.append(self._copy)
            self._opens[c.addressof(self._copy)] = self._opens[c.addressof(base)]
        self._copy.pNext = None
        self._fill(self._copy)
        functions.sqlite3_vfs_register(c.byref(self._copy), 1)

    def uninstall(self) -> None:
        """Put everything back; connections that are open go on without us, to the end of the process."""
        if not self.installed:
            return
        self.installed = False
        if sys.unraisablehook == self._unraisable:
            sys.unraisablehook = self._hook
        if self._copy is not None:
            self.library.functions.sqlite3_vfs_unregister(c.byref(self._copy))
            self.library.functions.sqlite3_vfs_register(c.byref(self.library.vfs[0]), 1)
        while self._saved:
            vfs, name, value = self._saved.pop()
            setattr(vfs, name, value)
        self.tables.restore()
        restore()
        self._dead.clear()
        self._lives.clear()

    # -- the lives of stores

    def begin(self) -> None:
        """A recorder starts: what SQLite draws from now on comes from the world's source of chance."""
        self.library.restart_chance()

    def kill(self, recorder: Recorder) -> None:
        """The connections of this recorder's life are dead."""
        life = self._lives.pop(recorder, None)
        if life is None:
            return
        life.recorder, errors = None, self._stray.trouble + life.trouble
        self._stray.trouble.clear()
        for file in list(self.tables.files.values()):
            if file.life is life:
                self.tables.hang(file, "dead")
                if file.end:
                    self._dead.add(file)
        end(life.workers)
        _raise(errors)

    def settle(self, recorder: Recorder) -> None:
        """Raise what went wrong in a callback of this recorder's life.

        Raises:
            RecorderError: something did.
        """
        for life in (self._stray, self._lives.get(recorder, self._stray)):
            errors, life.trouble = life.trouble, []
            _raise(errors)

    def _unraisable(self, unraisable: Any) -> None:
        """An exception that struck a callback before its first line was lost, and SQLite was told that all went well."""
        said = str(unraisable.err_msg or "")  # names the function in it since Python 3.13, before beside it
        if "ctypes callback" in said and __package__ in f"{said}{unraisable.object!r}":
            trouble(self._stray, unraisable.exc_value, 0)
        else:
            self._hook(unraisable)

    def _released(self, file: OpenFile) -> None:
        self._dead.discard(file)
        if file.refused:
            self.tables.refusing -= 1

    def _life(self, recorder: Recorder) -> Life:
        life = self._lives.get(recorder)
        if life is None:
            life = self._lives[recorder] = Life(recorder)
        return life

    # -- what SQLite calls

    def _place(self, name: int, dead: int) -> int | tuple[Recorder, str, str] | None:
        """Whom a file's name concerns: a recorder, with its relative and full path; SQLite alone (None); or the answer to give.

        `dead`: the answer if a dead connection asks; while the root is gated shut, everybody below it is dead.
        """
        handler = CALLS.handler
        if self._dead.names(name):
            return dead
        if handler is None or getattr(handler, "root", "") == os.sep:  # a fake file system: SQLite only knows the real one
            return None
        path = os.fsdecode(c.string_at(name))
        if isinstance(handler, Shut):
            return dead if handler.covers(os.path.realpath(path)) else None
        relative = handler.paths.locate(path, None, follow=True)
        return (handler, relative, path) if relative else None

    def _x_open(self, vfs: int, name: int | None, address: int, flags: int, out: int | None) -> int:
        native = self._opens[vfs]
        life = self._stray
        try:
            call = (native, self._base(vfs), name, address, flags, out)
            place = None if name is None else self._place(name, n.CANTOPEN)
            if place is None:
                return native(*call[1:])
            if isinstance(place, int):
                return place
            recorder, relative, path = place
            life = self._life(recorder)
            with recorder.lock:
                return self._open(life, relative, path, call)
        except BaseException as error:  # noqa: BLE001  nothing may leave a callback: that would be taken for success
            return trouble(life, error, n.CANTOPEN)

    def _base(self, vfs: int) -> int:
        """The VFS that the native functions know, for the one that SQLite calls."""
        return vfs if self._copy is None else c.addressof(self.library.vfs[0])

    def _open(self, life: Life, relative: str, path: str, call: tuple[Any, ...]) -> int:
        recorder = life.recorder
        assert recorder is not None
        native, base, name, address, flags, out = call
        main = bool(flags & n.OPEN_MAIN_DB)
        if main and self._dead:
            self._renew(recorder, relative, path)
        ino, note = recorder.tree.lookup(relative), ""
        creates = ino is None and flags & n.OPEN_CREATE and real_inode(path) < 0
        if creates:
            try:
                note = recorder.ask_note("create", relative, 0, path)
            except OSError:
                return n.CANTOPEN
        code: int = native(base, name, address, flags, out)
        methods = n.VP.from_address(address).value
        if code or not methods:
            return code
        folder, _, last = relative.rpartition("/")
        parent = recorder.tree.lookup(folder)
        if parent is None or (ino is None and not creates):
            return code  # it was made unseen, and `verify` says so
        if ino is None:
            ino = recorder.tree.fresh()
            recorder.record_at("create", relative, fx.Create(parent, last, ino), 0, note)
        file = OpenFile(address, methods, life, ino, parent)
        file.writable = bool(flags & n.OPEN_READWRITE)
        file.unsynced_name = bool(flags & n.OPEN_CREATE and flags & _NAMED) and self._directories
        if main:
            thread = worker()
            if thread is not None:
                life.workers.add(thread)
            file.key, file.start, file.end = real_inode(path), name, name + 3 * len(os.fsencode(path)) + _BESIDE
        self.tables.files[address] = file
        self.tables.hang(file, "plain" if recorder.gate is None else "gated")
        return code

    def _renew(self, recorder: Recorder, relative: str, path: str) -> None:
        """Give a database that a dead connection holds new inodes, so that locks of the dead hold nobody up."""
        key = real_inode(path)
        if key < 0 or not self._dead.database(key):
            return
        for tail in ("", "-wal", "-journal"):
            old, fresh = path + tail, f"{path}{tail}~"
            with suppress(FileNotFoundError):
                _copy(old, fresh)
                real.replace(fresh, old)
                ino = recorder.tree.lookup(relative + tail)
                if ino is not None:
                    recorder.descriptors.bind(real_inode(old), ino)
        with suppress(FileNotFoundError):
            real.unlink(path + "-shm")

    def _x_delete(self, vfs: int, name: int, sync: int) -> int:
        life = self._stray
        try:
            place = self._place(name, n.OK)
            if place is None:
                return self._delete(self._base(vfs), name, sync)
            if isinstance(place, int):
                return place
            recorder, relative, path = place
            life = self._life(recorder)
            with recorder.lock:
                return self._unlink(recorder, relative, path, sync)
        except BaseException as error:  # noqa: BLE001  see _x_open
            return trouble(life, error, n.IOERR_DELETE)

    def _unlink(self, recorder: Recorder, relative: str, path: str, sync: int) -> int:
        try:
            recorder.names.unlink(real.unlink, path, None)
        except OSError as error:
            return n.IOERR_DELETE_NOENT if isinstance(error, FileNotFoundError) else n.IOERR_DELETE
        parent = recorder.tree.lookup(relative.rpartition("/")[0])
        if sync & 1 and self._directories and parent is not None:
            return sync_directory(recorder, parent)
        return n.OK

    def _x_random(self, vfs: int, size: int, buffer: int) -> int:
        try:
            if CALLS.handler is None or isinstance(CALLS.handler, Shut):
                return self._random(vfs, size, buffer)
            c.memmove(buffer, os.urandom(size), size)
        except BaseException as error:  # noqa: BLE001  see _x_open
            trouble(self._stray, error, 0)
            return 0
        return size

    def _x_sleep(self, vfs: int, microseconds: int) -> int:
        tables = self.tables
        tables.slept = True
        if self.waiting and not tables.refusing:
            return self._sleep(vfs, microseconds)
        return microseconds

    def _x_time(self, vfs: int, out: Any) -> int:
        """The time of Python, so that a clock that a test sets is set for SQLite too."""
        assert self._time is not None
        try:
            if CALLS.handler is None:
                return self._time(vfs, out)
            out[0] = _JULIAN + int(time.time() * 1000)
        except BaseException as error:  # noqa: BLE001  see _x_open
            return trouble(self._stray, error, n.IOERR)
        return n.OK


def _copy(old: str, fresh: str) -> None:
    with real.io_open(old, "rb") as source, real.io_open(fresh, "wb") as target:
        target.write(source.read())


def _raise(errors: list[BaseException]) -> None:
    """Raise the first of what went wrong in callbacks; Ctrl-C and the like as what they are."""
    if not errors:
        return
    first = errors[0]
    if not isinstance(first, Exception):
        raise first
    raise RecorderError(
        f"recording an operation of SQLite failed: {type(first).__name__}: {first}",
        why="SQLite was told that its disk failed, so what the store did next is no finding about it",
        fix="this is a fault of the harness or of the gate that was given to it; please report it",
    ) from first


_lock = threading.Lock()
_found: list[Tap | UnsupportedError] = []


def tap() -> Tap | UnsupportedError:
    """The tap of this interpreter's SQLite, or why there is none; looked for once."""
    with _lock:
        if not _found:
            try:
                _found.append(Tap(n.locate()))
            except UnsupportedError as error:
                _found.append(error)
        return _found[0]
