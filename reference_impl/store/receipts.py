"""What operations answer, as values: a caller decides by fields, not by parsing a log.

Rule: an empty report means that nothing was wrong and nothing was written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class HealReport:
    """What a load found and did.

    `dropped_stale`: ids taken from the live file because an archive holds them. `restored`: ids that are back.
    `set_aside`: files below `damaged/`. `rolled_back`, `rolled_forward`: archive numbers. `rewrote`: files replaced.
    `unreadable`: archives whose content is damaged. `holes`: ids that no file holds any more. `absent`: files that a
    session of this age must have.
    """

    dropped_stale: tuple[str, ...] = ()
    restored: tuple[str, ...] = ()
    set_aside: tuple[str, ...] = ()
    rolled_back: tuple[int, ...] = ()
    rolled_forward: tuple[int, ...] = ()
    rewrote: tuple[str, ...] = ()
    unreadable: tuple[int, ...] = ()
    holes: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return self != _HEALTHY


_HEALTHY = HealReport()


@dataclass(frozen=True, slots=True)
class CommitReceipt:
    """The answer of a commit. `archived`: how many messages moved. `task_id`: names the second phase that is due."""

    status: Literal["accepted", "skipped"]
    reason: Literal["", "no_messages", "all_within_keep_window"] = ""
    task_id: str | None = None
    archive: int | None = None
    archived: int = 0
