"""A trajectory is the fold of its journal, so a crash loses nothing that was acknowledged and invents nothing.

Rule: one event is one line with a checksum, written by one durable append; a commit with the rollback it implies is one
event, so that it is there whole or not at all.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping
from typing import Any, Protocol

from reference_impl.durable import Durable, StorageError

Event = Mapping[str, Any]
"""Plain JSON data with a key `type`: commit, provisional or close."""


class DamagedError(StorageError):
    """A line before the last one cannot be read, or is missing: no crash explains that, and what follows cannot be folded."""


class ChangedError(StorageError):
    """Somebody else wrote to the journal since it was read, so what was planned here is about another conversation."""


class Journal(Protocol):
    """Where events go before they take effect."""

    def append(self, event: Event) -> None:
        """Make one event durable, or raise and have no effect."""

    def events(self) -> list[Event]:
        """All events, in order."""


class Memory:
    """A journal for trajectories that need not survive."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def append(self, event: Event) -> None:
        """Keep one event, as text, so that nobody changes it afterwards."""
        self._lines.append(json.dumps(event))

    def events(self) -> list[Event]:
        """All events, in order."""
        return [json.loads(line) for line in self._lines]


class FileJournal:
    """A journal in one file, one event a line; the lines are numbered, so that a lost one is noticed.

    It is read before it is written. Several objects may use one file: of two that read the same state, one writes, and the
    other is refused until it has read again.
    """

    def __init__(self, path: str, disk: Durable | None = None) -> None:
        self._path, self._disk = path, disk or Durable()
        self._count, self._length = 0, 0

    def append(self, event: Event) -> None:
        """Make one event durable.

        Raises:
            ChangedError: somebody else wrote in the meantime; nothing was added.
            StorageError: it was not added.
            TornAppendError: a part of it may be there; open the trajectory again before anything else.
        """
        line = _line({"n": self._count + 1, **event})
        with self._disk.lock(self._path + ".lock"):
            length = _length(self._path)
            if length != self._length:
                raise ChangedError("append to", self._path, f"it has {length} bytes, and had {self._length} when it was read")
            self._disk.append(self._path, line)
        self._count, self._length = self._count + 1, self._length + len(line)

    def events(self) -> list[Event]:
        """All events, in order. What an unfinished append left at the end was never acknowledged and is cut off.

        Raises:
            DamagedError: a line before the last one cannot be read, or one is missing.
            StorageError: the file cannot be read, or its end not be cut off.
        """
        with self._disk.lock(self._path + ".lock"):
            return self._healed(self._disk.read(self._path) or b"")

    def _healed(self, data: bytes) -> list[Event]:
        """The events in `data`; its unfinished end is cut off in the file."""
        lines = data.split(b"\n")
        found = [_read(line) for line in lines[:-1]]
        if found and found[-1] is None and not lines[-1]:  # a power cut may leave the line end without what stands before it
            found.pop()
        events = [event for event in found if event is not None]
        if len(events) < len(found):
            raise DamagedError("read", self._path, f"line {found.index(None) + 1} is damaged, and it is not the last one")
        for number, event in enumerate(events, 1):
            if event.get("n") != number:
                raise DamagedError("read", self._path, f"line {number} holds event {event.get('n')}: a write was lost")
        kept = b"".join(line + b"\n" for line in lines[: len(found)])
        if kept == data and data:
            self._disk.sync_file(self._path)  # what a killed process wrote is visible, and perhaps not yet durable
        elif data:
            self._disk.replace(self._path, kept)
        self._count, self._length = len(events), len(kept)
        return events


def _length(path: str) -> int:
    try:
        return os.path.getsize(path)
    except FileNotFoundError:
        return 0


def _line(event: Event) -> bytes:
    text = json.dumps(event, separators=(",", ":"), ensure_ascii=True)
    return b"%08x %s\n" % (zlib.crc32(text.encode()), text.encode())


def _read(line: bytes) -> Event | None:
    checksum, _, text = line.partition(b" ")
    try:
        event = json.loads(text) if int(checksum, 16) == zlib.crc32(text) else None
    except ValueError:
        return None
    return event if isinstance(event, dict) else None
