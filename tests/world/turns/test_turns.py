"""`world.turns`: what a hand-written test says about overlapping turns."""

from __future__ import annotations

import asyncio

import pytest

from pytest_durability.errors import UsageError
from pytest_durability.verdict import VacuousRun
from pytest_durability.world.disk.sqlite.locks import held
from pytest_durability.world.world import open_world


async def pauses(times=2):
    """A turn of so many suspensions."""
    for _ in range(times):
        await asyncio.sleep(0)
    return times


def test_a_world_has_turns():
    """Turns are there when they are used, run on one loop with what was opened before, and are over with the world."""
    with open_world() as world:
        lock = world.turns.run(asyncio.sleep(0, asyncio.Lock()))

        async def turn():
            async with lock:
                return await pauses()

        loop = world.turns.loop
        assert world.turns.overlap(turn, turn).values == (2, 2)
        assert world.turns.last is not None
        assert world.turns.loop is loop
    assert loop.is_closed()


def test_the_timeline_has_a_column_for_each_turn():
    """Operations stand in the column of the turn that did them, also after something else was run on the loop."""
    with open_world() as world:
        assert world.turns.timeline() == ""
        world.turns.run(pauses())

        async def writes(name):
            await asyncio.sleep(0)
            (world.root / name).mkdir()

        async def fails():
            await asyncio.sleep(0)
            raise ValueError("no")

        world.turns.overlap(lambda: writes("a"), fails, order="0 1 1 0")
        assert [line.split() for line in world.turns.timeline().splitlines()] == [
            ["step", "turn", "0", "turn", "1"],
            ["1", "begins"],
            ["2", "begins"],
            ["3", "raises", "ValueError"],
            ["4", "mkdir", "a"],
            ["4", "returns"],
        ]


def test_without_an_order_runs_differ_and_repeat():
    """Each overlap of a test has an order of its own, and the test as a whole repeats."""
    runs = []
    for _ in range(2):
        with open_world() as world:
            runs.append([str(world.turns.overlap(lambda: pauses(5), lambda: pauses(5)).order) for _ in range(10)])
    assert runs[0] == runs[1]
    assert len(set(runs[0])) > 3


def test_an_order_given_is_run(turns):
    """Text, numbers and the order of an earlier run are all taken."""
    for order in ("1 0 1", [1, 0, 1]):
        assert turns.overlap(pauses, pauses, order=order).steps[:3] == ("1", "0", "1")
    assert turns.last is not None
    again = turns.overlap(pauses, pauses, order=turns.last.order)
    assert again.steps[:3] == ("1", "0", "1")


def test_a_turn_is_cancelled_once(turns):
    """`cancel_at` is for the next overlap and no other."""
    turns.cancel_at(1)
    assert turns.overlap(pauses, pauses).ended[0].cancelled
    assert turns.overlap(pauses, pauses).errors == ()
    turns.cancel_at(2, turn=1)
    assert [ended.cancelled for ended in turns.overlap(pauses, pauses).ended] == [False, True]


def test_a_cancellation_that_did_not_happen_is_told(turns):
    """A turn that ends before its suspension would make the test say nothing."""
    turns.cancel_at(9)
    with pytest.raises(VacuousRun, match="9 times"):
        turns.overlap(pauses)


def test_misuse_is_told(turns):
    """What cannot be interleaved, or read, is refused."""
    with pytest.raises(UsageError, match="awaited"):
        turns.overlap(lambda: 1)
    with pytest.raises(UsageError, match="processes"):
        turns.overlap(pauses, how="processes")
    with pytest.raises(UsageError, match="cancel_at"):
        turns.cancel_at(-1)


def test_turns_are_not_run_inside_of_another_loop(turns):
    """A test that is a coroutine itself is told how to be written."""

    async def test():
        with pytest.raises(UsageError, match="another event loop"):
            turns.overlap(pauses)
        with pytest.raises(UsageError, match="another event loop"):
            turns.run(pauses())

    asyncio.run(test())


def test_a_connection_that_waits_for_another_one_is_seen_as_blocked():
    """A transaction that is open over a pause makes the other thread of aiosqlite wait, and the first turn goes on all the same."""
    aiosqlite = pytest.importorskip("aiosqlite")
    with open_world() as world:
        path = world.root / "s.db"
        world.turns.run(_closed(aiosqlite, path))

        async def turn():
            async with aiosqlite.connect(path, timeout=60, isolation_level=None) as db:
                await db.execute("BEGIN IMMEDIATE")
                await asyncio.sleep(0)
                await db.execute("INSERT INTO rows VALUES('u')")
                await db.commit()
            return "committed"

        found = world.turns.overlap(turn, turn, order="0 0 0 1 1 1")
        assert found.values == ("committed", "committed")
        assert found.steps[:4] == ("0", "0", "0", "1")


def test_a_commit_of_its_own_leaves_a_transaction_open(tmp_path):
    """Execute, then commit by a second await, over aiosqlite: cancelled between them the database stays locked, which is found."""
    aiosqlite = pytest.importorskip("aiosqlite")
    sound = False

    with open_world() as world:
        path = world.root / "s.db"

        def program():
            path.unlink(missing_ok=True)
            db = world.turns.run(_opened(aiosqlite, path))

            async def turn():
                try:
                    await db.execute("INSERT INTO rows VALUES('u')")
                    await db.commit()
                except BaseException:
                    if sound:
                        await db.rollback()
                    raise

            world.turns.overlap(turn)
            try:
                assert held(world.root) == (), "left locked"
            finally:
                world.turns.run(db.close())

        with pytest.raises(AssertionError, match="left locked") as found:
            world.turns.explore(program, cancel=True)
        assert "!0@" in found.value.__notes__[0]
        sound = True
        assert world.turns.explore(program, cancel=True).complete


async def _opened(aiosqlite, path):
    db = await aiosqlite.connect(path)
    await db.execute("CREATE TABLE rows(text)")
    await db.commit()
    return db


async def _closed(aiosqlite, path):
    await (await _opened(aiosqlite, path)).close()
