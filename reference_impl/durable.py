"""The only code here that writes files, so that "durable" means one thing and is right in one place.

Rule: a call returns when its effect would survive a power cut; a call that raises left the old content or the new one,
never a mixture. A failed sync is never asked again and believed: the caller reads the file before it writes again.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Literal

from reference_impl import kernel_lock

Level = Literal["process-kill", "power-loss"]

_BINARY = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
_APPEND = os.O_WRONLY | os.O_APPEND | _BINARY
_FIRST_PAUSE, _LONGEST_PAUSE = 0.001, 0.05
TEMPORARY = ".tmp"


class StorageError(Exception):
    """The system refused an operation on a file; the text says which file and why."""

    def __init__(self, doing: str, path: str, reason: object) -> None:
        super().__init__(f"cannot {doing} {path}: {reason}")
        self.path = path


class TornAppendError(StorageError):
    """An append failed half-way and could not be taken back, so the end of the file is unknown."""


class LockedError(StorageError):
    """Somebody else held the lock for longer than the caller was willing to wait."""


def is_temporary(name: str) -> bool:
    """Whether a file name is one that `replace` uses before the rename; what a crash leaves of these is garbage."""
    return name.startswith(".") and name.endswith(TEMPORARY)


@dataclass(frozen=True, slots=True)
class Durable:
    """File operations at one sync level.

    `level`: what an acknowledgement survives. "power-loss" syncs files and directories; "process-kill" leaves that to
    the kernel. `patience`: seconds to wait for a lock.
    """

    level: Level = "power-loss"
    patience: float = 10.0

    def read(self, path: str) -> bytes | None:
        """The whole content; None if there is no such file, and only then.

        Raises:
            StorageError: any other failure. Taking it for "empty" would let the next write destroy the file.
        """
        try:
            with open(path, "rb", buffering=0) as file:
                return file.read()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageError("read", path, error) from error

    def names(self, folder: str) -> list[str] | None:
        """The names in a directory, sorted; None if there is no such directory.

        Raises:
            StorageError: any other failure.
        """
        try:
            return sorted(os.listdir(folder))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageError("list", folder, error) from error

    def append(self, path: str, data: bytes) -> None:
        """Add `data` at the end of a file, which is created if it is absent.

        An empty file's name is synced like a new one's: whoever made it may have failed, or been killed, before that.

        Raises:
            StorageError: nothing was added.
            TornAppendError: some of it may be there, and could not be taken back.
        """
        fd = self._open_for_append(path)
        try:
            length = os.fstat(fd).st_size
            try:
                _write_all(fd, data)
                self._sync(fd)
                if not length:
                    self._sync_folder(_folder_of(path))
            except OSError as error:
                self._take_back(fd, length, path, error)
                raise StorageError("append to", path, error) from error
        finally:
            os.close(fd)

    def _open_for_append(self, path: str) -> int:
        try:
            return os.open(path, _APPEND | os.O_CREAT, 0o666)
        except OSError as error:
            raise StorageError("open", path, error) from error

    def _take_back(self, fd: int, length: int, path: str, why: OSError) -> None:
        try:
            os.ftruncate(fd, length)
            self._sync(fd)
        except OSError as error:
            raise TornAppendError("append to", path, f"{why}, nor restore its end: {error}") from why

    def replace(self, path: str, data: bytes) -> None:
        """Give a file a new content, all at once: every crash leaves the whole old or the whole new one.

        The temporary file is in the same directory, because a rename is atomic only within one file system, and is
        synced before the rename, because otherwise the new name may outlive the power cut without its bytes.

        Raises:
            StorageError: the old content is still there, or (a sync of the directory failed) already the new one.
        """
        folder = _folder_of(path)
        temporary = ""
        try:
            fd, temporary = _create_beside(path)
            try:
                _write_all(fd, data)
                self._sync(fd)
            finally:
                os.close(fd)
            os.replace(temporary, path)
            self._sync_folder(folder)
        except OSError as error:
            with suppress(OSError):
                os.unlink(temporary)
            raise StorageError("replace", path, error) from error

    def make_dir(self, path: str) -> None:
        """Make a directory, and the parents it needs, each of them durable in its own parent.

        A directory that exists already is synced all the same: whoever made it may have been killed before it was durable.

        Raises:
            StorageError: it cannot be made, or something else has its name.
        """
        parent = _folder_of(path)
        try:
            if not os.path.isdir(path):
                if not os.path.isdir(parent):
                    self.make_dir(parent)
                with suppress(FileExistsError):
                    os.mkdir(path)
                if not os.path.isdir(path):
                    raise NotADirectoryError(path)
            self._sync_folder(parent)
        except OSError as error:
            raise StorageError("make the directory", path, error) from error

    def remove(self, path: str) -> None:
        """Remove a file; one that is gone already is as good.

        Raises:
            StorageError: it is still there, or its absence may not be durable.
        """
        try:
            with suppress(FileNotFoundError):
                os.unlink(path)
            self._sync_folder(_folder_of(path))
        except OSError as error:
            raise StorageError("remove", path, error) from error

    def sync_file(self, path: str) -> None:
        """Make durable what somebody else wrote: what a killed process leaves is visible, but not yet durable.

        Raises:
            StorageError: it may not be durable.
        """
        try:
            fd = os.open(path, os.O_RDWR | _BINARY)
            try:
                self._sync(fd)
            finally:
                os.close(fd)
            self._sync_folder(_folder_of(path))
        except OSError as error:
            raise StorageError("sync", path, error) from error

    def _sync_folder(self, folder: str) -> None:
        """Make the names in a directory durable. Windows has no such call: there the file system journals names."""
        if self.level == "process-kill" or os.name == "nt":
            return
        fd = os.open(folder, os.O_RDONLY | _BINARY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def _sync(self, fd: int) -> None:
        if self.level == "power-loss":
            kernel_lock.full_sync(fd)

    @contextmanager
    def lock(self, path: str) -> Iterator[None]:
        """Hold the lock file for the length of a block; the kernel frees it when the holder dies, by no clock.

        Raises:
            LockedError: it was held by somebody else for longer than `patience` seconds.
            StorageError: the lock file cannot be opened.
            FileNotFoundError: its directory does not exist, so there is nothing to protect.
        """
        try:
            try:
                fd = os.open(path, os.O_RDWR | _BINARY)
            except FileNotFoundError:
                fd = os.open(path, os.O_RDWR | os.O_CREAT | _BINARY, 0o666)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise StorageError("open the lock", path, error) from error
        try:
            if not kernel_lock.try_lock(fd):
                self._wait(lambda: kernel_lock.try_lock(fd), path, fd)
            yield
        finally:
            os.close(fd)  # which frees the lock

    def _wait(self, attempt: Callable[[], bool], path: str, fd: int) -> None:
        deadline, pause = time.monotonic() + self.patience, _FIRST_PAUSE
        while not attempt():
            if time.monotonic() >= deadline:
                raise LockedError("lock", path, f"held by {kernel_lock.holder(fd)} for more than {self.patience} s")
            time.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)


def _folder_of(path: str) -> str:
    return os.path.dirname(path) or "."


def _create_beside(path: str) -> tuple[int, str]:
    """A new temporary file in the directory of `path`, open for writing, and its name."""
    name = os.path.basename(path).lstrip(".")
    while True:
        temporary = os.path.join(_folder_of(path), f".{name}.{secrets.token_hex(8)}{TEMPORARY}")
        with suppress(FileExistsError):
            return os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, 0o666), temporary


def _write_all(fd: int, data: bytes) -> None:
    """One write, repeated where the system took only a part of it."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]
