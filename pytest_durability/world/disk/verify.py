"""A log that does not explain the directory would make every verdict worthless, so the two are compared.

Rule: names, bytes, directories and link targets must all agree; what does not is named, with a guess at who wrote it. A
missed fsync changes no byte and cannot be seen here, which is why `rebind` leaves no early-bound one behind.
"""

from __future__ import annotations

import os

from pytest_durability.errors import RecorderError
from pytest_durability.world.disk.calls import CALLS
from pytest_durability.world.disk.image import Image, snapshot
from pytest_durability.world.disk.recorder import Recorder

_SHOWN = 10
_SQLITE = b"SQLite format 3\0"
_REBUILT = "-shm"  # SQLite's index of its log: shared memory, which is made anew after each crash and so never recorded
_SQLITE_TAILS = ("-wal", "-shm", "-journal")


def verify(recorder: Recorder) -> None:
    """Check that what `recorder` saw explains what stands below its root now.

    Raises:
        RecorderError: they differ; each path is named with what was expected and what is there.
    """
    if CALLS.sqlite is not None:
        CALLS.sqlite.settle(recorder)
    expected = recorder.tree.image()
    with recorder.unasked():
        actual = snapshot(recorder.root)
    problems = [*recorder.escapes, *_differences(expected, actual, recorder.root)]
    if not problems:
        return
    shown = problems[:_SHOWN]
    if len(problems) > _SHOWN:
        shown.append(f"and {len(problems) - _SHOWN} more")
    raise RecorderError(
        "the recorded operations do not explain what is on disk: " + "; ".join(shown),
        why="crash states computed from an incomplete log would be wrong, so nothing was judged",
        fix="let the store write through open() and os functions in this process, or check it with isolation='process'",
    )


def _differences(expected: Image, actual: Image, root: str) -> list[str]:
    if expected.files == actual.files and expected.dirs == actual.dirs and expected.links == actual.links:
        return []
    old, new = _content(expected), _content(actual)
    found = []
    for path in sorted(old.keys() | new.keys()):
        was, now = old.get(path), new.get(path)
        if was != now and not (path.endswith(_REBUILT) and path.removesuffix(_REBUILT) in old):
            found.append(f"{path}: {_shown(was)} recorded, {_shown(now)} on disk ({_suspect(path, now, root)})")
    return found


def _content(image: Image) -> dict[str, bytes | str]:
    """Path -> bytes of a file, text for a directory or a link."""
    content: dict[str, bytes | str] = dict(image.data())
    content.update((path, "a directory") for path in image.dirs)
    content.update((path, f"a link to {target}") for path, target in image.links)
    return content


def _shown(content: bytes | str | None) -> str:
    if content is None:
        return "nothing"
    return f"{len(content)} B" if isinstance(content, bytes) else content


def _suspect(path: str, content: bytes | str | None, root: str) -> str:
    """A guess at what wrote a file unseen."""
    if path.endswith(_SQLITE_TAILS) or (isinstance(content, bytes) and content.startswith(_SQLITE)):
        return f"SQLite database: not recorded ({CALLS.sqlite_unseen or 'opened outside of the recording, or by another SQLite'})"
    if _is_mapped(os.path.join(root, path)):
        return "the file is mapped into memory: mmap is not recorded"
    return "a child process, io.FileIO used directly, or native code"


def _is_mapped(path: str) -> bool:
    try:
        with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as maps:
            return any(line.rstrip("\n").endswith(path) for line in maps)
    except OSError:
        return False
