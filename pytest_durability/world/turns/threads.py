"""Stores are used from threads too: real ones, of which one runs at a time, and which change places at chosen moments.

Rule: a thread gives way before each operation that a recorder sees, before each lock that the program takes, and where it asks to;
between these it runs alone. For that, locks and threads that are made meanwhile are ours; afterwards nothing is patched.
"""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

from pytest_durability.world.disk.calls import CALLS
from pytest_durability.world.turns.baton import LIMIT, Baton, real_lock
from pytest_durability.world.turns.order import Chooser
from pytest_durability.world.turns.overlap import Overlapped

_TOOLS = ("threading", "queue", "concurrent.futures", "pytest_durability.world.turns.threads")


class _Lock:
    """Takes the place of `threading.Lock`: who would wait gives way instead."""

    __slots__ = ("__weakref__", "_baton", "_inner")

    def __init__(self, baton: Baton) -> None:
        self._baton = baton
        self._inner = real_lock()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:  # noqa: FBT001, FBT002  as in threading
        """As in threading; time does not pass while others run, so one with a timeout tries once more after them."""
        baton = self._baton
        if blocking and baton.owned() and not _a_tool(sys._getframe(1)):
            baton.point()
        while baton.owned():
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
        self._inner = real_lock()

    def __enter__(self) -> bool:
        if self._baton.owned() and not _a_tool(sys._getframe(1)):
            self._baton.point()
        return self.acquire()

    def __exit__(self, *exc: object) -> None:
        self.release()


class _Watched:
    """Takes the place of a recorder's lock: whoever begins an operation gives way first, and never in the middle of one."""

    __slots__ = ("_baton", "_depth", "_inner")

    def __init__(self, baton: Baton, inner: Any) -> None:
        self._baton, self._inner = baton, inner
        self._depth = threading.local()

    def __enter__(self) -> Any:
        depth = getattr(self._depth, "value", 0)
        if depth == 0:
            self._baton.point()
        self._depth.value = depth + 1
        return self._inner.__enter__()

    def __exit__(self, *exc: object) -> Any:
        self._depth.value -= 1
        return self._inner.__exit__(*exc)


def _a_tool(frame: Any) -> bool:
    """Whether the standard library's own tools take a lock of theirs: what they guard is not the program's."""
    return str(frame.f_globals.get("__name__", "")).startswith(_TOOLS)


_PATCHED = (
    (threading, "Lock"),
    (threading, "RLock"),
    (threading, "_allocate_lock"),
    (threading.Thread, "start"),
    (threading.Thread, "join"),
    (queue, "SimpleQueue"),
)


@contextmanager
def _patched(baton: Baton) -> Iterator[None]:
    """While this lasts, new locks and threads are ours; `threading` makes conditions, events and queues of such locks."""
    start, join = threading.Thread.start, threading.Thread.join

    def make() -> _Lock:
        return _Lock(baton)

    def started(thread: threading.Thread) -> None:
        if baton.owned():
            baton.adopt(thread, lambda: start(thread))
        else:
            start(thread)

    def joined(thread: threading.Thread, timeout: float | None = None) -> None:
        wanted = baton.turn_in(thread) if baton.owned() else None
        if wanted is not None and timeout is not None:
            baton.point()
            return
        if wanted is not None:
            baton.wait_for(wanted)
        join(thread, timeout)

    ours = (make, vars(threading)["_PyRLock"], make, started, joined, vars(queue)["_PySimpleQueue"])
    saved = [getattr(place, name) for place, name in _PATCHED]
    for (place, name), stand_in in zip(_PATCHED, ours, strict=True):
        setattr(place, name, stand_in)
    try:
        yield
    finally:
        for (place, name), real in zip(_PATCHED, saved, strict=True):
            setattr(place, name, real)


@contextmanager
def _operations(baton: Baton, recorder: Any) -> Iterator[None]:
    inner, recorder.lock = recorder.lock, _Watched(baton, recorder.lock)
    tap = CALLS.sqlite
    sleep = getattr(tap, "_sleep", None)

    def pause(vfs: Any, microseconds: int) -> int:
        if not baton.owned():
            return int(sleep(vfs, microseconds)) if sleep is not None else 0
        baton.point()  # SQLite waits for a lock: somebody else may let go of it meanwhile
        return microseconds

    if sleep is not None:
        tap._sleep = pause  # type: ignore[union-attr]  # noqa: SLF001
    try:
        yield
    finally:
        recorder.lock = inner
        if sleep is not None:
            tap._sleep = sleep  # type: ignore[union-attr]  # noqa: SLF001


def run_threads(
    turns: Sequence[Callable[[], Any]],
    chooser: Chooser | None = None,
    *,
    recorder: Any = None,
    limit: int = LIMIT,
    watch: Callable[[], int] | None = None,
) -> Overlapped:
    """Run functions in a thread each, of which one runs at a time. `recorder`: whose operations are places to give way.

    `watch`: asked before each step how many operations there were.
    """
    baton = Baton(turns, chooser, limit=limit, watch=watch)
    with _operations(baton, recorder) if hasattr(recorder, "lock") else nullcontext():
        share = getattr(getattr(recorder, "history", None), "share", None)
        if share is not None:
            share()
        return _with_patches(baton)


def _with_patches(baton: Baton) -> Overlapped:
    _current.append(baton)
    try:
        with _patched(baton):
            return baton.run()
    finally:
        _current.remove(baton)


def give_way() -> None:
    """For stores and tests: another thread of the overlap may go on here. Outside of one it does nothing."""
    for baton in _current:
        baton.point()


_current: list[Baton] = []
