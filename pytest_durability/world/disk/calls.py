"""While file functions are interposed, these stand in their places for the whole process.

Rule: without a handler a call goes straight to the real function; with one it is the handler's. A stand-in has the
name, the arguments and the text of what it replaces, and is a bound method, because (unlike a function, like a builtin)
that stays as it is when a class holds it.
"""

# ruff: noqa: D102  `_dress` gives the stand-ins the texts of os

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pytest_durability.world.disk import real

if TYPE_CHECKING:
    from pytest_durability.world.disk.recorder import Recorder
    from pytest_durability.world.disk.shut import Shut
    from pytest_durability.world.disk.sqlite.tap import Tap

_BINARY_LINES = "line buffering (buffering=1) isn't supported in binary mode, the default buffer size will be used"
_LINUX_ONLY = ("sendfile", "copy_file_range", "splice")


class Calls:
    """The stand-ins. `handler` is who gets the calls; `dead` are descriptor numbers of processes that were killed.

    `reader` gets those calls that only read; there is one only while faults can strike them. `sqlite` sees what SQLite does;
    where there is none, `sqlite_unseen` says why.
    """

    def __init__(self) -> None:
        self.handler: Recorder | Shut | None = None
        self.reader: Recorder | None = None
        self.installed = 0
        self.dead: set[int] = set()
        self.sqlite: Tap | None = None
        self.sqlite_unseen = ""

    def table(self) -> dict[str, Callable[..., Any]]:
        """Name in `os` -> stand-in, one object each; `io_open` is the stand-in of `builtins.open`."""
        names = [name for name in real.TABLE if name not in _LINUX_ONLY or sys.platform == "linux"]
        return {"io_open": self.io_open, **{name: getattr(self, f"os_{name}") for name in names}}

    def io_open(
        self,
        file: Any,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        closefd: bool = True,
        opener: Callable[[str, int], int] | None = None,
    ) -> Any:
        if buffering == 1 and type(mode) is str and "b" in mode:
            warnings.warn(_BINARY_LINES, RuntimeWarning, stacklevel=2)  # here, so that it names the caller and not us
            buffering = -1
        handler = self.handler
        if handler is None:
            return real.io_open(file, mode, buffering, encoding, errors, newline, closefd, opener)
        return handler.names.open(file, mode, buffering, encoding, errors, newline, closefd, opener)

    def os_open(self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        handler = self.handler
        if handler is None:
            return real.open(path, flags, mode, dir_fd=dir_fd)
        return handler.names.os_open(path, flags, mode, dir_fd)

    def os_close(self, fd: int) -> None:
        handler = self.handler
        return real.close(fd) if handler is None else handler.contents.close(fd)

    def os_dup(self, fd: int, /) -> int:
        handler = self.handler
        return real.dup(fd) if handler is None else handler.contents.dup(fd)

    def os_dup2(self, fd: int, fd2: int, inheritable: bool = True) -> int:
        handler = self.handler
        return real.dup2(fd, fd2, inheritable) if handler is None else handler.contents.dup2(fd, fd2, inheritable)

    def os_write(self, fd: int, data: Any, /) -> int:
        handler = self.handler
        return real.write(fd, data) if handler is None else handler.contents.write(fd, data)

    def os_read(self, fd: int, length: int, /) -> bytes:
        reader = self.reader
        return real.read(fd, length) if reader is None else reader.reads.read(fd, length)

    def os_readv(self, fd: int, buffers: Sequence[Any], /) -> int:
        reader = self.reader
        return real.readv(fd, buffers) if reader is None else reader.reads.readv(fd, buffers)

    def os_pread(self, fd: int, length: int, offset: int, /) -> bytes:
        reader = self.reader
        return real.pread(fd, length, offset) if reader is None else reader.reads.pread(fd, length, offset)

    def os_preadv(self, fd: int, buffers: Sequence[Any], offset: int, flags: int = 0, /) -> int:
        reader = self.reader
        if reader is None:
            return real.preadv(fd, buffers, offset, flags)
        return reader.reads.preadv(fd, buffers, offset, flags)

    def os_listdir(self, path: Any = None) -> list[Any]:
        reader = self.reader
        return real.listdir(path) if reader is None else reader.reads.listdir(path)

    def os_scandir(self, path: Any = None) -> Any:
        reader = self.reader
        return real.scandir(path) if reader is None else reader.reads.scandir(path)

    def os_writev(self, fd: int, buffers: Sequence[Any], /) -> int:
        handler = self.handler
        return real.writev(fd, buffers) if handler is None else handler.contents.writev(fd, buffers)

    def os_pwrite(self, fd: int, buffer: Any, offset: int, /) -> int:
        handler = self.handler
        return real.pwrite(fd, buffer, offset) if handler is None else handler.contents.pwrite(fd, buffer, offset)

    def os_pwritev(self, fd: int, buffers: Sequence[Any], offset: int, flags: int = 0, /) -> int:
        handler = self.handler
        if handler is None:
            return real.pwritev(fd, buffers, offset, flags)
        return handler.contents.pwritev(fd, buffers, offset, flags)

    def os_sendfile(self, out_fd: int, in_fd: int, offset: int | None, count: int) -> int:
        handler = self.handler
        if handler is None:
            return real.sendfile(out_fd, in_fd, offset, count)
        return handler.contents.sendfile(out_fd, in_fd, offset, count)

    def os_copy_file_range(
        self, src: int, dst: int, count: int, offset_src: int | None = None, offset_dst: int | None = None
    ) -> int:
        handler = self.handler
        if handler is None:
            return real.copy_file_range(src, dst, count, offset_src, offset_dst)
        return handler.contents.copy_file_range(src, dst, count, offset_src, offset_dst)

    def os_splice(
        self, src: int, dst: int, count: int, offset_src: int | None = None, offset_dst: int | None = None, flags: int = 0
    ) -> int:
        handler = self.handler
        if handler is None:
            return real.splice(src, dst, count, offset_src, offset_dst, flags)
        return handler.contents.splice(src, dst, count, offset_src, offset_dst, flags)

    def os_fsync(self, fd: Any) -> None:
        handler = self.handler
        return real.fsync(fd) if handler is None else handler.contents.fsync(real.fsync, fd)

    def os_fdatasync(self, fd: Any) -> None:
        handler = self.handler
        return real.fdatasync(fd) if handler is None else handler.contents.fsync(real.fdatasync, fd)

    def os_sync(self) -> None:
        handler = self.handler
        return real.sync() if handler is None else handler.contents.sync()

    def os_ftruncate(self, fd: int, length: int, /) -> None:
        handler = self.handler
        return real.ftruncate(fd, length) if handler is None else handler.contents.ftruncate(fd, length)

    def os_truncate(self, path: Any, length: int) -> None:
        handler = self.handler
        return real.truncate(path, length) if handler is None else handler.contents.truncate(path, length)

    def os_posix_fallocate(self, fd: int, offset: int, length: int, /) -> None:
        handler = self.handler
        if handler is None:
            return real.posix_fallocate(fd, offset, length)
        return handler.contents.posix_fallocate(fd, offset, length)

    def os_mkdir(self, path: Any, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        handler = self.handler
        return real.mkdir(path, mode, dir_fd=dir_fd) if handler is None else handler.names.mkdir(path, mode, dir_fd)

    def os_mknod(self, path: Any, mode: int = 0o600, device: int = 0, *, dir_fd: int | None = None) -> None:
        handler = self.handler
        if handler is None:
            return real.mknod(path, mode, device, dir_fd=dir_fd)
        return handler.names.mknod(path, mode, device, dir_fd)

    def os_symlink(self, src: Any, dst: Any, target_is_directory: bool = False, *, dir_fd: int | None = None) -> None:
        handler = self.handler
        if handler is None:
            return real.symlink(src, dst, target_is_directory, dir_fd=dir_fd)
        return handler.names.symlink(src, dst, target_is_directory, dir_fd)

    def os_link(
        self,
        src: Any,
        dst: Any,
        *,
        src_dir_fd: int | None = None,
        dst_dir_fd: int | None = None,
        follow_symlinks: bool = True,
    ) -> None:
        handler = self.handler
        if handler is None:
            return real.link(src, dst, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd, follow_symlinks=follow_symlinks)
        return handler.names.link(src, dst, src_dir_fd, dst_dir_fd, follow_symlinks)

    def os_unlink(self, path: Any, *, dir_fd: int | None = None) -> None:
        handler = self.handler
        return real.unlink(path, dir_fd=dir_fd) if handler is None else handler.names.unlink(real.unlink, path, dir_fd)

    def os_remove(self, path: Any, *, dir_fd: int | None = None) -> None:
        handler = self.handler
        return real.remove(path, dir_fd=dir_fd) if handler is None else handler.names.unlink(real.remove, path, dir_fd)

    def os_rmdir(self, path: Any, *, dir_fd: int | None = None) -> None:
        handler = self.handler
        return real.rmdir(path, dir_fd=dir_fd) if handler is None else handler.names.rmdir(path, dir_fd)

    def os_rename(self, src: Any, dst: Any, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None) -> None:
        handler = self.handler
        if handler is None:
            return real.rename(src, dst, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
        return handler.names.rename(real.rename, src, dst, src_dir_fd, dst_dir_fd)

    def os_replace(self, src: Any, dst: Any, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None) -> None:
        handler = self.handler
        if handler is None:
            return real.replace(src, dst, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
        return handler.names.rename(real.replace, src, dst, src_dir_fd, dst_dir_fd)


def _dress() -> None:
    """Give the stand-ins the names and texts of what they stand for."""
    for name, function in {"io_open": real.io_open, **real.TABLE}.items():
        stand_in = vars(Calls)["io_open" if name == "io_open" else f"os_{name}"]
        stand_in.__name__ = stand_in.__qualname__ = function.__name__
        stand_in.__doc__ = function.__doc__


_dress()

CALLS = Calls()
"""The stand-ins of this process."""
