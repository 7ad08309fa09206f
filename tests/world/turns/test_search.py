"""The search tries each order once, the simple ones first, and leaves out only what is equal to something that it tried."""

from __future__ import annotations

import asyncio
import random

import pytest

from pytest_durability.verdict import VacuousRun
from pytest_durability.world.turns.search import Search
from pytest_durability.world.turns.turns import Turns


@pytest.fixture
def turns():
    """Turns outside of any world."""
    made = Turns()
    yield made
    made.close()


def appending(store, name, waits):
    """A turn that loads, waits so often, and saves what it loaded with its own name behind it."""

    async def turn():
        history = list(store)
        for _ in range(waits):
            await asyncio.sleep(0)
        store[:] = [*history, name]

    return turn


def outcomes(program, **options):
    """Every distinct result of a program (a function of `Turns` that gives turns and a function that shows the result)."""
    turns, seen, orders = Turns(), set(), []

    def once():
        made, result = program(turns)
        found = turns.overlap(*made)
        orders.append(found.steps)
        seen.add(result())

    explored = turns.explore(once, rare=0, limit=50_000, **options)
    assert len(set(orders)) == len(orders) == explored.runs, "an order was run twice"
    return seen, explored


def steps(store, turns):
    """A program of turns that each do a list of (operation, cell) with a suspension behind each."""

    def program(world):
        cells = dict.fromkeys(store, 0)

        def turn(number, script):
            async def run():
                local = number + 1
                for kind, cell in script:
                    if cell is not None:
                        world.touch(cell)
                    if kind == "read":
                        local = local * 10 + cells[cell]
                    elif kind == "write":
                        cells[cell] = local
                    await asyncio.sleep(0)
                cells[f"end {number}"] = local

            return run

        return [turn(number, script) for number, script in enumerate(turns)], lambda: tuple(sorted(cells.items()))

    return program


@pytest.mark.parametrize("bound", [0, 1, 2, None])
@pytest.mark.parametrize("seed", range(6))
def test_what_is_left_out_is_equal_to_something_that_was_run(seed, bound):
    """On random programs the search that leaves out and the one that does not see the same results, within the same bound."""
    source = random.Random(seed)
    scripts = [
        [
            source.choice([("read", "x"), ("write", "x"), ("read", "y"), ("write", "y"), ("write", f"own {n}"), ("", None)])
            for _ in range(3)
        ]
        for n in range(2 + (seed % 2 if bound is not None else 0))
    ]
    program = steps(["x", "y", "own 0", "own 1", "own 2"], scripts)
    everything, full = outcomes(program, preemptions=bound)
    some, part = outcomes(program, preemptions=bound, declared=True)
    assert some == everything
    assert part.complete
    assert full.complete
    assert part.runs <= full.runs


def test_nothing_is_run_that_differs_in_independent_steps_only():
    """Two turns that share nothing need no preemption at all."""
    program = steps(["a", "b"], [[("write", "a")] * 4, [("write", "b")] * 4])
    _, explored = outcomes(program, preemptions=None, declared=True)
    _, blind = outcomes(program, preemptions=None)
    assert explored.runs == 2
    assert explored.left_out
    assert blind.runs == 252, "two turns of five steps have 10 over 5 orders"


def test_orders_come_by_their_preemptions(turns):
    """An order with fewer preemptions is tried before one with more."""
    costs, search = [], Search(preemptions=2, rare=0)
    for attempt in search:
        store = []
        with turns._chosen(attempt):
            turns.overlap(appending(store, "a", 3), appending(store, "b", 3))
        costs.append(attempt.cost)
    assert costs == sorted(costs)
    assert set(costs) == {0, 1, 2}
    assert search.complete
    assert search.bound == 2


def test_a_limit_is_told(turns):
    """A search that was stopped by its limit does not claim to be complete."""
    store = []
    explored = turns.explore(lambda: turns.overlap(appending(store, "a", 9), appending(store, "b", 9)), limit=20)
    assert explored.runs == 20
    assert not explored.complete


def test_random_orders_come_after_all_others(turns):
    """What the bound leaves is sampled: the rest of the runs has more preemptions than were asked for."""
    store, seen = [], []

    def program():
        seen.append(turns.overlap(appending(store, "a", 9), appending(store, "b", 9)).preemptions)

    explored = turns.explore(program, preemptions=0, rare=30, seed=3)
    assert explored.complete
    assert explored.runs == len(seen) == 32
    assert max(seen) > 0


def test_a_lost_update_takes_one_preemption(turns):
    """The failure tells the shortest order, and that order alone brings the failure back."""

    def program(order=None):
        store = []
        turns.overlap(appending(store, "a", 2), appending(store, "b", 4), order=order)
        assert sorted(store) == ["a", "b"]

    with pytest.raises(AssertionError) as found:
        turns.explore(program)
    note = found.value.__notes__[0]
    assert "(1 preemptions" in note
    order = note.split("order='")[1].split("'")[0]
    with pytest.raises(AssertionError):
        program(order)


def test_a_random_finding_is_shortened(turns):
    """What random orders find is told with as few preemptions as it needs."""

    def program():
        store = []
        found = turns.overlap(appending(store, "a", 2), appending(store, "b", 4))
        assert found.preemptions < 1 or sorted(store) == ["a", "b"]

    with pytest.raises(AssertionError) as found:
        turns.explore(program, preemptions=0, rare=200)
    assert "(1 preemptions" in found.value.__notes__[0]


def test_a_lock_passes_every_order(turns):
    """The same turns under a lock are in order however they are interleaved, and every order was tried."""

    def program():
        store, lock = [], asyncio.Lock()

        def locked(turn):
            async def run():
                async with lock:
                    await turn()

            return run

        turns.overlap(locked(appending(store, "a", 2)), locked(appending(store, "b", 4)))
        assert sorted(store) == ["a", "b"]

    explored = turns.explore(program, preemptions=None)
    assert explored.complete
    assert explored.runs > 5


def test_cancelling_is_a_choice(turns):
    """With `cancel` each turn is cancelled at each of its suspensions, and a store that leaves half a record is found."""

    def program():
        store = []

        async def turn():
            store.append("question")
            await asyncio.sleep(0)
            store.append("answer")

        turns.overlap(turn)
        assert len(store) == 2

    assert turns.explore(program).complete
    with pytest.raises(AssertionError) as found:
        turns.explore(program, cancel=True)
    assert "!0@1" in found.value.__notes__[0]


def test_a_program_that_does_not_repeat_is_told(turns):
    """A search over a program that offers other choices in every run does not claim to have tried all orders."""
    runs = []

    def program():
        runs.append(1)
        turns.overlap(*[appending([], "a", 3)] * (3 if len(runs) == 1 else 2))

    assert not turns.explore(program, preemptions=1, rare=0).complete


def test_a_program_without_an_overlap_is_vacuous():
    """A search in which no two turns ran together must not pass: it tried nothing."""
    with pytest.raises(VacuousRun, match="never called"):
        Turns().explore(lambda: None)
