"""Where the time of a sweep goes, so that what is slow is known before it is changed.

Rule: every second belongs to one part. A function belongs to the part that its file belongs to; what is of no part (builtins,
the standard library, the stand-ins of patched functions) counts for whoever called it. System calls are a part of their own:
those of the store and those that mount a state cannot be told apart.
"""

from __future__ import annotations

import cProfile
import pstats
from collections.abc import Callable
from typing import Any

RECORDER = (
    *("contents", "descriptors", "effects", "gate", "image", "names", "paths", "rawfile", "recorder", "reads", "site", "tree"),
    "sqlite/",
)
PARTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("store: open, transcript", ("reference_impl/", "bench/stores.py", "/incarnation.py")),
    ("mounting", ("world/arena.py", "world/entropy.py", "world/disk/shut.py")),
    (
        "state enumeration",
        tuple(f"world/disk/{name}.py" for name in ("cuts", "frames", "options", "choices", "chains", "materialise")),
    ),
    ("state enumeration", tuple(f"world/disk/{name}.py" for name in ("states", "netput", "objects", "copies", "labels"))),
    ("recording", (*(f"world/disk/{name}" for name in RECORDER), "/history.py")),
    ("judging", ("/checkers/", "/ledger.py", "/runner.py", "/observation.py", "/evidence.py")),
    ("system calls", ("posix.", "_io.")),
    ("rest", ("pytest_durability/", "bench/")),
)
"""Parts of a sweep, and of the paths of their files; the first that fits."""

Key = tuple[str, int, str]


def shares(action: Callable[[], Any]) -> dict[str, float]:
    """Run something under the profiler; the share of its time that each part took itself, which add up to 1."""
    profile = cProfile.Profile()
    profile.runcall(action)
    table: dict[Key, Any] = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    own = {key: entry[2] for key, entry in table.items()}
    total: dict[str, float] = {}
    for key, seconds in own.items():
        for part, weight in _owners(key, table, {}).items():
            total[part] = total.get(part, 0.0) + seconds * weight
    whole = sum(total.values()) or 1.0
    return {part: total.get(part, 0.0) / whole for part, _ in PARTS}


def _owners(key: Key, table: dict[Key, Any], above: dict[Key, None]) -> dict[str, float]:
    """The parts that a function works for, with weights that add up to 1: its own, or those of its callers by time."""
    place = key[2] if key[0] == "~" else "" if key[0].endswith("world/disk/calls.py") else key[0]
    part = next((part for part, marks in PARTS if any(mark in place for mark in marks)), None)
    callers = {caller: entry for caller, entry in table[key][4].items() if caller not in above} if part is None else {}
    spent = sum(entry[3] for entry in callers.values())
    if part is not None or not spent:
        return {part or "rest": 1.0}
    found: dict[str, float] = {}
    for caller, entry in callers.items():
        for owner, weight in _owners(caller, table, {**above, key: None}).items():
            found[owner] = found.get(owner, 0.0) + weight * entry[3] / spent
    return found
