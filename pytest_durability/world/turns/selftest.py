"""The turn loop overrides private methods of asyncio, which a new Python may change without notice.

Rule: what the loop relies on is tried out once in a process, before the first order is run; a Python in which it does not
hold is refused, and never passes for one in which no bug was found.
"""

# ruff: noqa: SLF001  it is the private parts that are tried

from __future__ import annotations

import asyncio
import contextvars
import sys
from typing import Any

from pytest_durability.errors import UnsupportedError
from pytest_durability.world.turns.order import Point

_NAMES: tuple[tuple[str, Any, tuple[str, ...]], ...] = (
    ("BaseEventLoop", asyncio.BaseEventLoop, ("_run_once", "run_forever", "_check_closed")),
    ("Handle", asyncio.Handle, ("_run", "_callback", "_args", "cancelled")),
    ("TimerHandle", asyncio.TimerHandle, ("when", "_scheduled")),
    ("Task", asyncio.Task, ("get_coro", "_log_destroy_pending", "cancel")),
)
_PARTS = ("_ready", "_scheduled", "_stopping", "_thread_id")
_checked: list[str] = []


class _Last:
    """Takes whoever got ready last, which is never what stock asyncio does."""

    def choose(self, point: Point) -> int:
        return len(point.ready) - 1


def check_private_interface() -> None:
    """Try what the turn loop relies on.

    Raises:
        UnsupportedError: this Python has another event loop.
    """
    if _checked:
        return
    _checked.append("now")  # the trial makes loops itself
    try:
        wrong = _lacking() or _trial()
    except Exception as error:  # noqa: BLE001  whatever it is, the answer is the same
        wrong = f"{type(error).__name__}: {error}"
    if wrong:
        _checked.clear()
        raise UnsupportedError(
            f"turns cannot be interleaved on Python {sys.version.split()[0]}: {wrong}",
            why="the event loop that chooses the order relies on private parts of asyncio, which are different here",
            fix="use Python 3.11, 3.12 or 3.13, or a newer release of this package",
        )


def _lacking() -> str:
    missing = [f"asyncio.{label}.{name}" for label, kind, names in _NAMES for name in names if not hasattr(kind, name)]
    return f"no {', '.join(missing)}" if missing else ""


def _trial() -> str:
    """Run two tasks, a timer and a lock; "" if everything went as chosen."""
    from pytest_durability.world.turns.loop import TurnLoop

    loop = TurnLoop(_Last())
    try:
        absent = [name for name in _PARTS if not hasattr(loop, name)]
        if absent:
            return f"an event loop has no {', '.join(absent)}"
        seen: list[str] = []
        before = asyncio._get_running_loop()
        asyncio._set_running_loop(None)  # the check may be asked for inside of a loop
        try:
            loop.run_until_complete(_program(seen))
        finally:
            asyncio._set_running_loop(before)
        if seen != ["b", "b b", "a", "a a", "timer"]:
            return f"the order was {seen}"
        return "" if loop.steps and loop.time() == 1030.0 else "the time did not move as it should"  # noqa: PLR2004
    finally:
        loop.close()


_WHO: contextvars.ContextVar[str] = contextvars.ContextVar("_WHO", default="")


async def _program(seen: list[str]) -> None:
    async def turn(name: str) -> None:
        _WHO.set(name)
        seen.append(name)
        await asyncio.sleep(0)
        seen.append(f"{name} {_WHO.get()}")

    await asyncio.gather(turn("a"), turn("b"))
    await asyncio.sleep(30)
    seen.append("timer")
