"""The turn loop is an asyncio loop: what programs rely on holds, except that the order is chosen and time is virtual."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import sys
import threading
import warnings

import pytest

from pytest_durability.errors import UnsupportedError
from pytest_durability.world.turns import selftest
from pytest_durability.world.turns.loop import TurnLoop
from pytest_durability.world.turns.order import Order
from pytest_durability.world.turns.overlap import run_turns
from pytest_durability.world.turns.waiting import Deadlock, Livelock

WHO = contextvars.ContextVar("WHO", default="nobody")


@pytest.fixture
def loop():
    """A loop that is drained and closed at the end."""
    made = TurnLoop()
    yield made
    if not made.is_closed():
        made.drain()
        made.close()


def run(loop, *turns, order="", **options):
    """Run turns in an order given as text."""
    return run_turns(loop, turns, Order.parse(order).chooser(), **options)


def test_an_order_is_followed_and_told(loop):
    """The order given is the order taken, and steps are told by name."""
    seen = []

    async def turn(name):
        seen.append(name)
        await asyncio.sleep(0)
        seen.append(name)

    found = run(loop, lambda: turn("a"), lambda: turn("b"), order="1 0 1")
    assert seen == ["b", "a", "b", "a"]
    assert found.steps == ("1", "0", "1", "0")
    assert str(found.order) == "1 0 1"
    assert found.lanes() == "0 .#.#\n1 #.#."


def test_time_is_virtual(loop):
    """A timeout of a day takes none, and timers come in their order."""
    seen = []

    async def sleeper(seconds):
        await asyncio.sleep(seconds)
        seen.append(seconds)

    async def waiter():
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 86_400)
        return "late"

    found = run(loop, lambda: sleeper(3), lambda: sleeper(1), waiter)
    assert found.values == (None, None, "late")
    assert seen == [1, 3]
    assert loop.time() == 1000.0 + 86_400


def test_a_cancelled_timer_does_not_move_the_time(loop):
    """Time goes to the next timer that somebody still waits for."""

    async def turn():
        async with asyncio.timeout(500):
            await asyncio.sleep(1)

    run(loop, turn)
    assert loop.time() == 1001.0


def test_a_deadlock_names_who_waits_and_where(loop):
    """Two turns that wait for each other's lock end in a deadlock that shows both lines."""
    first, second = asyncio.Lock(), asyncio.Lock()

    async def turn(one, other):
        async with one:
            await asyncio.sleep(0)
            async with other:
                pass

    assert run(loop, lambda: turn(first, second), lambda: turn(second, first)).errors == ()
    found = run(loop, lambda: turn(first, second), lambda: turn(second, first), order="0 1")
    assert [type(ended.error) for ended in found.ended] == [Deadlock, Deadlock]
    waiting = found.errors[0].waiting
    assert [one.name for one in waiting] == ["0", "1"]
    assert all(one.where.startswith("test_loop.py:") and one.where.endswith(" in turn") for one in waiting)
    assert not loop.pending(), "they were cancelled and let go"


def test_going_round_in_circles_is_an_error():
    """Turns that never end are stopped at the limit of steps, tasks and plain callbacks alike."""

    async def forever():
        while True:  # noqa: ASYNC110  a program that never ends
            await asyncio.sleep(0)

    async def callbacks():
        def again():
            asyncio.get_running_loop().call_soon(again)

        again()
        await asyncio.Event().wait()

    for turn in (forever, callbacks):
        loop = TurnLoop(limit=500)
        found = run(loop, turn)
        assert [type(error) for error in found.errors] == [Livelock]
        loop.drain()
        loop.close()


def test_nothing_is_left_behind():
    """Tasks that a turn left are drained, async generators are closed, and nothing warns."""
    closed = []

    async def pieces():
        try:
            yield 1
            yield 2
        finally:
            await asyncio.sleep(0)
            closed.append("generator")

    async def background():
        try:
            await asyncio.Event().wait()
        finally:
            closed.append("background")

    kept = []

    async def turn():
        kept.append(asyncio.create_task(background()))
        kept.append(generator := pieces())
        await anext(generator)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loop = TurnLoop()
        run(loop, turn)
        assert loop.drain() == ()
        loop.close()
    assert sorted(closed) == ["background", "generator"]


def test_who_will_not_be_cancelled_is_named():
    """A task that swallows every cancellation does not hang the end, and is told."""

    async def stubborn():
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                continue

    loop = TurnLoop()
    found = run(loop, stubborn)
    assert found.stubborn == ("0",)
    assert type(found.errors[0]) is Deadlock
    loop.close()


def test_background_tasks_go_on_as_far_as_they_can(loop):
    """What a turn left behind runs after it, without time passing."""
    seen = []

    async def later():
        await asyncio.sleep(0)
        seen.append("soon")
        await asyncio.sleep(60)
        seen.append("later")

    async def turn():
        asyncio.create_task(later())  # noqa: RUF006  a store that forgets its task

    run(loop, turn)
    assert seen == ["soon"]


def test_each_task_has_its_own_context(loop):
    """What one turn sets in a context variable no other one sees, whatever the order, nor does a call in a thread change it."""
    seen = {}

    async def turn(name):
        WHO.set(name)
        await asyncio.sleep(0)
        seen[name] = WHO.get(), await asyncio.to_thread(WHO.get)
        await asyncio.to_thread(WHO.set, "thread")
        loop.call_soon(lambda: seen.setdefault(f"{name} plain", WHO.get()))
        await asyncio.sleep(0)
        assert WHO.get() == name

    found = run(loop, lambda: turn("a"), lambda: turn("b"), order="0 1 1 0")
    assert found.errors == ()
    assert seen == {"a": ("a", "a"), "b": ("b", "b"), "a plain": "a", "b plain": "b"}
    assert WHO.get() == "nobody"


def test_a_call_in_an_executor_is_somebody_to_choose(loop):
    """Between asking for the call and the call another turn can go on; it runs in a thread that is not the loop's."""
    seen = []

    async def asks():
        seen.append("asked")
        await asyncio.to_thread(lambda: seen.append(threading.current_thread() is threading.main_thread()))

    async def other():
        seen.append("other")

    run(loop, asks, other, order="0 1")
    assert seen == ["asked", "other", False]
    seen.clear()
    run(loop, asks, other)
    assert seen == ["asked", False, "other"]


def test_what_an_executor_raises_arrives(loop):
    """An exception of the function is one of the task that awaits it."""

    async def turn():
        await asyncio.get_running_loop().run_in_executor(None, int, "x")

    assert type(run(loop, turn).errors[0]) is ValueError


def test_a_call_runs_although_its_task_was_cancelled(loop):
    """A pool with a free thread begins at once, so the write of a cancelled turn happens, and may come last."""
    seen = []

    async def writes():
        try:
            await asyncio.to_thread(seen.append, "written")
        finally:
            seen.append("cleaned up")

    found = run(loop, writes, cancels={"0": 1}, order="0")
    assert found.ended[0].cancelled
    assert sorted(seen) == ["cleaned up", "written"]
    seen.clear()
    run(loop, writes, cancels={"0": 1}, order="0:1")
    assert sorted(seen) == ["cleaned up", "written"]


def test_calls_that_wait_for_each_other_are_seen_as_blocked(loop):
    """A call that waits for a lock which another turn holds between two calls does not hang the others."""
    lock = threading.Lock()

    async def turn():
        await asyncio.to_thread(lock.acquire)
        await asyncio.sleep(0)
        await asyncio.to_thread(lock.release)
        return True

    assert run(loop, turn, turn, order="0 0 0 1 1 1").values == (True, True)


def test_a_thread_may_ask_the_loop(loop):
    """`run_coroutine_threadsafe` from inside an executor gets its answer."""

    async def answer():
        return 42

    async def turn():
        running = asyncio.get_running_loop()
        return await asyncio.to_thread(lambda: asyncio.run_coroutine_threadsafe(answer(), running).result(5))

    assert run(loop, turn).values == (42,)


def test_a_wrapped_step_still_belongs_to_its_task(loop):
    """Partial objects, wrappers and closures around a task's step (as tracers make them) do not hide whose it is."""
    seen, real = [], loop.call_soon

    def wrapped(callback, *args, context=None):
        @functools.wraps(callback)
        def traced(*given):
            return callback(*given)

        return real(functools.partial(traced), *args, context=context)

    async def turn(name):
        for _ in range(2):
            seen.append(name)
            await asyncio.sleep(0)

    loop.call_soon = wrapped
    try:
        run(loop, lambda: turn("a"), lambda: turn("b"), order="1 0 1 0")
    finally:
        del loop.call_soon
    assert seen == ["b", "a", "b", "a"]


def test_a_task_class_of_another_make_is_interleaved(loop):
    """Tasks made by a factory, of a class of their own, are chosen among as well."""

    class Traced(asyncio.Task):
        pass

    class Slow(asyncio.tasks._PyTask):
        pass

    seen = []

    async def piece(name):
        seen.append(name)
        await asyncio.sleep(0)
        seen.append(name)

    async def turn():
        await asyncio.gather(piece("a"), piece("b"))

    for kind in (Traced, Slow):
        seen.clear()
        loop.set_task_factory(lambda own, coro, kind=kind, **options: kind(coro, loop=own, **options))
        run(loop, turn, order="0.2 0.1 0.2")
        assert seen == ["b", "a", "b", "a"]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="asyncio has eager tasks since 3.12")
def test_an_eager_task_starts_in_its_makers_step(loop):
    """That is what an eager factory promises, so it is no choice; every later step is one, and turns themselves start by choice."""
    loop.set_task_factory(asyncio.eager_task_factory)
    seen = []

    async def piece():
        seen.append("piece")
        await asyncio.sleep(0)
        seen.append("piece")

    async def turn(name):
        seen.append(name)
        made = asyncio.create_task(piece())
        seen.append(name)
        await made

    found = run(loop, lambda: turn("a"), lambda: turn("b"), order="1")
    assert seen[:3] == ["b", "piece", "b"]
    assert "1.1" in found.steps
    assert found.errors == ()


def test_cancelling_at_a_suspension(loop):
    """A turn is cancelled at the suspension given, and before it began at 0; one that swallows it returns."""
    seen = []

    async def turn():
        seen.append(1)
        await asyncio.sleep(0)
        seen.append(2)
        await asyncio.sleep(5)
        seen.append(3)

    for k, reached in ((0, []), (1, [1]), (2, [1, 2])):
        seen.clear()
        found = run(loop, turn, cancels={"0": k})
        assert seen == reached
        assert found.ended[0].cancelled
        assert found.cancelled == (("0", k),)

    async def swallows():
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            return "kept"

    assert run(loop, swallows, cancels={"0": 1}).values == ("kept",)


def test_a_task_of_a_turn_can_be_cancelled(loop):
    """Names reach the tasks that a turn started."""

    async def piece():
        await asyncio.sleep(1)

    async def turn():
        return await asyncio.gather(piece(), piece(), return_exceptions=True)

    values = run(loop, turn, cancels={"0.2": 1}).values[0]
    assert [type(value) for value in values] == [type(None), asyncio.CancelledError]


def test_what_needs_the_outside_is_refused(loop):
    """Sockets and child processes are refused with a reason, instead of hanging."""

    async def turn():
        await asyncio.open_connection("127.0.0.1", 1)

    error = run(loop, turn).errors[0]
    assert type(error) is UnsupportedError
    assert error.why
    assert error.fix


def test_exit_of_a_turn_does_not_end_the_run(loop):
    """A store that calls `sys.exit` in one turn has failed, and the other turn goes on."""

    async def leaves():
        sys.exit(3)

    async def stays():
        await asyncio.sleep(0)
        return "there"

    found = run(loop, leaves, stays)
    assert type(found.ended[0].error) is SystemExit
    assert found.ended[1].value == "there"


def test_another_asyncio_is_refused_loudly(monkeypatch):
    """A Python whose loop lacks what is relied on, or that runs another order, is refused in three parts."""
    monkeypatch.setattr(selftest, "_checked", [])
    monkeypatch.setattr(selftest, "_PARTS", ("_ready", "_gone"))
    with pytest.raises(UnsupportedError) as found:
        TurnLoop()
    assert "_gone" in found.value.what
    assert found.value.why
    assert found.value.fix
    monkeypatch.setattr(selftest, "_PARTS", ())
    monkeypatch.setattr(TurnLoop, "_pick", lambda _self: 0)
    with pytest.raises(UnsupportedError, match="the order was"):
        TurnLoop()


def test_aiosqlite_is_waited_for(loop, tmp_path):
    """The threads of aiosqlite answer in their own time, and yet the same order gives the same steps in every run."""
    aiosqlite = pytest.importorskip("aiosqlite")

    async def setup():
        async with aiosqlite.connect(tmp_path / "s.db") as db:
            await db.execute("CREATE TABLE rows(text)")
            await db.commit()

    async def turn(text):
        async with aiosqlite.connect(tmp_path / "s.db") as db:
            (count,) = await (await db.execute("SELECT count(*) FROM rows")).fetchone()
            await db.execute("INSERT INTO rows VALUES(?)", (f"{count} {text}",))
            await db.commit()

    async def rows():
        async with aiosqlite.connect(tmp_path / "s.db") as db:
            return [row[0] for row in await (await db.execute("SELECT text FROM rows")).fetchall()]

    runs = set()
    for _ in range(5):
        (tmp_path / "s.db").unlink(missing_ok=True)
        loop.run_until_complete(setup())
        found = run(loop, lambda: turn("a"), lambda: turn("b"), order="0 0 0 1 1 1 0 0 0 1 1 0")
        assert found.errors == ()
        runs.add((found.steps, tuple(loop.run_until_complete(rows()))))
    assert len(runs) == 1
