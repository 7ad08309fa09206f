"""Objects of a dead process are finalised some time, and what their finalisers save must not reach the disk.

Rule: below the shut root nothing changes and nothing raises: writes claim their length, files opened for writing lead to
the null device, and a descriptor number that died is never closed again, whoever owns it now.
"""

# ruff: noqa: D102  the operations are those of os, documented there

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from typing import Any

from pytest_durability.world.disk import real
from pytest_durability.world.disk.image import EMPTY
from pytest_durability.world.disk.paths import Paths, path_at
from pytest_durability.world.disk.rawfile import parse
from pytest_durability.world.disk.tree import Tree

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


class Shut:
    """Takes the place of a recorder while a root is gated shut; other trees are untouched."""

    __slots__ = ("_dead", "_paths", "contents", "names")

    def __init__(self, root: str, dead: set[int]) -> None:
        self._paths = Paths(root, Tree.from_image(EMPTY))
        self._dead = dead
        self.contents = self
        self.names = self

    def covers(self, root: str) -> bool:
        """Whether this resolved root is the one that is shut, or below it."""
        return self._paths.below(root) is not None

    def _inside(self, path: Any, dir_fd: int | None = None, follow: bool = False) -> bool:
        self._paths.forget()
        try:
            return self._paths.locate(path, dir_fd, follow) is not None
        except OSError:
            return True  # the working directory is gone: it was below the root

    def _held(self, fd: Any) -> bool:
        """Whether writing to `fd` must be swallowed: it is dead, closed, or leads below the root."""
        if not isinstance(fd, int):
            fd = fd.fileno()
        if fd < 0 or fd in self._dead:
            return True
        path = path_at(fd)
        return path is not None and self._paths.below(path.removesuffix(" (deleted)")) is not None

    def open(
        self, file: Any, mode: Any, buffering: Any, encoding: Any, errors: Any, newline: Any, closefd: Any, opener: Any
    ) -> Any:
        parsed = parse(mode)
        changes = parsed is not None and parsed[0] != "r"
        if isinstance(file, int):
            if changes and self._held(file):
                file, closefd = os.devnull, True
        elif changes and opener is None and self._inside(file, None, True):
            file = os.devnull
        if file is os.devnull:
            mode = mode.replace("x", "w")
        return real.io_open(file, mode, buffering, encoding, errors, newline, closefd, opener)

    def os_open(self, path: Any, flags: int, mode: int, dir_fd: int | None) -> int:
        if flags & _WRITING and self._inside(path, dir_fd, True):
            return real.open(os.devnull, flags & (os.O_WRONLY | os.O_RDWR | os.O_CLOEXEC))
        return real.open(path, flags, mode, dir_fd=dir_fd)

    def close(self, fd: int) -> None:
        if fd >= 0 and fd not in self._dead:
            real.close(fd)

    def dup(self, fd: int) -> int:
        return real.open(os.devnull, os.O_RDWR) if fd in self._dead else real.dup(fd)

    def dup2(self, fd: int, fd2: int, inheritable: bool = True) -> int:
        return fd2 if fd in self._dead or fd2 in self._dead else real.dup2(fd, fd2, inheritable)

    def write(self, fd: int, data: Any) -> int:
        return memoryview(data).nbytes if self._held(fd) else real.write(fd, data)

    def writev(self, fd: int, buffers: Sequence[Any]) -> int:
        return _length(buffers) if self._held(fd) else real.writev(fd, buffers)

    def pwrite(self, fd: int, data: Any, offset: int) -> int:
        return memoryview(data).nbytes if self._held(fd) else real.pwrite(fd, data, offset)

    def pwritev(self, fd: int, buffers: Sequence[Any], offset: int, flags: int = 0) -> int:
        return _length(buffers) if self._held(fd) else real.pwritev(fd, buffers, offset, flags)

    def sendfile(self, out_fd: int, in_fd: int, offset: int | None, count: int) -> int:
        return 0 if self._held(out_fd) else real.sendfile(out_fd, in_fd, offset, count)

    def copy_file_range(self, src: int, dst: int, count: int, offset_src: int | None, offset_dst: int | None) -> int:
        return 0 if self._held(dst) else real.copy_file_range(src, dst, count, offset_src, offset_dst)

    def splice(self, src: int, dst: int, count: int, offset_src: int | None, offset_dst: int | None, flags: int) -> int:
        return 0 if self._held(dst) else real.splice(src, dst, count, offset_src, offset_dst, flags)

    def fsync(self, call: Callable[[Any], None], fd: Any) -> None:
        if not self._held(fd):
            call(fd)

    def sync(self) -> None:
        """Nothing: whatever there is to flush is not ours."""

    def ftruncate(self, fd: int, length: int) -> None:
        if not self._held(fd):
            real.ftruncate(fd, length)

    def truncate(self, path: Any, length: int) -> None:
        if not (self._held(path) if isinstance(path, int) else self._inside(path, None, True)):
            real.truncate(path, length)

    def posix_fallocate(self, fd: int, offset: int, length: int) -> None:
        if not self._held(fd):
            real.posix_fallocate(fd, offset, length)

    def mkdir(self, path: Any, mode: int, dir_fd: int | None) -> None:
        if not self._inside(path, dir_fd):
            real.mkdir(path, mode, dir_fd=dir_fd)

    def mknod(self, path: Any, mode: int, device: int, dir_fd: int | None) -> None:
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG) or not self._inside(path, dir_fd):
            real.mknod(path, mode, device, dir_fd=dir_fd)

    def symlink(self, src: Any, dst: Any, target_is_directory: bool, dir_fd: int | None) -> None:
        if not self._inside(dst, dir_fd):
            real.symlink(src, dst, target_is_directory, dir_fd=dir_fd)

    def unlink(self, call: Callable[..., None], path: Any, dir_fd: int | None) -> None:
        if not self._inside(path, dir_fd):
            call(path, dir_fd=dir_fd)

    def rmdir(self, path: Any, dir_fd: int | None) -> None:
        if not self._inside(path, dir_fd):
            real.rmdir(path, dir_fd=dir_fd)

    def link(self, src: Any, dst: Any, src_dir_fd: int | None, dst_dir_fd: int | None, follow_symlinks: bool) -> None:
        if not self._inside(dst, dst_dir_fd):
            real.link(src, dst, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd, follow_symlinks=follow_symlinks)

    def rename(self, call: Callable[..., None], src: Any, dst: Any, src_dir_fd: int | None, dst_dir_fd: int | None) -> None:
        if not self._inside(src, src_dir_fd) and not self._inside(dst, dst_dir_fd):
            call(src, dst, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)


def _length(buffers: Sequence[Any]) -> int:
    return sum(memoryview(buffer).nbytes for buffer in buffers)
