"""Everything that changes the bytes of a file below the root, or makes them durable, is carried out and recorded here.

Rule: the real operation and its entry in the history are one step under the recorder's lock, and what is recorded is
what the kernel took: the bytes that were written, at the place where they went. fsync is recorded and not run, because
the root is thrown away.
"""

# ruff: noqa: D102  the operations are those of os, documented there

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pytest_durability.world.disk import effects as fx
from pytest_durability.world.disk import real
from pytest_durability.world.disk.descriptors import Descriptor
from pytest_durability.world.disk.gate import Mark, Short
from pytest_durability.world.disk.rawfile import RecordedFile

if TYPE_CHECKING:
    from pytest_durability.world.disk.recorder import Recorder

_SYNCING = getattr(os, "RWF_DSYNC", 0) | getattr(os, "RWF_SYNC", 0)
_APPENDING = getattr(os, "RWF_APPEND", 0)


class Contents:
    """The operations on open files, for one recorder."""

    __slots__ = ("_descriptors", "_recorder")

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._descriptors = recorder.descriptors

    def write_file(self, file: RecordedFile, data: Any) -> int:
        """The raw write of a file opened with `open`."""
        recorder, descriptor = self._recorder, file.descriptor
        with recorder.lock:
            if not recorder.running:
                return len(data) if recorder.shut() else real.file_write(file, data)
            if descriptor is None or descriptor.ino is None:
                return real.file_write(file, data)
            part, note = _payload(data), ""
            if recorder.gate is not None:
                part, note = self._admitted(descriptor.ino, part)
            try:
                written = real.file_write(file, part)
            except OSError as error:
                recorder.failed("write", recorder.tree.path_of(descriptor.ino), error, len(part))
                raise
            self._stored(descriptor, part, written, real.file_tell(file) - written, note)
            return written

    def admit_read(self, file: RecordedFile) -> None:
        """Let a raw read of a file opened with `open` happen, unless the gate strikes it."""
        recorder, descriptor = self._recorder, file.descriptor
        if recorder.running and descriptor is not None and descriptor.ino is not None:
            with recorder.lock:
                recorder.ask_read("read", recorder.tree.path_of(descriptor.ino))

    def truncate_file(self, file: RecordedFile, size: int | None) -> int:
        """The raw truncate of a file opened with `open`."""
        recorder, descriptor = self._recorder, file.descriptor
        with recorder.lock:
            if not recorder.running:
                return size or 0 if recorder.shut() else real.file_truncate(file, size)
            if descriptor is None or descriptor.ino is None:
                return real.file_truncate(file, size)
            length = real.file_tell(file) if size is None else size
            self._resize(descriptor.ino, length, lambda: real.file_truncate(file, length))
            return length

    def close_file(self, file: RecordedFile) -> None:
        """The raw close of a file opened with `open`."""
        recorder = self._recorder
        with recorder.lock:
            fd = file.fileno()
            last = self._descriptors.release(fd) if file.closefd else None
            real.file_close(file)
            if recorder.running:
                self._closed(last)

    def _closed(self, last: Descriptor | None) -> None:
        if last is not None and last.writable and last.ino is not None:
            self._recorder.note("close", last.ino, fx.close_of(last.ino), "", 5)

    def close(self, fd: int) -> None:
        if fd not in self._descriptors.open:
            real.close(fd)
            return
        with self._recorder.lock:
            last = self._descriptors.release(fd)
            real.close(fd)
            self._closed(last)

    def dup(self, fd: int) -> int:
        copy = real.dup(fd)
        self._descriptors.share(fd, copy)
        return copy

    def dup2(self, fd: int, fd2: int, inheritable: bool = True) -> int:
        descriptors = self._descriptors
        if fd == fd2:
            return real.dup2(fd, fd2, inheritable)
        with self._recorder.lock:
            owner = descriptors.owned.get(fd2)
            copy = real.dup2(fd, fd2, inheritable)
            self._closed(descriptors.replaced(fd2))
            descriptors.share(fd, copy)
            file = None if owner is None else owner()
            if file is not None:
                file.descriptor = descriptors.open.get(fd2)
            return copy

    def write(self, fd: int, data: Any) -> int:
        ino = self._descriptors.ino_of(fd)
        if ino is None:
            return real.write(fd, data)
        recorder = self._recorder
        with recorder.lock:
            descriptor, part, note = self._descriptors.describe(fd, ino), _payload(data), ""
            if recorder.gate is not None:
                part, note = self._admitted(ino, part)
            try:
                written = real.write(fd, part)
            except OSError as error:
                recorder.failed("write", recorder.tree.path_of(ino), error, len(part))
                raise
            self._stored(descriptor, part, written, real.lseek(fd, 0, os.SEEK_CUR) - written, note)
            return written

    def writev(self, fd: int, buffers: Sequence[Any]) -> int:
        ino = self._descriptors.ino_of(fd)
        if ino is None:
            return real.writev(fd, buffers)
        with self._recorder.lock:
            data = b"".join(buffers)

            def act(part: bytes) -> int:
                return real.writev(fd, buffers) if len(part) == len(data) else real.write(fd, part)

            return self._store(fd, self._descriptors.describe(fd, ino), data, act)

    def pwrite(self, fd: int, data: Any, offset: int) -> int:
        ino = self._descriptors.ino_of(fd)
        if ino is None:
            return real.pwrite(fd, data, offset)
        with self._recorder.lock:
            descriptor = self._descriptors.describe(fd, ino)
            place = real.fstat(fd).st_size if descriptor.append else offset  # Linux: pwrite appends with O_APPEND
            return self._store(fd, descriptor, _payload(data), lambda part: real.pwrite(fd, part, offset), place)

    def pwritev(self, fd: int, buffers: Sequence[Any], offset: int, flags: int = 0) -> int:
        ino = self._descriptors.ino_of(fd)
        if ino is None:
            return real.pwritev(fd, buffers, offset, flags)
        with self._recorder.lock:
            descriptor, data = self._descriptors.describe(fd, ino), b"".join(buffers)
            appends = descriptor.append or bool(flags & _APPENDING)
            place = real.fstat(fd).st_size if appends else None if offset == -1 else offset

            def act(part: bytes) -> int:
                return real.pwritev(fd, buffers if len(part) == len(data) else [part], offset, flags)

            written = self._store(fd, descriptor, data, act, place)
            if flags & _SYNCING and not descriptor.sync:
                self._recorder.note("fsync", ino, fx.sync_of(ino))
            return written

    def _store(self, fd: int, descriptor: Descriptor, data: bytes, act: Callable[[bytes], int], place: int | None = None) -> int:
        """Write `data` by `act`; `place` is the offset, None: it ends where the file position is afterwards."""
        recorder, ino, note = self._recorder, descriptor.ino, ""
        assert ino is not None
        if recorder.gate is not None:
            data, note = self._admitted(ino, data)
        try:
            written = act(data)
        except OSError as error:
            recorder.failed("write", recorder.tree.path_of(ino), error, len(data))
            raise
        at = real.lseek(fd, 0, os.SEEK_CUR) - written if place is None else place
        self._stored(descriptor, data, written, at, note)
        return written

    def _admitted(self, ino: int, data: bytes) -> tuple[bytes, str]:
        """Ask the gate about a write: what is to be written, and the note for the op."""
        decision = self._recorder.ask("write", self._recorder.tree.path_of(ino), len(data))
        if type(decision) is Short:
            return data[: decision.keep], ""
        return data, decision.note if type(decision) is Mark else ""

    def _stored(self, descriptor: Descriptor, data: bytes, written: int, offset: int, note: str) -> None:
        """Record what a write stored; a write that stored nothing is no operation."""
        ino = descriptor.ino
        if written and ino is not None:
            kept = data if written == len(data) else data[:written]
            self._recorder.record("write", ino, fx.written(ino, offset, kept, descriptor.append), written, note, 5)
            if descriptor.sync:
                self._recorder.note("fsync", ino, fx.sync_of(ino))

    def _transfer(self, fd: int, ino: int, count: int, act: Callable[[int], int], place: int | None) -> int:
        """Let the kernel copy up to `count` bytes into `fd` by `act`, then read back what arrived."""
        recorder, note = self._recorder, ""
        descriptor = self._descriptors.describe(fd, ino)
        if recorder.gate is not None:
            decision = recorder.ask("write", recorder.tree.path_of(ino), count)
            if type(decision) is Short:
                count = min(count, decision.keep)
            elif type(decision) is Mark:
                note = decision.note
        try:
            written = act(count)
        except OSError as error:
            recorder.failed("write", recorder.tree.path_of(ino), error, count)
            raise
        if written:
            offset = real.lseek(fd, 0, os.SEEK_CUR) - written if place is None else place
            self._stored(descriptor, read_back(fd, offset, written), written, offset, note)
        return written

    def sendfile(self, out_fd: int, in_fd: int, offset: int | None, count: int) -> int:
        ino = self._descriptors.ino_of(out_fd)
        if ino is None:
            return real.sendfile(out_fd, in_fd, offset, count)
        with self._recorder.lock:
            room = self._incoming(in_fd, offset, count)
            return self._transfer(out_fd, ino, room, lambda n: real.sendfile(out_fd, in_fd, offset, n), None)

    def copy_file_range(self, src: int, dst: int, count: int, offset_src: int | None, offset_dst: int | None) -> int:
        ino = self._descriptors.ino_of(dst)
        if ino is None:
            return real.copy_file_range(src, dst, count, offset_src, offset_dst)
        with self._recorder.lock:
            room = self._incoming(src, offset_src, count)
            return self._transfer(dst, ino, room, lambda n: real.copy_file_range(src, dst, n, offset_src, offset_dst), offset_dst)

    def splice(self, src: int, dst: int, count: int, offset_src: int | None, offset_dst: int | None, flags: int) -> int:
        ino = self._descriptors.ino_of(dst)
        if ino is None:
            return real.splice(src, dst, count, offset_src, offset_dst, flags)
        with self._recorder.lock:
            return self._transfer(dst, ino, count, lambda n: real.splice(src, dst, n, offset_src, offset_dst, flags), offset_dst)

    def _incoming(self, fd: int, offset: int | None, count: int) -> int:
        """How many of `count` bytes the source can give, so that a gate is told the size of the write and not of the buffer."""
        if self._recorder.gate is None:
            return count
        try:
            start = real.lseek(fd, 0, os.SEEK_CUR) if offset is None else offset
            return max(1, min(count, real.fstat(fd).st_size - start)) if count > 0 else count
        except OSError:
            return count

    def fsync(self, call: Callable[[Any], None], fd: Any) -> None:
        """Fsync and fdatasync: `call` is the real one, for descriptors of other trees."""
        number = fd if type(fd) is int else fd.fileno() if hasattr(fd, "fileno") else fd
        ino = self._descriptors.ino_of(number)
        if ino is None:
            call(fd)
            return
        recorder = self._recorder
        with recorder.lock:
            directory = number not in self._descriptors.owned and recorder.tree.is_dir(ino)
            kind, note = ("fsync-dir" if directory else "fsync"), ""
            if recorder.gate is not None:
                note = recorder.ask_note(kind, recorder.tree.path_of(ino))
            recorder.note(kind, ino, fx.SyncDir(ino) if directory else fx.sync_of(ino), note, 4)
        return

    def sync(self) -> None:
        recorder = self._recorder
        with recorder.lock:
            note = recorder.ask_note("sync", "")
            recorder.note("sync", fx.ROOT, fx.SyncAll(), note)

    def ftruncate(self, fd: int, length: int) -> None:
        ino = self._descriptors.ino_of(fd)
        if ino is None:
            real.ftruncate(fd, length)
            return
        with self._recorder.lock:
            self._resize(ino, length, lambda: real.ftruncate(fd, length))

    def truncate(self, path: Any, length: int) -> None:
        recorder = self._recorder
        if isinstance(path, int):
            self.ftruncate(path, length)
            return
        relative = recorder.paths.locate(path, follow=True)
        ino = recorder.tree.lookup(relative) if relative else None
        if ino is None:
            real.truncate(path, length)
            return
        with recorder.lock:
            self._resize(ino, length, lambda: real.truncate(path, length), path)

    def posix_fallocate(self, fd: int, offset: int, length: int) -> None:
        ino = self._descriptors.ino_of(fd)
        if ino is None:
            real.posix_fallocate(fd, offset, length)
            return
        with self._recorder.lock:
            size = max(real.fstat(fd).st_size, offset + length)
            grows = size > real.fstat(fd).st_size
            self._resize(ino, size, lambda: real.posix_fallocate(fd, offset, length), changes=grows)

    def _resize(self, ino: int, size: int, act: Callable[[], Any], *names: Any, changes: bool = True) -> None:
        recorder, note = self._recorder, ""
        if recorder.gate is not None:
            note = recorder.ask_note("truncate", recorder.tree.path_of(ino), size, *names)
        try:
            act()
        except OSError as error:
            recorder.failed("truncate", recorder.tree.path_of(ino), error, size)
            raise
        if changes:
            recorder.record("truncate", ino, fx.Truncate(ino, size), size, note)


def _payload(data: Any) -> bytes:
    if type(data) is bytes:
        return data
    return data.tobytes() if type(data) is memoryview else memoryview(data).tobytes()


def read_back(fd: int, offset: int, count: int) -> bytes:
    """What stands in a file, also if `fd` is open for writing only."""
    with suppress(OSError):
        return real.pread(fd, count, offset)
    again = real.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return real.pread(again, count, offset)
    finally:
        real.close(again)
