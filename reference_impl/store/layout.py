"""Where things lie, in one place: the names are a format that other versions read.

Rule: a name that is written here never changes its meaning.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

LIVE = "messages.jsonl"
META = ".meta.json"
LOCK = ".lock"
DAMAGED = "damaged"
HISTORY = "history"
ABSTRACT, OVERVIEW = ".abstract.md", ".overview.md"
DONE, FAILED = ".done", ".failed.json"

_ARCHIVE = re.compile(r"archive_(\d{3,})")


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths of one session."""

    root: str

    @property
    def session_id(self) -> str:
        """The name of the session: that of its directory."""
        return name_of(self.root)

    @property
    def live(self) -> str:
        """The live messages, one JSON object a line."""
        return f"{self.root}/{LIVE}"

    @property
    def meta(self) -> str:
        """Counters and policy."""
        return f"{self.root}/{META}"

    @property
    def lock(self) -> str:
        """The lock file; it has no content and is never removed."""
        return f"{self.root}/{LOCK}"

    @property
    def damaged(self) -> str:
        """Bytes that a load set aside."""
        return f"{self.root}/{DAMAGED}"

    @property
    def history(self) -> str:
        """The directory of the archives."""
        return f"{self.root}/{HISTORY}"

    def archive(self, number: int) -> str:
        """The directory of one archive."""
        return f"{self.root}/{HISTORY}/archive_{number:03d}"


def archive_number(name: str) -> int | None:
    """The number of an archive directory, or None if the name is something else."""
    match = _ARCHIVE.fullmatch(name)
    return int(match[1]) if match else None


def name_of(path: str) -> str:
    """The last part of a path."""
    return os.path.basename(path)
