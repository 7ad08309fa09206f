"""`open` in a fake world gives the normal buffers and text layers of Python, over a raw file of the fake tree.

Rule: a raw file is a `RecordedFile` like any other, so that the recorder need not know; the C part of it is never opened,
and everything that would use it is overridden here.
"""

# ruff: noqa: D102  the operations are those of io, documented there

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pytest_durability.world.disk.fake.data import is_fake
from pytest_durability.world.disk.fake.handles import failed, is_directory
from pytest_durability.world.disk.rawfile import RecordedFile, acceptable, layered, parse

if TYPE_CHECKING:
    from pytest_durability.world.disk.fake.handles import Handle
    from pytest_durability.world.disk.fake.kernel import Kernel
    from pytest_durability.world.disk.fake.names import Names

_BLOCK = 4096
_FLAGS = {
    "r": os.O_RDONLY,
    "w": os.O_WRONLY | os.O_CREAT | os.O_TRUNC,
    "a": os.O_WRONLY | os.O_CREAT | os.O_APPEND,
    "x": os.O_WRONLY | os.O_CREAT | os.O_EXCL,
    "r+": os.O_RDWR,
    "w+": os.O_RDWR | os.O_CREAT | os.O_TRUNC,
    "a+": os.O_RDWR | os.O_CREAT | os.O_APPEND,
    "x+": os.O_RDWR | os.O_CREAT | os.O_EXCL,
}
_MODES = {"r": "rb", "w": "wb", "a": "ab", "x": "xb", "r+": "rb+", "w+": "rb+", "a+": "ab+", "x+": "xb+"}


class FakeFile(RecordedFile):
    """The raw layer of a file of the fake tree; `kind` is its raw mode (`"r"`, `"w+"`, ...)."""

    _number = -1
    _ends = True
    _asks = False

    def __init__(self, kernel: Kernel, number: int, kind: str, name: Any, *, ends: bool, asks: bool = False) -> None:
        # FileIO.__init__ is not called: it would open something real.
        self._kernel, self._number, self._kind = kernel, number, kind
        self.name, self._ends, self._asks = name, ends, asks

    @property
    def closed(self) -> bool:
        return self._number < 0

    @property
    def closefd(self) -> bool:
        return self._ends

    @property
    def mode(self) -> str:  # type: ignore[override]  # FileIO is declared with attributes; there they are properties too
        return _MODES[self._kind]

    @property
    def _blksize(self) -> int:
        return _BLOCK

    def fileno(self) -> int:
        if self._number < 0:
            raise ValueError("I/O operation on closed file")
        return self._number

    def isatty(self) -> bool:
        self.fileno()
        return False

    def readable(self) -> bool:
        self.fileno()
        return self._kind[0] == "r" or "+" in self._kind

    def writable(self) -> bool:
        self.fileno()
        return self._kind != "r"

    def seekable(self) -> bool:
        self.fileno()
        return True

    def _handle(self) -> Handle:
        return self._kernel.handles.get(self.fileno())

    def _reading(self) -> Handle:
        if not self.readable():
            raise io.UnsupportedOperation("File not open for reading")
        if self._asks and self.contents is not None:
            self.contents.admit_read(self)
        return self._handle()

    def read(self, size: int | None = -1) -> bytes:
        if size is None or size < 0:
            return self.readall()
        with self._kernel.lock:
            return self._reading().read(size)

    def readall(self) -> bytes:
        with self._kernel.lock:
            handle = self._reading()
            return handle.read(max(0, handle.size() - handle.position))

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        with self._kernel.lock:
            data = self._reading().read(len(view))
        view[: len(data)] = data
        return len(data)

    def write(self, data: Any) -> int:
        if not self.writable():
            raise io.UnsupportedOperation("File not open for writing")
        return self.put(data) if self.contents is None else self.contents.write_file(self, data)

    def truncate(self, size: int | None = None) -> int:
        if not self.writable():
            raise io.UnsupportedOperation("File not open for writing")
        return self.cut(size) if self.contents is None else self.contents.truncate_file(self, size)

    def close(self) -> None:
        if self._number >= 0:
            if self.contents is None:
                self.end()
            else:
                self.contents.close_file(self)

    def seek(self, pos: int, whence: int = 0) -> int:
        with self._kernel.lock:
            return self._handle().seek(pos, whence)

    def tell(self) -> int:
        return self._handle().position

    def put(self, data: Any) -> int:
        """Write, unrecorded."""
        with self._kernel.lock:
            return self._handle().write(bytes(memoryview(data)))

    def cut(self, size: int | None) -> int:
        """Truncate, unrecorded."""
        with self._kernel.lock:
            handle = self._handle()
            length = handle.position if size is None else size
            handle.resize(length)
            return length

    def end(self) -> None:
        """Close, unrecorded."""
        number, self._number = self._number, -1
        if number >= 0 and self._ends and self._kernel.handles.known(number):
            self._kernel.handles.close(number)

    def __repr__(self) -> str:
        state = "[closed]" if self.closed else f"name={self.name!r} mode={self.mode!r} closefd={self._ends}"
        return f"<_io.FileIO {state}>"


class Files:
    """`open`, and the raw files that the recorder makes and uses."""

    def __init__(self, kernel: Kernel, names: Names) -> None:
        self._kernel, self._names = kernel, names
        self._real_open: Callable[..., Any] = kernel.true["io_open"]

    def plain(self, file: Any, kind: str, closefd: bool = True, opener: Any = None) -> RecordedFile:
        """In the place of the class `RecordedFile`."""
        return self._raw(file, kind, closefd, opener, asks=False)

    def asking(self, file: Any, kind: str, closefd: bool = True, opener: Any = None) -> RecordedFile:
        """In the place of the class `ReadFile`."""
        return self._raw(file, kind, closefd, opener, asks=True)

    def _raw(self, file: Any, kind: str, closefd: bool, opener: Any, *, asks: bool) -> RecordedFile:
        if isinstance(file, int):
            number = file
        elif not closefd:
            raise ValueError("Cannot use closefd=False with file name")
        elif opener is not None:
            number = opener(file, _FLAGS[kind] | os.O_CLOEXEC)
            if not isinstance(number, int):
                raise TypeError("expected integer from opener")
            if number < 0:
                raise ValueError(f"opener returned {number}")
        else:
            number = self._names.open(file, _FLAGS[kind], 0o666)
        if not is_fake(number):
            return RecordedFile(number, kind, closefd)
        handle = self._kernel.handles.get(number)
        if is_directory(handle.file):
            if not isinstance(file, int):
                self._kernel.handles.close(number)
            raise failed(errno.EISDIR, file)
        if "a" in kind:
            handle.seek(0, os.SEEK_END)
        return FakeFile(self._kernel, number, kind, file, ends=closefd, asks=asks)

    def io_open(
        self,
        file: Any,
        mode: Any = "r",
        buffering: Any = -1,
        encoding: Any = None,
        errors: Any = None,
        newline: Any = None,
        closefd: Any = True,
        opener: Any = None,
    ) -> Any:
        """`open` as it is while nothing is recorded, and for files that are only read."""
        parsed = parse(mode)
        if parsed is None or not acceptable(parsed[1], buffering, encoding, errors, newline):
            return self._real_open(os.devnull, mode, buffering, encoding, errors, newline)  # it raises before it opens
        if isinstance(file, int):
            outside = not is_fake(file)
        else:
            full = self._kernel.full(file)
            outside = opener is None and self._kernel.is_real(full, reading=parsed[0] == "r")
            file = os.fspath(file)
        if outside:
            return self._real_open(file, mode, buffering, encoding, errors, newline, closefd, opener)
        raw = self.plain(file, parsed[0], closefd, opener)
        return layered(raw, mode, parsed[1], buffering, encoding, errors, newline)

    def file_write(self, file: Any, data: Any) -> int:
        """The raw write that the recorder carries out."""
        return file.put(data) if isinstance(file, FakeFile) else io.FileIO.write(file, data)

    def file_tell(self, file: Any) -> int:
        """The position that the recorder asks for."""
        return file.tell() if isinstance(file, FakeFile) else io.FileIO.tell(file)

    def file_truncate(self, file: Any, size: int | None) -> int:
        """The raw truncate that the recorder carries out."""
        return file.cut(size) if isinstance(file, FakeFile) else io.FileIO.truncate(file, size)

    def file_close(self, file: Any) -> None:
        """The raw close that the recorder carries out."""
        if isinstance(file, FakeFile):
            file.end()
        else:
            io.FileIO.close(file)
