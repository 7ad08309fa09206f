"""A store gives work to threads (executors, aiosqlite), and what they do must not depend on who happens to be faster.

Rule: a call in an executor runs in a real thread of its own, while the loop stands still; for an answer that another
thread owes, the loop waits before it chooses, as long as it is patient. A thread that gives no answer in that time waits
for somebody, so the others go on without it.
"""

from __future__ import annotations

import asyncio
import queue
import sys
import threading
from collections.abc import Callable
from typing import Any

PATIENCE = 0.1
"""Seconds that a loop waits for the answer of a thread that sleeps, while somebody else could go on."""

STAMINA = 10.0
"""Seconds that it waits for one when nobody can."""

_ANSWERING = ("aiosqlite", "asyncio.futures")
_learned: set[tuple[str, int]] = set()


class Worker:
    """One thread that runs one call after the other, as a pool does that is never full."""

    def __init__(self, name: str) -> None:
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    def give(self, call: Callable[[], None]) -> None:
        """Let it run this after what it has to do already."""
        self._calls.put(call)

    def end(self, seconds: float = 1.0) -> bool:
        """Let it end, and say whether it did."""
        self._calls.put(None)
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _serve(self) -> None:
        while (call := self._calls.get()) is not None:
            call()
            del call


class Post:
    """What other threads say to a loop, and what they still owe it."""

    __slots__ = ("_arrived", "_handles", "_owed", "_serial", "_tired")

    def __init__(self) -> None:
        self._arrived = threading.Condition()
        self._handles: list[asyncio.Handle] = []
        self._owed: dict[Any, tuple[int, tuple[str, int]]] = {}
        self._tired: set[Any] = set()
        self._serial = 0

    def put(self, handle: asyncio.Handle) -> None:
        """Another thread wants this to be run by the loop."""
        with self._arrived:
            self._handles.append(handle)
            self._arrived.notify_all()

    def expect(self, future: Any, module: str, line: int) -> None:
        """A future was made outside of asyncio's own tools: a thread may answer it."""
        self._serial += 1
        self._owed[future] = (self._serial, (module, line))

    def taken(self) -> list[asyncio.Handle]:
        """What arrived, in the order in which it was asked for, which does not depend on the threads."""
        if not self._handles:
            return []
        with self._arrived:
            handles, self._handles = self._handles, []
        self._tired.clear()  # one answer may be what another thread waited for
        last = self._serial + 1
        handles.sort(key=lambda handle: self._owed.get(_answered(handle), (last, ("", 0)))[0])
        for handle in handles:
            owed = self._owed.pop(_answered(handle), None)
            if owed is not None:
                _learned.add(owed[1])
        return handles

    def wait(self, *, idle: bool) -> bool:
        """Give threads time to answer; `idle`: nobody else could go on. True: there may be something to take."""
        for future in [
            future for future, (_, site) in self._owed.items() if future.done() and not self._still_runs(future, site)
        ]:
            del self._owed[future]
        if not self._owed:
            return bool(self._handles)
        sure = {future for future, (_, site) in self._owed.items() if _sure(site)}
        wanted = sure if not idle else sure or set(self._owed)
        if not idle:
            wanted = wanted - self._tired
        if not wanted or (wanted is not sure and threading.active_count() < 2):  # noqa: PLR2004  this one and another
            return bool(self._handles)
        return self._answers(wanted, idle=idle, sure=bool(sure))

    def _still_runs(self, future: Any, site: tuple[str, int]) -> bool:
        """A thread does what it was asked for even if the one who asked was cancelled meanwhile."""
        return bool(future.cancelled()) and future not in self._tired and _sure(site)

    def _answers(self, wanted: set[Any], *, idle: bool, sure: bool) -> bool:
        def here() -> set[Any]:
            return {_answered(handle) for handle in self._handles}

        with self._arrived:
            deadline = STAMINA
            while not self._arrived.wait_for(lambda: wanted <= here(), PATIENCE) and deadline > 0 and _somebody_works():
                deadline -= PATIENCE
            if not wanted <= here():
                self._tired |= wanted - here()
                if idle and sure:
                    self._arrived.wait_for(lambda: bool(here()), STAMINA)
            return bool(self._handles)


def asleep(native: int | None) -> bool:
    """Whether a thread of this process waits for something that is no disk; True where nobody can tell."""
    try:
        with open(f"/proc/self/task/{native}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] == "S"
    except (OSError, IndexError):
        return True


def _somebody_works() -> bool:
    """Whether another thread computes, or waits for the disk: then its answer is only slow."""
    own = threading.get_ident()
    return any(not asleep(thread.native_id) for thread in threading.enumerate() if thread.ident != own)


def _sure(site: tuple[str, int]) -> bool:
    """Whether futures made at this place are answered by a thread."""
    return site[0].startswith(_ANSWERING) or site in _learned


def caller(depth: int) -> tuple[str, int]:
    """Module and line of the code that called, so many frames up."""
    frame = sys._getframe(depth + 1)
    return str(frame.f_globals.get("__name__", "")), frame.f_lineno


def _answered(handle: asyncio.Handle) -> Any:
    """The future that a posted call answers, as far as its arguments tell."""
    arguments: tuple[Any, ...] = getattr(handle, "_args", None) or ()
    return next((argument for argument in arguments if asyncio.isfuture(argument)), None)
