"""Stores are used from threads too: real ones, of which one runs at a time, and which change places at chosen moments.

Rule: a thread gives way before each operation that a recorder sees, before each lock that the program takes, and where it asks to;
between these it runs alone. For that, locks that are made in a world and threads that are started meanwhile are ours; afterwards
nothing is patched.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from pytest_durability.world.disk.calls import CALLS
from pytest_durability.world.turns.baton import LIMIT, Baton
from pytest_durability.world.turns.locks import current, exchanged, own_locks
from pytest_durability.world.turns.order import Chooser
from pytest_durability.world.turns.overlap import Overlapped


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


def _own_threads(baton: Baton) -> AbstractContextManager[None]:
    """While this lasts, new threads are the baton's."""
    start, join = threading.Thread.start, threading.Thread.join

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

    return exchanged([(threading.Thread, "start", started), (threading.Thread, "join", joined)])


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
    current.append(baton)
    try:
        with own_locks(), _own_threads(baton):
            return baton.run()
    finally:
        current.remove(baton)


def give_way() -> None:
    """For stores and tests: another thread of the overlap may go on here. Outside of one it does nothing."""
    for baton in current:
        baton.point()
