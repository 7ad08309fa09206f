"""Keeps timelines on disk so that a later process goes on where this one died, and a compaction never costs what it replaced.

Rule: a file is replaced as a whole or not at all. Of several files of a session the one with the highest compaction number wins,
whatever the clock said. Nobody saves over what they have not seen.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from reference_impl.durable import Durable
from reference_impl.replay.errors import DamagedError, StaleError
from reference_impl.replay.timeline import Timeline

VERSION = 1
FILE = "timeline.json"
_COMPACT = "__compact__"


class Snapshots:
    """The sessions of one folder: `{folder}/{session}/timeline.json`, and `{session}__compact__{n}` before compaction n + 1."""

    def __init__(self, folder: str | os.PathLike[str], disk: Durable | None = None) -> None:
        self._folder, self._disk = os.fspath(folder), disk or Durable()
        self._seen: dict[str, int] = {}
        self._tried: dict[str, bytes] = {}
        self._held: set[str] = set()

    def path(self, session_id: str) -> str:
        """The file of a session.

        Raises:
            ValueError: the id cannot be the name of a folder, or is that of an older compaction.
        """
        if not re.fullmatch(r"[\w.-]*\w[\w.-]*", session_id) or _COMPACT in session_id:
            raise ValueError(f"{session_id!r} is no session id: letters, digits, '_', '-' and '.' make one")
        return os.path.join(self._folder, session_id, FILE)

    @contextmanager
    def holding(self, session_id: str) -> Iterator[None]:
        """Keep everybody else from the session for the length of a block; blocks may be nested.

        Raises:
            LockedError: somebody else holds it, and has not let go in the time that the disk is patient for.
        """
        folder = os.path.dirname(self.path(session_id))
        if session_id in self._held:
            yield
            return
        self._disk.make_dir(folder)
        with self._disk.lock(os.path.join(folder, ".lock")):
            self._held.add(session_id)
            try:
                yield
            finally:
                self._held.discard(session_id)

    def catch_up(self, session_id: str, timeline: Timeline) -> bool:
        """Load the session again if somebody else has saved it since; to be called while holding it.

        Raises:
            DamagedError: as `load`.
        """
        changed = not self._is_known(session_id, self._read(self.path(session_id)))
        if changed:
            self.load(session_id, timeline)
        return changed

    def save(self, session_id: str, timeline: Timeline) -> int:
        """Make the timeline durable; returns the size in bytes.

        Raises:
            StaleError: the session was saved by somebody else since it was loaded or saved here.
            StorageError: it is not durable; the old content is still there, or already the new one.
        """
        path = self.path(session_id)
        with self.holding(session_id):
            old = self._read(path)
            revision = _revision(old)
            if not self._is_known(session_id, old):
                raise StaleError("save", path, f"it is at revision {revision}, and {self._seen.get(session_id, 0)} was loaded")
            if old is not None and int(old.get("compaction") or 0) < timeline.compaction:
                self._set_aside(session_id, old)
            whole = {"version": VERSION, "revision": revision + 1, **timeline.state(), "entries": timeline.to_entries()}
            data = self._tried[session_id] = json.dumps(whole, separators=(",", ":")).encode()
            self._disk.replace(path, data)
            self._seen[session_id] = revision + 1
        return len(data)

    def _is_known(self, session_id: str, old: Mapping[str, Any] | None) -> bool:
        """Whether the file is as it was loaded or saved here; after a failed sync, perhaps as it was tried to be saved."""
        if _revision(old) == self._seen.get(session_id, 0):
            return True
        return self._disk.read(self.path(session_id)) == self._tried.get(session_id)

    def load(self, session_id: str, timeline: Timeline) -> bool:
        """Fill a timeline with what was saved last; False if there is nothing.

        Raises:
            DamagedError: a file of the session cannot be read, or is of a later version.
        """
        found = [(number, data) for number, path in self._files(session_id) if (data := self._read(path)) is not None]
        self._seen[session_id] = _revision(self._read(self.path(session_id)))
        if not found:
            return False
        _, newest = max(found, key=_number)
        timeline.load_from_entries(newest["entries"])
        timeline.load_state(newest)
        return True

    def _files(self, session_id: str) -> list[tuple[float, str]]:
        """The files that may hold the session, with the number that decides if the content has none: the name's."""
        current = self.path(session_id)
        names = self._disk.names(self._folder) or []
        older = re.compile(rf"{re.escape(session_id + _COMPACT)}(\d+)")
        compacted = [
            (float(found[1]), os.path.join(self._folder, name, FILE)) for name in names if (found := older.fullmatch(name))
        ]
        return [*compacted, (float("inf"), current)]

    def _set_aside(self, session_id: str, old: Mapping[str, Any]) -> None:
        folder = os.path.join(self._folder, f"{session_id}{_COMPACT}{int(old.get('compaction') or 0)}")
        self._disk.make_dir(folder)
        self._disk.replace(os.path.join(folder, FILE), json.dumps(dict(old), separators=(",", ":")).encode())

    def _read(self, path: str) -> Mapping[str, Any] | None:
        data = self._disk.read(path)
        if data is None:
            return None
        try:
            whole = json.loads(data)
        except ValueError as error:
            raise DamagedError("read", path, error) from error
        if isinstance(whole, list):  # the oldest form: the entries alone
            whole = {"entries": whole}
        if not isinstance(whole, dict) or not isinstance(whole.get("entries"), list):
            raise DamagedError("read", path, "it is no timeline")
        if int(whole.get("version") or VERSION) > VERSION:
            raise DamagedError("read", path, f"it is of version {whole['version']}, and {VERSION} is the latest known here")
        return whole


def _revision(data: Mapping[str, Any] | None) -> int:
    return 0 if data is None else int(data.get("revision") or 0)


def _number(found: tuple[float, Mapping[str, Any]]) -> tuple[int, float]:
    """What orders the files of a session: the number of the compaction, then the current file before its copies."""
    number, data = found
    inside = data.get("compaction")
    return (int(inside) if inside is not None else 0 if number == float("inf") else int(number)), number
