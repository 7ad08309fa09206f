"""A turn that waits for ever is found by the others' having ended, and the report must say who waits, and where.

Rule: a place is the innermost line of the program itself, below what asyncio and this package do for it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import PurePath
from types import FrameType
from typing import Any

_OURS = str(PurePath(__file__).parent.parent.parent)
_ASYNCIO = str(PurePath(asyncio.__file__).parent)


@dataclass(frozen=True, slots=True)
class Waiting:
    """Who waits, and where: `store.py:12 in save`."""

    name: str
    where: str

    def __str__(self) -> str:
        return f"{self.name} waits at {self.where}"


class Deadlock(RuntimeError):
    """Nothing can go on: everybody waits, no timer runs, and no thread owes an answer."""

    def __init__(self, waiting: tuple[Waiting, ...]) -> None:
        self.waiting = waiting
        super().__init__("nothing can go on: " + ("; ".join(map(str, waiting)) or "nobody is there"))


class Livelock(RuntimeError):
    """The limit of steps was reached: the turns go on and on without an end."""

    def __init__(self, steps: int) -> None:
        super().__init__(f"the turns did not end within {steps} steps")


def of_task(name: str, task: Any) -> Waiting:
    """Where a suspended task waits."""
    place, awaited = "?", task.get_coro()
    while awaited is not None:
        frame = next((f for kind in ("cr", "ag", "gi") if (f := getattr(awaited, f"{kind}_frame", None)) is not None), None)
        if frame is not None and (place == "?" or not _inside(frame)):
            place = of_frame(frame)
        awaited = next((a for kind in ("cr", "ag", "gi") if (a := getattr(awaited, f"{kind}_await", None)) is not None), None)
        awaited = getattr(awaited, "gi_yieldfrom", awaited)
    return Waiting(name, place)


def of_stack(name: str, frame: FrameType | None) -> Waiting:
    """Where a thread waits."""
    outermost = frame
    while frame is not None and (_inside(frame) or frame.f_globals.get("__name__") in ("threading", "queue")):
        frame = frame.f_back
    found = frame or outermost
    return Waiting(name, "?" if found is None else of_frame(found))


def of_frame(frame: FrameType) -> str:
    """`store.py:12 in save`."""
    return f"{PurePath(frame.f_code.co_filename).name}:{frame.f_lineno} in {frame.f_code.co_name}"


def _inside(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith((_ASYNCIO, _OURS))
