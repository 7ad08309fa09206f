"""A search runs on real directories or on the fake file system; here it gets the arena for the disk that was asked for.

Rule: what the harness itself keeps between runs stays real on any disk; what a disk cannot host is refused before anything runs.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from pytest_durability.errors import UnsupportedError, UsageError
from pytest_durability.explore.case import DISKS
from pytest_durability.explore.settings import Context
from pytest_durability.world.arena import Arena


def check_disk(disk: Any, executor: Any = None) -> None:
    """Raise if there is no such disk, or if it cannot be shared with the processes of an executor.

    Raises:
        UsageError: it is none of `DISKS`.
        UnsupportedError: a fake disk and an executor.
    """
    if disk not in DISKS:
        raise UsageError(f"disk={disk!r}", fix=f"choose from: {', '.join(map(repr, DISKS))}")
    if disk == "fake" and executor is not None:
        raise UnsupportedError(
            f'sweep(disk="fake", executor={type(executor).__name__}(...))',
            why="the workers are child processes, which a fake world cannot start: they would see the real disk",
            fix='leave executor out, or use disk="files" with a store whose place can be moved, by world.root or world.setenv',
        )


def arena_on(disk: str, seed: int, context: Context) -> Arena:
    """An arena of this kind, not entered yet."""
    return Arena(seed, disk, kept=_kept(context) if disk == "fake" else ())


def _kept(context: Context) -> list[str]:
    """The directories of saved cases, and of what Hypothesis remembers where a project keeps that elsewhere than in `.hypothesis`."""
    settings = getattr(sys.modules.get("hypothesis"), "settings", None)  # a sweep needs no Hypothesis, and does not load it
    database = getattr(getattr(getattr(settings, "default", None), "database", None), "path", None)
    own = [context.directory, os.environ.get("HYPOTHESIS_STORAGE_DIRECTORY"), database]
    return [os.path.abspath(path) for path in own if path]
