"""Stores lock their files, so locks on fake files must hold as those of the kernel do, and end when a file is closed.

Rule: `flock` belongs to an open file, and two opens exclude each other; `lockf` belongs to the process, and there is one.
Nobody else can give a lock back, so waiting for one is an error and not a standstill.
"""

# ruff: noqa: D102  the operations are those of fcntl, documented there

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pytest_durability.errors import UnsupportedError
from pytest_durability.world.disk.fake.data import is_fake, number_of
from pytest_durability.world.disk.fake.handles import failed

if TYPE_CHECKING:
    from pytest_durability.world.disk.fake.handles import Handle
    from pytest_durability.world.disk.fake.kernel import Kernel

_FREE = (fcntl.F_SETLK, fcntl.F_SETLKW, fcntl.F_SETFD)


class Locks:
    """The functions of `fcntl`."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self.true: dict[str, Callable[..., Any]] = {"flock": fcntl.flock, "lockf": fcntl.lockf, "fcntl": fcntl.fcntl}
        self._held: list[tuple[Handle, bool]] = []

    def flock(self, fd: Any, operation: int, /) -> None:
        if not is_fake(fd):
            self.true["flock"](fd, operation)
            return
        with self._kernel.lock:
            handle = self._kernel.handles.get(number_of(fd))
            held = [(one, alone) for one, alone in self._held if one is not handle and one.holders]
            if not operation & fcntl.LOCK_UN:
                wanted = bool(operation & fcntl.LOCK_EX)
                if any(one.file is handle.file and (wanted or alone) for one, alone in held):
                    self._held = [*held, *(kept for kept in self._held if kept[0] is handle)]
                    raise failed(errno.EAGAIN if operation & fcntl.LOCK_NB else errno.EDEADLK)
                held.append((handle, wanted))
            self._held = held

    def lockf(self, fd: Any, cmd: int, len: int = 0, start: int = 0, whence: int = 0, /) -> None:
        if not is_fake(fd):
            self.true["lockf"](fd, cmd, len, start, whence)
            return
        self._kernel.handles.get(number_of(fd))

    def fcntl(self, fd: Any, cmd: int, arg: Any = 0, /) -> Any:
        if not is_fake(fd):
            return self.true["fcntl"](fd, cmd, arg)
        handle = self._kernel.handles.get(number_of(fd))
        if cmd == fcntl.F_GETFL:
            return handle.flags
        if cmd == fcntl.F_SETFL:
            handle.flags = handle.flags & ~os.O_APPEND | (arg & os.O_APPEND)
            return 0
        if cmd == fcntl.F_GETFD:
            return fcntl.FD_CLOEXEC
        if cmd in _FREE:
            return 0
        raise UnsupportedError(
            f"fcntl(fd, {cmd}) on a file of a fake world",
            why="pyfakefs has no such thing, and passing over it would judge another program",
            fix='use disk="files" and world.setenv("HOME", str(world.root))',
        )
