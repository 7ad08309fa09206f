"""One entry puts a fake file system under everything that Python code and the recorder call, and takes it out again.

Rule: whatever ends the block, every name and alias is what it was before. What the recorder calls is exchanged in `real`, what
programs call besides in `os` and `fcntl` and wherever it was bound; the import system keeps the real functions.
"""

from __future__ import annotations

import _posixsubprocess
import fcntl
import os
import posix
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from pytest_durability.errors import UnsupportedError
from pytest_durability.world.disk import paths, rawfile, real
from pytest_durability.world.disk.fake.data import Data
from pytest_durability.world.disk.fake.files import Files
from pytest_durability.world.disk.fake.guard import guarding
from pytest_durability.world.disk.fake.kernel import Kernel
from pytest_durability.world.disk.fake.locks import Locks
from pytest_durability.world.disk.fake.looks import Looks
from pytest_durability.world.disk.fake.names import Names
from pytest_durability.world.disk.rebind import Rebinding

_LOOKS = (
    *("access", "chdir", "chmod", "chown", "fchdir", "fchmod", "fchown", "fstatvfs", "get_inheritable", "getcwd", "getcwdb"),
    *("getxattr", "isatty", "lchown", "listxattr", "lstat", "mkfifo", "posix_fadvise", "readlink", "set_inheritable"),
    *("setxattr", "stat", "statvfs", "utime"),
)
_BESIDES = ("fstat", "lseek")
"""What the recorder calls and leaves unpatched, so that programs must be given it here."""


class Installation:
    """The exchanged state of this process."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        data, names, looks, locks = Data(kernel), Names(kernel), Looks(kernel), Locks(kernel)
        files, self._locks = Files(kernel, names), locks.true
        self._real = self._for_recorder(data, names, looks, files)
        self._raw = {"PLAIN": files.plain, "READING": files.asking}
        self._pairs: list[tuple[Any, str, Any, Any]] = [
            (os, name, kernel.true[name], getattr(looks, name)) for name in _LOOKS if hasattr(os, name)
        ]
        self._pairs += [(os, name, kernel.true[name], getattr(data, name)) for name in _BESIDES]
        self._pairs += [(fcntl, name, true, getattr(locks, name)) for name, true in locks.true.items()]
        self._pairs.append((_posixsubprocess, "fork_exec", _posixsubprocess.fork_exec, Children().fork_exec))
        self._saved: list[tuple[Any, str, Any]] = []
        self._rebinding: Rebinding | None = None
        self._counts: list[int] = []

    @staticmethod
    def _for_recorder(data: Data, names: Names, looks: Looks, files: Files) -> dict[str, Callable[..., Any]]:
        """Name in `real` -> its fake twin."""
        found: dict[str, Callable[..., Any]] = {"io_open": files.io_open}
        for name in (*real.TABLE, "fstat", "lseek"):
            for part in (data, names, looks):
                if hasattr(part, name):
                    found[name] = getattr(part, name)
                    break
            else:
                raise UnsupportedError(
                    f'disk="fake" has no os.{name}',
                    why="the recorder of files knows it, and what is written by it would reach the real disk",
                    fix="report this; it is a defect of the harness",
                )
        found.update({name: getattr(files, name) for name in ("file_write", "file_tell", "file_truncate", "file_close")})
        return found

    def install(self) -> None:
        """Exchange everything; if that fails, nothing stays exchanged."""
        try:
            for module, table in ((real, self._real), (rawfile, self._raw), (paths, {"OUTSIDE": self._kernel.outside.always})):
                for name, value in table.items():
                    self._set(module, name, value)
            self._set(sys, "dont_write_bytecode", True)
            self._counts = [sys.getrefcount(new) for _, _, _, new in self._pairs]
            for module, name, _, stand_in in self._pairs:
                self._set(module, name, stand_in)
            self._rebinding = Rebinding([(true, new) for _, _, true, new in self._pairs], (), self._spared())
            self._rebinding.apply()
        except BaseException:
            self.uninstall()
            raise

    def _set(self, module: Any, name: str, value: Any) -> None:
        self._saved.append((module, name, getattr(module, name)))
        setattr(module, name, value)

    def _spared(self) -> list[object]:
        """Containers that keep the real functions: our own, and the module that the import system uses."""
        kernel, own = self._kernel, (self._saved, self._pairs, self._real, self._raw, self._counts)
        return [kernel.true, self._locks, real.TABLE, vars(posix), *own, *self._saved, *self._pairs]

    def uninstall(self) -> None:
        """Put everything back, and whatever was bound since."""
        if self._rebinding is not None:
            self._rebinding.undo()
            self._rebinding = None
        while self._saved:
            module, name, value = self._saved.pop()
            setattr(module, name, value)
        pairs = zip(self._pairs, self._counts, strict=False)
        late = [(new, true) for (_, _, true, new), count in pairs if sys.getrefcount(new) > count]
        if late:
            Rebinding(late, (), self._spared()).apply()


class Children:
    """The function by which `subprocess` and `multiprocessing` start programs."""

    def fork_exec(self, *args: Any) -> int:
        """Refuse.

        Raises:
            UnsupportedError: always.
        """
        raise UnsupportedError(
            f"a child process {args[0][:1] if args else ''!r} in a fake world",
            why="it sees the real disk and not the fake one",
            fix='use disk="files", and set HOME or XDG_* with world.setenv so that the store comes to lie below world.root',
        )


@contextmanager
def faked(kept: Iterable[str] = ()) -> Iterator[Kernel]:
    """A fake file system under this process until the block ends; `kept` are directories of the harness that stay real.

    Enter `interposed()` before it.

    Raises:
        UnsupportedError: pyfakefs is not installed, or this platform has a function that is not faked.
    """
    kernel = Kernel(kept)
    installation = Installation(kernel)
    installation.install()
    try:
        with guarding(kernel):
            yield kernel
    finally:
        installation.uninstall()
