"""One entry puts the stand-ins of `calls` into the process and takes them out again, for a whole sweep at a time.

Rule: whatever ends the block (return, exception, KeyboardInterrupt), every name and alias is what it was before, including
names that modules bound while it lasted.
"""

from __future__ import annotations

import builtins
import io
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pytest_durability.errors import RecorderError, UnsupportedError
from pytest_durability.world.disk import real
from pytest_durability.world.disk.calls import CALLS
from pytest_durability.world.disk.rebind import Known, Rebinding
from pytest_durability.world.disk.shut import Shut

_LOCK = threading.RLock()
_KNOWN = Known()
"""Where the functions were held the last time, so that the next world need not look through the whole process."""


class Interposition:
    """The patched state of this process, as long as `interposed()` lasts."""

    def __init__(self) -> None:
        self._stand_ins = CALLS.table()
        self._real = {"io_open": real.io_open, **real.TABLE}
        self._saved: list[tuple[Any, str, Any]] = []
        self._rebinding: Rebinding | None = None
        self._counts: dict[str, int] = {}

    def install(self) -> None:
        """Put the stand-ins in place.

        Raises:
            RecorderError: some object holds fsync, fdatasync or sync where it cannot be rebound; nothing is patched then.
            UnsupportedError: not a POSIX system.
        """
        if os.name != "posix":
            raise UnsupportedError(f"files cannot be recorded on {sys.platform}", fix="run on Linux")
        _attach_sqlite()
        self._counts = {name: sys.getrefcount(stand_in) for name, stand_in in self._stand_ins.items()}
        try:
            self._patch_modules()
            self._rebinding = Rebinding(
                [(self._real[name], stand_in) for name, stand_in in self._stand_ins.items()],
                [self._real[name] for name in real.SYNC_FAMILY if name in self._real],
                self._spared(),
            )
            self._rebinding.apply(_KNOWN)
        except BaseException:
            self.uninstall()
            raise

    def _spared(self) -> list[object]:
        return [self._stand_ins, self._real, real.TABLE, self._saved, *self._saved, vars(CALLS), self._counts]

    def _patch_modules(self) -> None:
        import _io
        import posix

        places = [(module, "open", "io_open") for module in (builtins, io, _io)]
        places += [(module, name, name) for module in (os, posix) for name in self._stand_ins if name != "io_open"]
        for module, name, key in places:
            self._saved.append((module, name, getattr(module, name)))
            setattr(module, name, self._stand_ins[key])

    def uninstall(self) -> None:
        """Restore everything."""
        if CALLS.sqlite is not None:
            CALLS.sqlite.uninstall()
            CALLS.sqlite = None
        if self._rebinding is not None:
            self._rebinding.undo()
            self._rebinding = None
        while self._saved:
            module, name, value = self._saved.pop()
            if getattr(module, name) is not value:
                setattr(module, name, value)
        late = [name for name, stand_in in self._stand_ins.items() if sys.getrefcount(stand_in) > self._counts[name]]
        if late:
            pairs = [(self._stand_ins[name], self._real[name]) for name in late]
            Rebinding(pairs, (), self._spared()).apply()
        self._real.clear()  # as long as somebody keeps this object, it would be one more place that holds them
        self._stand_ins.clear()

    @contextmanager
    def gated(self, root: str | os.PathLike[str]) -> Iterator[None]:
        """While this lasts, nothing below `root` can be changed and no attempt raises; for finalising dead objects.

        Raises:
            RecorderError: a recorder is running.
        """
        if CALLS.handler is not None:
            raise RecorderError(
                f"{os.fspath(root)} cannot be gated shut while it, or another root, is being recorded",
                why="operations of the living would vanish",
                fix="stop the recorder first",
            )
        CALLS.handler = Shut(os.path.realpath(root), CALLS.dead)
        try:
            yield
        finally:
            CALLS.handler = None


def _attach_sqlite() -> None:
    """See what SQLite does as well; imported here, because only those who open a world need it."""
    from pytest_durability.world.disk.sqlite.tap import Tap, tap

    found = tap()
    if isinstance(found, Tap):
        found.install()
        CALLS.sqlite, CALLS.sqlite_unseen = found, ""
    else:
        CALLS.sqlite, CALLS.sqlite_unseen = None, found.what


_CURRENT: list[Interposition] = []


@contextmanager
def interposed() -> Iterator[Interposition]:
    """Interpose the file functions of this process; entering it again inside costs nothing.

    Raises:
        RecorderError: see `Interposition.install`.
    """
    with _LOCK:
        if CALLS.installed == 0:
            found = Interposition()
            found.install()
            _CURRENT.append(found)
        CALLS.installed += 1
    try:
        yield _CURRENT[-1]
    finally:
        with _LOCK:
            CALLS.installed -= 1
            if CALLS.installed == 0:
                CALLS.handler = CALLS.reader = None
                CALLS.dead.clear()
                _CURRENT.pop().uninstall()
