"""Whether an open changed anything is asked about content, and wall-clock times in a file are not content.

Rule: files are compared byte by byte; if they differ, once more with dates and present-day epoch numbers blanked, because
two opens at different moments may write different times. `volatile` files, SQLite's `-wal` and `-shm` are left out.
"""

from __future__ import annotations

import fnmatch
import time
from collections.abc import Iterable, Mapping

from pytest_durability.moments import blanked
from pytest_durability.observation import Change
from pytest_durability.world.disk.image import Image

HEADER = b"SQLite format 3\0"
_SKIPPED = ("-wal", "-shm")
_JOURNAL = "-journal"


def changes(
    before: Image, after: Image, volatile: Iterable[str] = (), sites: Mapping[str, str] | None = None
) -> tuple[Change, ...]:
    """The files whose content differs between two images, by path."""
    old, new = before.data(), after.data()
    patterns = tuple(volatile)
    databases = _databases(before, after)
    found = []
    for path in sorted(old.keys() | new.keys()):
        was, now = old.get(path), new.get(path)
        if path in databases:
            was, now = _said(old, new, path)
        elif path.removesuffix(_JOURNAL) in databases:
            continue
        if was == now or _left_out(path, patterns) or (was is not None and now is not None and _same_but_times(was, now)):
            continue
        size = [None if data is None else len(data) for data in (old.get(path), new.get(path))]
        found.append(Change(path, size[0], size[1], (sites or {}).get(path, "")))
    return tuple(found)


def _databases(before: Image, after: Image) -> frozenset[str]:
    if not any(file.data.startswith(HEADER) for image in (before, after) for file in image.files):
        return frozenset()
    from pytest_durability.world.disk.sqlite.databases import databases  # only those who keep databases need SQLite

    return frozenset(databases(before, after))


def _said(old: Mapping[str, bytes], new: Mapping[str, bytes], path: str) -> tuple[bytes | None, bytes | None]:
    """What a database says before and after; its bytes if nothing changed, or if SQLite cannot read it."""
    from pytest_durability.world.disk.sqlite.databases import BESIDE, logical

    was, now = old.get(path), new.get(path)
    if was is None or now is None or all(old.get(path + tail) == new.get(path + tail) for tail in ("", *BESIDE)):
        return was, now
    told = logical(old, path), logical(new, path)
    return (was, now) if None in told else told


def _left_out(path: str, patterns: tuple[str, ...]) -> bool:
    if path.endswith(_SKIPPED):
        return True
    name = path.rpartition("/")[2]
    return any(fnmatch.fnmatchcase(path, pattern) or fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _same_but_times(was: bytes, now: bytes) -> bool:
    today = int(time.time())
    return blanked(was, today) == blanked(now, today)
