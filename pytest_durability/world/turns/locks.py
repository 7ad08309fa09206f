"""Who gets a lock is a matter of who is faster, unless the lock itself lets the threads be chosen.

Rule: a lock that is made in a world is ours for good; where no threads overlap it is a lock like any other.
"""

from __future__ import annotations

import queue
import sys
import threading
from _thread import allocate_lock
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_durability.world.turns.baton import Baton

current: list[Baton] = []
"""The overlaps of threads that run now."""

_TOOLS = ("threading", "queue", "concurrent.futures", "pytest_durability.world.turns")


class _Lock:
    """Takes the place of `threading.Lock`: who would wait gives way instead. Outside of an overlap it is a lock like any other."""

    __slots__ = ("__weakref__", "_inner")

    def __init__(self) -> None:
        self._inner = allocate_lock()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:  # noqa: FBT001, FBT002  as in threading
        """As in threading; time does not pass while others run, so one with a timeout tries once more after them."""
        baton = _owner()
        if baton is not None and blocking and not _a_tool(sys._getframe(1)):
            baton.point()
        while baton is not None and baton.owned():
            if self._inner.acquire(blocking=False):
                return True
            if not blocking:
                return False
            if timeout >= 0:
                baton.point()
                return self._inner.acquire(blocking=False)
            baton.wait_for(self)
        return self._inner.acquire(blocking, timeout)

    def release(self) -> None:
        """As in threading."""
        self._inner.release()

    def locked(self) -> bool:
        """As in threading."""
        return self._inner.locked()

    def free(self) -> bool:
        """Whether somebody who waits could have it."""
        return not self._inner.locked()

    def _at_fork_reinit(self) -> None:
        self._inner = allocate_lock()

    __enter__ = acquire

    def __exit__(self, *exc: object) -> None:
        self.release()


def _a_tool(frame: Any) -> bool:
    """Whether the standard library's own tools take a lock of theirs: what they guard is not the program's."""
    return str(frame.f_globals.get("__name__", "")).startswith(_TOOLS)


_LOCKS: tuple[tuple[Any, str, Any], ...] = (
    (threading, "Lock", _Lock),
    (threading, "RLock", vars(threading)["_PyRLock"]),
    (threading, "_allocate_lock", _Lock),
    (queue, "SimpleQueue", vars(queue)["_PySimpleQueue"]),
)


@contextmanager
def exchanged(stand_ins: Sequence[tuple[Any, str, Any]]) -> Iterator[None]:
    """Have these in the places of those names, while this lasts: (place, name, stand-in) each."""
    saved = [(place, name, getattr(place, name)) for place, name, _ in stand_ins]
    for place, name, stand_in in stand_ins:
        setattr(place, name, stand_in)
    try:
        yield
    finally:
        for place, name, real in saved:
            setattr(place, name, real)


def own_locks() -> AbstractContextManager[None]:
    """While this lasts, new locks are ours; `threading` makes conditions, events and queues of such locks.

    A store that is opened before the turns that overlap in it has its locks from there.
    """
    return exchanged(_LOCKS)


def _owner() -> Baton | None:
    """Whose thread asks; None outside of an overlap."""
    return next((baton for baton in current if baton.owned()), None)
