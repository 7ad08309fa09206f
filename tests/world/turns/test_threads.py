"""Threads change places where a recorder sees an operation, where a lock is taken, and where they ask to; nowhere else."""

from __future__ import annotations

import queue
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from pytest_durability.world.turns.order import Order, Rare
from pytest_durability.world.turns.threads import give_way, run_threads
from pytest_durability.world.turns.turns import Turns
from pytest_durability.world.turns.waiting import Deadlock, Livelock
from pytest_durability.world.world import open_world


def run(*turns, order="", **options):
    """Run threads in an order given as text."""
    return run_threads(turns, Order.parse(order).chooser(), **options)


def test_one_runs_at_a_time_and_the_order_is_followed():
    """Threads change places at their points in the order given, and each is a real thread."""
    seen, idents = [], set()

    def turn(name):
        idents.add(threading.get_ident())
        seen.append(name)
        give_way()
        seen.append(name)

    found = run(lambda: turn("a"), lambda: turn("b"), order="1 0 1 0")
    assert seen == ["b", "a", "b", "a"]
    assert found.steps == ("1", "0", "1", "0")
    assert len(idents | {threading.get_ident()}) == 3
    give_way()


def test_what_a_thread_returns_and_raises_is_told():
    """Outcomes are those of the functions."""

    def fails():
        raise ValueError("no")

    found = run(lambda: 1, fails)
    assert found.values == (1, None)
    assert type(found.errors[0]) is ValueError
    with pytest.raises(ValueError, match="no"):
        found.raise_errors()


def test_a_lock_of_a_thread_that_stands_is_respected():
    """A thread that wants a lock is not offered while another one has it, and nobody waits in real time."""
    seen = []

    def program(order):
        seen.clear()
        made = []

        def turn(name):
            lock = made[0] if made else made.append(threading.Lock()) or made[0]
            with lock:
                seen.append(name)
                give_way()
                seen.append(name)

        return run(lambda: turn("a"), lambda: turn("b"), order=order)

    for order in ("0 1 1 1 0", "1 0 0 0 1", "0 0 1 1 0 1"):
        found = program(order)
        assert seen in (["a", "a", "b", "b"], ["b", "b", "a", "a"])
        assert found.errors == ()


@pytest.mark.parametrize("seed", range(5))
def test_conditions_queues_and_reentrant_locks_work(seed):
    """What `threading` and `queue` build on locks behaves, in any order."""

    def program():
        box, done, again = queue.Queue(maxsize=1), threading.Event(), threading.RLock()

        def producer():
            for number in range(3):
                box.put(number)
            done.set()

        def consumer():
            done_first = [box.get() for _ in range(3)]
            done.wait()
            with again, again:
                return done_first

        return producer, consumer

    made = {}

    def turn(index):
        def life():
            return made.setdefault("program", program())[index]()

        return life

    found = run_threads([turn(0), turn(1)], Rare(seed))
    assert found.errors == ()
    assert found.values[1] == [0, 1, 2]


def test_a_deadlock_names_the_threads_and_where_they_wait():
    """Two threads that take two locks in opposite order are found, named, and ended."""
    made = {}

    def turn(one, other):
        for name in (one, other):
            made.setdefault(name, threading.Lock())
        with made[one], made[other]:
            return True

    assert run(lambda: turn("x", "y"), lambda: turn("y", "x")).values == (True, True)
    made.clear()
    found = run(lambda: turn("x", "y"), lambda: turn("y", "x"), order="0 0 1 1 0 1")
    errors = found.errors
    assert [type(error) for error in errors] == [Deadlock, Deadlock]
    assert [waiting.name for waiting in errors[0].waiting] == ["0", "1"]
    assert all(" in turn" in waiting.where for waiting in errors[0].waiting)
    assert found.stubborn == ()


def test_a_lock_from_before_is_noticed_by_standing_still():
    """A lock that was made before the run cannot be looked into; who waits for it is seen as blocked all the same."""
    lock, seen = threading.Lock(), []

    def turn(name):
        with lock:
            seen.append(name)
            give_way()
            seen.append(name)

    found = run(lambda: turn("a"), lambda: turn("b"), order="0 1 0")
    assert found.errors == ()
    assert seen == ["a", "a", "b", "b"]


def test_who_gets_a_lock_of_a_world_is_chosen(durability):
    """A store that was opened before the turns brings its lock along: who waits for it is not offered, and who gets it is no race."""
    with durability.world() as world:
        lock, seen = threading.Lock(), []

        def turn(name):
            for _ in range(3):
                with lock:
                    seen.append(name)
                    give_way()

        found = world.turns.overlap(lambda: turn("a"), lambda: turn("b"), how="threads", order="0 1 0")
        first = list(seen)
        for _ in range(5):
            seen.clear()
            again = world.turns.overlap(lambda: turn("a"), lambda: turn("b"), how="threads", order=found.order)
            assert (seen, again.steps) == (first, found.steps)
    with lock, pytest.raises(RuntimeError, match="release unlocked lock"):
        threading.Lock().release()
    assert not lock.locked(), "after its world it is a lock like any other"


def test_what_a_step_wakes_goes_on_first():
    """Who waited for a lock from elsewhere is ready at the step after it is free, however busy the machine is."""
    lock, seen = threading.Lock(), []

    def holds():
        with lock:
            give_way()
        for name in "xyz":
            give_way()
            seen.append(name)

    def waits():
        with lock:
            seen.append("woken")
        give_way()
        seen.append("goes on")

    for _ in range(3):
        seen.clear()
        found = run(holds, waits, order="0 1 1")
        assert found.errors == ()
        assert seen == ["woken", "goes on", "x", "y", "z"]


def test_threads_without_an_end_are_stopped():
    """The limit of steps ends threads that only go round in circles."""

    def forever():
        while True:
            give_way()

    found = run(forever, lambda: 1, limit=50)
    assert type(found.ended[0].error) is Livelock
    assert found.stubborn == ()


def test_nothing_stays_patched():
    """The locks of `threading` are its own again afterwards, and so is the recorder's."""
    before = threading.Lock, threading.RLock, threading._allocate_lock
    run(give_way)
    assert (threading.Lock, threading.RLock, threading._allocate_lock) == before


def test_recorded_operations_are_places_to_change():
    """A read-modify-write of a whole file loses an update in threads, without the store's knowing of any of this."""

    def append(path, text):
        old = path.read_text() if path.exists() else ""
        path.write_text(old + text)

    with open_world() as world:
        path = world.root / "log"

        def program(order=None):
            path.unlink(missing_ok=True)
            world.turns.overlap(lambda: append(path, "a"), lambda: append(path, "b"), how="threads", order=order)
            assert sorted(path.read_text()) == ["a", "b"]

        program(order="0")
        with pytest.raises(AssertionError) as found:
            world.turns.explore(program)
        assert "(1 preemptions" in found.value.__notes__[0]


def test_a_database_lock_is_waited_for_without_time():
    """SQLite's waiting for another connection's lock lets that one go on; a busy timeout of a minute takes none."""
    with open_world() as world:
        path = str(world.root / "s.db")
        with sqlite3.connect(path) as db:
            db.execute("CREATE TABLE rows(text)")
        db.close()

        def turn(text):
            db = sqlite3.connect(path, timeout=60, isolation_level=None)
            db.execute("BEGIN IMMEDIATE")
            db.execute("INSERT INTO rows VALUES(?)", (text,))
            db.execute("COMMIT")
            db.close()

        begun = time.perf_counter()
        for seed in range(5):
            world.turns.chooser = Rare(seed)
            assert world.turns.overlap(lambda: turn("a"), lambda: turn("b"), how="threads").errors == ()
        assert time.perf_counter() - begun < 30
        db = sqlite3.connect(path)
        assert db.execute("SELECT count(*) FROM rows").fetchone() == (10,)
        db.close()
        assert world.disk.ops


def test_a_thread_that_a_turn_starts_is_one_of_them():
    """Threads started inside are named after their parent, chosen among, and joined without real waiting."""
    seen = []

    def child(name):
        seen.append(name)
        give_way()
        seen.append(name)

    def turn():
        threads = [threading.Thread(target=child, args=(name,)) for name in "ab"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return len(seen)

    found = run(turn, order="0.2 0.1 0.2 0.1")
    assert found.values == (4,)
    assert seen == ["b", "a", "b", "a"]


@pytest.mark.parametrize("seed", range(4))
def test_pools_are_interleaved_and_go_on_afterwards(seed):
    """Calls in a thread pool are steps like others, and the pool can be used after the run."""
    pools, seen = [], []

    def call(name):
        seen.append(name)
        give_way()
        seen.append(name)
        return name

    def turn():
        pools.append(ThreadPoolExecutor(2))
        return [future.result() for future in [pools[-1].submit(call, name) for name in "ab"]]

    found = run_threads([turn], Rare(seed, points=8))
    assert found.values == (["a", "b"],)
    assert sorted(seen) == ["a", "a", "b", "b"]
    assert pools[0].submit(int, "7").result(10) == 7
    pools[0].shutdown()


def test_the_order_of_two_calls_in_a_pool_is_chosen():
    """Two writes given to a pool land in either order, and the search finds both."""
    orders, turns = set(), Turns()

    def program():
        seen = []

        def write(name):
            give_way()
            seen.append(name)

        def turn():
            with ThreadPoolExecutor(2) as pool:
                for name in "ab":
                    pool.submit(write, name)

        assert turns.overlap(turn, how="threads").errors == ()
        orders.add("".join(seen))

    assert turns.explore(program, preemptions=1, limit=300, rare=0).runs > 1
    assert orders == {"ab", "ba"}
