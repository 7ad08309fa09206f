"""What goes past Python's file functions would reach the real disk from a fake world, so it is refused before it happens.

Rule: Python's audit events tell of every attempt, whoever makes it. The hook cannot be taken out of a process again: outside of
a fake world it returns at once, and it is put in when the first fake world opens.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pytest_durability.errors import UnsupportedError
from pytest_durability.world.disk.fake.handles import FIRST

if TYPE_CHECKING:
    from pytest_durability.world.disk.fake.kernel import Kernel

_IMPORTER = "<frozen importlib"
_OWN = "pytest_durability.world.process"
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_CHANGES = frozenset(
    f"os.{name}" for name in ("chmod", "chown", "link", "mkdir", "remove", "rename", "rmdir", "symlink", "truncate", "utime")
)
_PROCESSES = frozenset(("os.exec", "os.posix_spawn", "os.spawn", "os.startfile", "os.system", "pty.spawn", "subprocess.Popen"))

_active: list[Kernel] = []
_installed: list[bool] = []


def active() -> bool:
    """Whether a fake world is open, so that the hook does anything."""
    return bool(_active)


@contextmanager
def guarding(kernel: Kernel) -> Iterator[None]:
    """Refuse what would escape from this fake file system until the block ends."""
    if not _installed:
        _installed.append(True)
        sys.addaudithook(_hook)
    _active.append(kernel)
    try:
        yield
    finally:
        _active.remove(kernel)


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if _active:
        check = _CHECKS.get(event)
        if check is not None:
            check(_active[-1], event, args)


def _opened(kernel: Kernel, event: str, args: tuple[Any, ...]) -> None:
    """A real `open`: by the harness for what is outside, by the import system, or past Python's functions."""
    del event
    path, mode, flags = args
    if isinstance(path, int) or path is None:
        return
    writes = bool(flags & _WRITING) or (isinstance(mode, str) and bool(set(mode) & set("wax+")))
    full = os.path.join(kernel.cwd, os.fsdecode(path))
    if kernel.outside.always(full) or (not writes and (kernel.outside.readable(full) or _caller().startswith(_IMPORTER))):
        return
    _refuse(f"io.FileIO({full!r})", "it opens the real file and not the fake one", "open it with open() or os.open")


def _changed(kernel: Kernel, event: str, args: tuple[Any, ...]) -> None:
    """A real change of a name or an attribute."""
    path = args[0]
    if isinstance(path, int) or kernel.outside.always(os.path.join(kernel.cwd, os.fsdecode(path))):
        return
    _refuse(f"{event}({path!r}) in the real file system", "it was called past the functions of os", f"call {event} by name")


def _database(kernel: Kernel, event: str, args: tuple[Any, ...]) -> None:
    del kernel, event
    name = os.fsdecode(args[0]) if isinstance(args[0], (str, bytes, os.PathLike)) else repr(args[0])
    if name not in ("", ":memory:") and "mode=memory" not in name and not name.startswith("file::memory:"):
        _refuse(f"sqlite3.connect({name!r})", "SQLite opens its files itself, on the real disk")


def _process(kernel: Kernel, event: str, args: tuple[Any, ...]) -> None:
    del kernel
    _refuse(f"{event}{args[:1]!r}", "a child process sees the real disk and not the fake one")


def _forked(kernel: Kernel, event: str, args: tuple[Any, ...]) -> None:
    del kernel, args
    frame = sys._getframe(2)
    if not frame.f_globals.get("__name__", "").startswith(_OWN):
        _refuse(event, "what a child process writes would stay in its own copy of the fake disk")


def _mapped(kernel: Kernel, event: str, args: tuple[Any, ...]) -> None:
    del kernel, event
    if isinstance(args[0], int) and args[0] >= FIRST:
        _refuse("mmap.mmap of a file", "a fake file has no pages that could be mapped")


def _loaded(kernel: Kernel, event: str, args: tuple[Any, ...]) -> None:
    del kernel, event
    if args[0] is not None and not _caller().startswith(_IMPORTER):
        _refuse(f"ctypes.CDLL({args[0]!r})", "native code opens files on the real disk", "load it before the world opens")


def _caller() -> str:
    """The file of the frame that caused the event."""
    return sys._getframe(3).f_code.co_filename


def _refuse(what: str, why: str, instead: str = "") -> None:
    way = 'use disk="files", and set HOME or XDG_* with world.setenv so that the store comes to lie below world.root'
    raise UnsupportedError(f"{what} in a fake world", why=why, fix=f"{instead}, or {way}" if instead else way)


_CHECKS: dict[str, Callable[[Kernel, str, tuple[Any, ...]], None]] = {
    "open": _opened,
    "sqlite3.connect": _database,
    "mmap.__new__": _mapped,
    "ctypes.dlopen": _loaded,
    "os.fork": _forked,
    "os.forkpty": _forked,
    **dict.fromkeys(_CHANGES, _changed),
    **dict.fromkeys(_PROCESSES, _process),
}
