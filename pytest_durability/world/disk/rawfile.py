"""What a program writes into a buffer is not on disk yet, so files opened below the root get a raw layer of ours.

Rule: the C buffers and text layers above are the normal ones, and everything a program can observe of `open` is as it
was; only `write`, `truncate` and `close` of the raw layer pass through the recorder.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any

from pytest_durability.world.disk import real

if TYPE_CHECKING:
    from pytest_durability.world.disk.contents import Contents
    from pytest_durability.world.disk.descriptors import Descriptor

_LARGEST_BUFFER = 8 * 1024 * 1024
_CLAMPED = sys.version_info >= (3, 14)


class RecordedFile(io.FileIO):
    """The raw layer of a file below the root; without a recorder it is a plain `FileIO`."""

    contents: Contents | None = None
    descriptor: Descriptor | None = None

    def write(self, data: Any) -> int:
        contents = self.contents
        return io.FileIO.write(self, data) if contents is None else contents.write_file(self, data)

    def truncate(self, size: int | None = None) -> int:
        contents = self.contents
        return io.FileIO.truncate(self, size) if contents is None else contents.truncate_file(self, size)

    def close(self) -> None:
        contents = self.contents
        if contents is None or self.closed:
            io.FileIO.close(self)
        else:
            contents.close_file(self)


class ReadFile(RecordedFile):
    """The raw layer of a file while reads of its kind can be struck: each call that takes bytes is asked about."""

    def _ask(self) -> None:
        if self.contents is not None and self.readable():
            self.contents.admit_read(self)

    def readinto(self, buffer: Any) -> int | None:
        self._ask()
        return io.FileIO.readinto(self, buffer)

    def readall(self) -> Any:
        self._ask()
        return io.FileIO.readall(self)

    def read(self, size: int | None = -1) -> Any:
        self._ask()
        return io.FileIO.read(self, -1 if size is None else size)


PLAIN: Callable[..., RecordedFile] = RecordedFile
READING: Callable[..., RecordedFile] = ReadFile
"""What makes raw files; a fake file system puts its own in these places."""


class DeadFile(io.FileIO):
    """What a `RecordedFile` becomes when its process dies: it takes everything and nothing reaches the disk.

    An exception here would run error handling that a dead process never runs, so that no operation raises.
    """

    finished = False

    @property
    def closed(self) -> bool:
        return self.finished

    def write(self, data: Any) -> int:
        return memoryview(data).nbytes

    def truncate(self, size: int | None = None) -> int:
        return size or 0

    def close(self) -> None:
        self.finished = True

    def fileno(self) -> int:
        return -1

    def seek(self, pos: int, whence: int = 0) -> int:
        return max(0, pos) if whence == 0 else 0

    def tell(self) -> int:
        return 0

    def read(self, size: int | None = -1) -> bytes:
        return b""

    def readall(self) -> bytes:
        return b""

    def readinto(self, buffer: Any) -> int:
        return 0

    def isatty(self) -> bool:
        return False

    def readable(self) -> bool:
        return "r" in self.mode or "+" in self.mode

    def writable(self) -> bool:
        return "r" not in self.mode or "+" in self.mode

    def seekable(self) -> bool:
        return True


def bury(file: RecordedFile) -> None:
    """Close the descriptor of a raw file without flushing what is above it, and make it a `DeadFile`."""
    with suppress(OSError):  # the descriptor may have been closed behind the file's back
        real.file_close(file)
    file.__class__ = DeadFile  # type: ignore[assignment]


PARSED: dict[str, tuple[str, bool]] = {}
"""What `parse` found, by mode."""


def parse(mode: Any) -> tuple[str, bool] | None:
    """Raw mode (`"r"`, `"w+"`, ...) and whether it is binary; None for what the real `open` refuses."""
    if type(mode) is not str:
        return None
    found = PARSED.get(mode)
    if found is None:
        chars = set(mode)
        kinds = chars & set("axrw")
        if len(chars) != len(mode) or chars - set("axrwb+t") or len(kinds) != 1 or {"b", "t"} <= chars:
            return None
        found = PARSED[mode] = kinds.pop() + ("+" if "+" in chars else ""), "b" in chars
    return found


def layered(
    raw: RecordedFile, mode: str, binary: bool, buffering: int, encoding: str | None, errors: str | None, newline: str | None
) -> IO[Any]:
    """Put buffer and text layer on a raw file as `open` does.

    Raises:
        ValueError, LookupError: as `open`; the raw file is closed then.
    """
    try:
        size = buffering
        if buffering < 0 or buffering == 1:
            size = getattr(raw, "_blksize", io.DEFAULT_BUFFER_SIZE)
            if _CLAMPED:
                size = max(min(size, _LARGEST_BUFFER), io.DEFAULT_BUFFER_SIZE)
        if size == 0:
            if binary:
                return raw
            raise ValueError("can't have unbuffered text I/O")  # noqa: TRY301  what was opened is closed below
        buffer: Any
        if "+" in mode:
            buffer = io.BufferedRandom(raw, size)
        elif "r" in mode:
            buffer = io.BufferedReader(raw, size)
        else:
            buffer = io.BufferedWriter(raw, size)
        if binary:
            return buffer  # type: ignore[no-any-return]
        text = io.TextIOWrapper(buffer, encoding, errors, newline, buffering == 1)
    except BaseException:
        raw.close()
        raise
    text.mode = mode  # type: ignore[misc]
    return text


def acceptable(binary: bool, buffering: Any, *texts: Any) -> bool:
    """Whether the real `open` takes these before it touches the file (`texts`: encoding, errors, newline)."""
    if not isinstance(buffering, int):
        return False
    return texts == (None, None, None) or (not binary and all(text is None or isinstance(text, str) for text in texts))
