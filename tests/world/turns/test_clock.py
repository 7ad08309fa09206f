"""`clock="frozen"` replaces the wall clock, and only that, and only as long as the world is open."""

from __future__ import annotations

import asyncio
import datetime as dt
import gc
import sqlite3
import subprocess
import sys
import time

import pytest
from hypothesis.internal.conjecture import junkdrawer

from pytest_durability.errors import UnsupportedError, UsageError
from pytest_durability.world.world import open_world

pytest.importorskip("freezegun")


def stamps(count=3):
    """What a store would write: readings of the clock in three ways."""
    return [(time.time(), dt.datetime.now(dt.UTC).isoformat(), time.time_ns()) for _ in range(count)]


def test_each_run_shows_the_same_times():
    """Two worlds show the same moments, and readings differ until the clock is frozen."""
    runs = []
    for _ in range(2):
        with open_world(clock="frozen"):
            runs.append(stamps())
    assert runs[0] == runs[1]
    assert len(set(runs[0])) == 3


def test_measuring_durations_moves_no_wall_clock():
    """Whoever measures, and however often, such as a tool at each garbage collection, the same times are shown."""
    with open_world(clock="frozen"):
        shown = stamps()
    with open_world(clock="frozen"):
        readings = [
            time.monotonic(),
            time.perf_counter(),
            time.monotonic(),
            time.monotonic_ns() / 1e9,
            time.perf_counter_ns() / 1e9,
        ]
        assert stamps() == shown
        assert readings == sorted(set(readings))
        assert readings[-1] < time.monotonic() < readings[-1] + 1


def test_frozen_readings_are_equal():
    """After `freeze` every reading is the same, until `go_on`."""
    with open_world(clock="frozen") as world:
        world.clock.freeze()
        first, second = time.time(), time.time()
        assert first == second
        world.clock.step(60)
        assert time.time() == first + 60
        world.clock.go_on()
        assert time.time() != time.time()


def test_the_clock_goes_back_and_durations_do_not():
    """A step back is seen by the wall clock, by SQLite too, and never by `time.monotonic`."""
    with open_world(clock="frozen") as world:
        db = sqlite3.connect(world.root / "s.db")
        before, duration, there = time.time(), time.monotonic(), db.execute("SELECT julianday('now')").fetchone()[0]
        world.clock.step(-3600)
        assert before - 3601 < time.time() < before - 3599
        assert 0 <= time.monotonic() - duration < 1
        assert time.monotonic_ns() <= time.monotonic_ns()
        assert db.execute("SELECT julianday('now')").fetchone()[0] < there
        db.close()
        with pytest.raises(UsageError, match="finite"):
            world.clock.step(float("inf"))


def test_a_garbage_collection_does_not_move_the_clock():
    """Hypothesis times each collection, at moments that no store chose; that is no reading of the store."""
    timing = getattr(junkdrawer, "gc_cumulative_time", None)
    if timing is None:
        pytest.skip("this version does not time them")
    timing()  # from now on it does
    with open_world(clock="frozen") as world:
        before = world.clock.now()
        gc.collect()
        assert world.clock.now() == before
        time.time()
        assert world.clock.now() > before


def test_a_clock_begins_anew_for_the_next_run():
    """After `restart` it shows what it showed first, and durations were never set back."""
    with open_world(clock="frozen") as world:
        before, begun = world.clock.now(), time.monotonic()
        world.clock.step(-60)
        time.time()
        world.clock.restart()
        assert world.clock.now() == before
        assert abs(time.monotonic() - begun) < 1


def test_stock_asyncio_is_not_frozen():
    """Timers of the stock event loop fire in a frozen world."""
    with open_world(clock="frozen") as world:
        world.clock.freeze()
        assert asyncio.run(asyncio.wait_for(asyncio.sleep(0.001, "slept"), 5)) == "slept"


def test_turns_have_their_own_time():
    """Time of the turns' loop passes by itself, and the wall clock stands still meanwhile."""
    with open_world(clock="frozen") as world:
        world.clock.freeze()
        before = time.time()

        async def turn():
            await asyncio.sleep(3600)
            return time.time()

        assert world.turns.overlap(turn, turn, order="0").values == (before, before)


def test_nothing_stays_patched():
    """The functions of `time` and `datetime` are their own again, also where a module of the test had bound them."""
    before = time.time, time.monotonic, time.perf_counter, time.time_ns, dt.datetime, dt.date
    with pytest.raises(UsageError), open_world(clock="frozen") as world:
        world.clock.step(float("nan"))
    assert (time.time, time.monotonic, time.perf_counter, time.time_ns, dt.datetime, dt.date) == before


def test_who_does_not_ask_has_no_clock_to_set():
    """Without `clock="frozen"` the clock is the system's, and that is said."""
    with open_world() as world, pytest.raises(UsageError, match="frozen"):
        _ = world.clock
    with pytest.raises(UsageError, match="clock"), open_world(clock="stopped"):
        pass


def test_without_freezegun_it_is_refused(monkeypatch):
    """A missing extra is named with the command that installs it."""
    monkeypatch.setitem(sys.modules, "freezegun", None)
    with pytest.raises(UnsupportedError, match="freezegun") as found, open_world(clock="frozen"):
        pass
    assert "[clock]" in found.value.fix


def test_who_does_not_ask_does_not_load_it():
    """A world without a clock and without turns imports neither freezegun nor asyncio's loop of turns."""
    program = (
        "import sys\nfrom pytest_durability.world.world import open_world\nwith open_world() as w: pass\n"
        "assert not {'freezegun', 'pytest_durability.world.turns.loop'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
