"""The functions of `os` that take a descriptor, for those that are fake; any other number is the real kernel's.

Rule: a fake number never reaches the real kernel, and a real one never the fake tree; the two meet only where bytes are
copied from one to the other.
"""

# ruff: noqa: D102  the operations are those of os, documented there

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pytest_durability.errors import UnsupportedError
from pytest_durability.world.disk.fake.handles import FIRST, Handle, failed, is_directory, resize

if TYPE_CHECKING:
    from pytest_durability.world.disk.fake.kernel import Kernel

_APPENDING = getattr(os, "RWF_APPEND", 0)


def is_fake(fd: Any) -> bool:
    """Whether a descriptor argument (a number, or an object with `fileno`) is one of ours."""
    if type(fd) is not int:
        fd = fd.fileno() if hasattr(fd, "fileno") else fd
    return isinstance(fd, int) and fd >= FIRST


def number_of(fd: Any) -> int:
    """The number behind a descriptor argument."""
    return fd if type(fd) is int else int(fd.fileno()) if hasattr(fd, "fileno") else int(fd)


class Data:
    """Operations on open files."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel, self._true = kernel, kernel.true

    def _file(self, fd: Any) -> Handle:
        handle = self._kernel.handles.get(number_of(fd))
        if is_directory(handle.file):
            raise failed(errno.EISDIR)
        return handle

    def close(self, fd: int) -> None:
        if not is_fake(fd):
            self._true["close"](fd)
            return
        with self._kernel.lock:
            self._kernel.handles.close(fd)

    def dup(self, fd: int, /) -> int:
        if not is_fake(fd):
            return int(self._true["dup"](fd))
        with self._kernel.lock:
            return self._kernel.handles.add(self._kernel.handles.get(fd))

    def dup2(self, fd: int, fd2: int, inheritable: bool = True) -> int:
        if not is_fake(fd) and not is_fake(fd2):
            return int(self._true["dup2"](fd, fd2, inheritable))
        if not (is_fake(fd) and is_fake(fd2)):
            raise UnsupportedError(
                f"os.dup2({fd}, {fd2}) joins a fake file with a real descriptor",
                why="what is written to one of them cannot reach the other",
                fix='use disk="files" and world.setenv("HOME", str(world.root))',
            )
        handles = self._kernel.handles
        with self._kernel.lock:
            handle = handles.get(fd)
            if fd != fd2:
                if handles.known(fd2):
                    handles.close(fd2)
                handles.add(handle, fd2)
        return fd2

    def read(self, fd: int, length: int, /) -> bytes:
        if not is_fake(fd):
            return bytes(self._true["read"](fd, length))
        with self._kernel.lock:
            return self._file(fd).read(length)

    def readv(self, fd: int, buffers: Sequence[Any], /) -> int:
        if not is_fake(fd):
            return int(self._true["readv"](fd, buffers))
        with self._kernel.lock:
            return _spread(self._file(fd).read(sum(memoryview(one).nbytes for one in buffers)), buffers)

    def pread(self, fd: int, length: int, offset: int, /) -> bytes:
        if not is_fake(fd):
            return bytes(self._true["pread"](fd, length, offset))
        with self._kernel.lock:
            return self._file(fd).content()[offset : offset + length]

    def preadv(self, fd: int, buffers: Sequence[Any], offset: int, flags: int = 0, /) -> int:
        if not is_fake(fd):
            return int(self._true["preadv"](fd, buffers, offset, flags))
        return _spread(self.pread(fd, sum(memoryview(one).nbytes for one in buffers), offset), buffers)

    def write(self, fd: int, data: Any, /) -> int:
        if not is_fake(fd):
            return int(self._true["write"](fd, data))
        with self._kernel.lock:
            return self._kernel.handles.get(fd).write(bytes(memoryview(data)))

    def writev(self, fd: int, buffers: Sequence[Any], /) -> int:
        if not is_fake(fd):
            return int(self._true["writev"](fd, buffers))
        return self.write(fd, b"".join(buffers))

    def pwrite(self, fd: int, data: Any, offset: int, /) -> int:
        if not is_fake(fd):
            return int(self._true["pwrite"](fd, data, offset))
        with self._kernel.lock:
            handle, part = self._kernel.handles.get(fd), bytes(memoryview(data))
            handle.write_at(part, handle.size() if handle.flags & os.O_APPEND else offset)
            return len(part)

    def pwritev(self, fd: int, buffers: Sequence[Any], offset: int, flags: int = 0, /) -> int:
        if not is_fake(fd):
            return int(self._true["pwritev"](fd, buffers, offset, flags))
        if offset == -1:
            return self.writev(fd, buffers)
        end = self._kernel.handles.get(fd).size()
        return self.pwrite(fd, b"".join(buffers), end if flags & _APPENDING else offset)

    def lseek(self, fd: int, position: int, whence: int, /) -> int:
        if not is_fake(fd):
            return int(self._true["lseek"](fd, position, whence))
        with self._kernel.lock:
            return self._kernel.handles.get(fd).seek(position, whence)

    def fstat(self, fd: int) -> os.stat_result:
        if not is_fake(fd):
            return self._true["fstat"](fd)  # type: ignore[no-any-return]
        return self._kernel.status(self._kernel.handles.get(fd).file)

    def fsync(self, fd: Any) -> None:
        if not is_fake(fd):
            self._true["fsync"](fd)
            return
        self._kernel.handles.get(number_of(fd))

    def fdatasync(self, fd: Any) -> None:
        if not is_fake(fd):
            self._true["fdatasync"](fd)
            return
        self._kernel.handles.get(number_of(fd))

    def sync(self) -> None:
        """Nothing: the tree is in memory."""

    def ftruncate(self, fd: int, length: int, /) -> None:
        if not is_fake(fd):
            self._true["ftruncate"](fd, length)
            return
        with self._kernel.lock:
            self._kernel.handles.get(fd).resize(length)

    def posix_fallocate(self, fd: int, offset: int, length: int, /) -> None:
        if not is_fake(fd):
            self._true["posix_fallocate"](fd, offset, length)
            return
        with self._kernel.lock:
            handle = self._file(fd)
            if not handle.may_write():
                raise failed(errno.EBADF)
            if offset < 0 or length <= 0:
                raise failed(errno.EINVAL)
            resize(handle.file, max(handle.size(), offset + length))

    def sendfile(self, out_fd: int, in_fd: int, offset: int | None, count: int) -> int:
        if not is_fake(out_fd) and not is_fake(in_fd):
            return int(self._true["sendfile"](out_fd, in_fd, offset, count))
        return self._copy(in_fd, out_fd, count, offset, None)

    def copy_file_range(
        self, src: int, dst: int, count: int, offset_src: int | None = None, offset_dst: int | None = None
    ) -> int:
        if not is_fake(src) and not is_fake(dst):
            return int(self._true["copy_file_range"](src, dst, count, offset_src, offset_dst))
        return self._copy(src, dst, count, offset_src, offset_dst)

    def splice(
        self, src: int, dst: int, count: int, offset_src: int | None = None, offset_dst: int | None = None, flags: int = 0
    ) -> int:
        if not is_fake(src) and not is_fake(dst):
            return int(self._true["splice"](src, dst, count, offset_src, offset_dst, flags))
        return self._copy(src, dst, count, offset_src, offset_dst)

    def _copy(self, src: int, dst: int, count: int, offset_src: int | None, offset_dst: int | None) -> int:
        """Copy bytes between two descriptors, of which one may be real."""
        with self._kernel.lock:
            data = self.read(src, count) if offset_src is None else self.pread(src, count, offset_src)
            return self.write(dst, data) if offset_dst is None else self.pwrite(dst, data, offset_dst)


def _spread(data: bytes, buffers: Sequence[Any]) -> int:
    """Fill buffers one after the other; the number of bytes."""
    done = 0
    for buffer in buffers:
        view = memoryview(buffer).cast("B")
        part = data[done : done + len(view)]
        view[: len(part)] = part
        done += len(part)
    return done
