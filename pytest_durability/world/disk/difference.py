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

_SKIPPED = ("-wal", "-shm")


def changes(
    before: Image, after: Image, volatile: Iterable[str] = (), sites: Mapping[str, str] | None = None
) -> tuple[Change, ...]:
    """The files whose content differs between two images, by path."""
    old, new = before.data(), after.data()
    patterns = tuple(volatile)
    found = []
    for path in sorted(old.keys() | new.keys()):
        was, now = old.get(path), new.get(path)
        if was == now or _left_out(path, patterns) or (was is not None and now is not None and _same_but_times(was, now)):
            continue
        size = [None if data is None else len(data) for data in (was, now)]
        found.append(Change(path, size[0], size[1], (sites or {}).get(path, "")))
    return tuple(found)


def _left_out(path: str, patterns: tuple[str, ...]) -> bool:
    if path.endswith(_SKIPPED):
        return True
    name = path.rpartition("/")[2]
    return any(fnmatch.fnmatchcase(path, pattern) or fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _same_but_times(was: bytes, now: bytes) -> bool:
    today = int(time.time())
    return blanked(was, today) == blanked(now, today)
