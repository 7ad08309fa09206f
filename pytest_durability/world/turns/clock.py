"""Stores that sort by timestamps trust a clock which, on real machines, stands still between two reads and is set back.

Rule: the wall clock is a plain value that starts at the same moment in every run; each reading is a millisecond after the last
one until `freeze`. What measures durations (`time.monotonic`) never goes back, as on a real machine. At the end nothing is patched.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pytest_durability.errors import UnsupportedError, UsageError

START = "2031-05-06 07:08:09"
"""What the clock shows first."""

_TICK = 0.001
_EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - as naive as the readings of freezegun
_MONOTONIC = (("_get_fake_monotonic", 1.0), ("_get_fake_monotonic_ns", 1e9))


class Clock:
    """`world.clock`: `step` sets it forward or back, `freeze` lets it stand still, `go_on` ends that."""

    def __init__(self, factory: Any) -> None:
        self._factory = factory
        self.stepped = 0.0
        self._readings = 0
        self.begun = dt.datetime.fromisoformat(START)

    def now(self) -> dt.datetime:
        """What it shows, without a time zone (UTC); looking at it here does not move it."""
        shown: dt.datetime = self._factory.time_to_freeze
        return shown

    def step(self, seconds: float) -> None:
        """Set the clock forward, or back.

        Raises:
            UsageError: not a finite number of seconds.
        """
        if not math.isfinite(seconds):
            raise UsageError(
                f"clock.step({seconds!r})", why="a clock cannot jump that far", fix="give a finite number of seconds"
            )
        self._factory.time_to_freeze += dt.timedelta(seconds=seconds)
        self.stepped += seconds

    def durations(self, unit: float) -> Callable[[], Any]:
        """What measures durations, in `unit` parts of a second: on with every reading of either clock, never back.

        Its readings do not move the wall clock, because tools take them at moments that differ from run to run, such as
        Hypothesis at each garbage collection.
        """

        def reading() -> Any:
            self._readings += 1
            shown = self._factory.time_to_freeze - dt.timedelta(seconds=self.stepped) - _EPOCH
            if unit == 1:
                return shown.total_seconds() + self._readings * _TICK
            return int((shown // dt.timedelta(microseconds=1) + self._readings * round(_TICK * 1e6)) * unit / 1e6)

        return reading

    def restart(self) -> None:
        """Back to the beginning, for the next run."""
        self._factory.time_to_freeze, self.stepped, self._readings = self.begun, 0.0, 0

    def freeze(self) -> None:
        """From now on every reading is the same, until `go_on`."""
        self._factory.update_step_width(0)

    def go_on(self) -> None:
        """Readings differ again."""
        self._factory.update_step_width(_TICK)


@contextmanager
def frozen_clock() -> Iterator[Clock]:
    """Replace the wall clock of this process until the block ends; asyncio's timers run on in real time.

    Raises:
        UnsupportedError: freezegun is not installed.
    """
    try:
        import freezegun
        from freezegun import api
    except ImportError:
        raise UnsupportedError(
            'clock="frozen" needs freezegun, which is not installed',
            why="the wall clock of a process is read in a dozen ways, and all of them have to show the same",
            fix="pip install pytest-durability[clock]",
        ) from None
    freezer = freezegun.freeze_time(START, auto_tick_seconds=_TICK, real_asyncio=True)
    saved = {name: getattr(api, name) for name, _ in _MONOTONIC if hasattr(api, name)}
    clock = Clock(freezer.start())
    clock.restart()  # it looks at every name of every module, and lazy ones load, and look at clocks
    try:
        for name, unit in _MONOTONIC:
            if name in saved:
                setattr(api, name, clock.durations(unit))
        yield clock
    finally:
        for name, function in saved.items():
            setattr(api, name, function)
        freezer.stop()
