"""Each planted bug of overlapping turns is found by trying orders, with its name; its sound twin passes all of them."""

from __future__ import annotations

import itertools

import pytest

from pytest_durability.verdict import Anomaly
from pytest_durability.world.turns.turns import Turns
from tests.planted.turns import PLANTED


@pytest.fixture
def trial(tmp_path):
    """A function that runs a program of a planted bug with one of its stores, in a fresh folder each time."""
    turns, numbers = Turns(), itertools.count()

    def once(planted, store):
        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        made = []
        try:
            planted.program(turns, lambda place: made.append(store(place)) or made[-1], folder)
        finally:
            for one in made:
                if hasattr(one, "database"):
                    one.database.close()

    once.turns = turns
    yield once
    turns.close()


@pytest.mark.parametrize("name", PLANTED)
def test_the_bug_is_found(trial, name):
    """The search finds an order that shows it, and that order shows it again by itself."""
    planted = PLANTED[name]
    with pytest.raises(Anomaly) as found:
        trial.turns.explore(lambda: trial(planted, planted.broken), cancel=planted.cancel)
    assert type(found.value).__name__ == planted.anomaly
    assert "run it again" in found.value.__notes__[0]


@pytest.mark.parametrize("name", PLANTED)
def test_the_sound_twin_passes_every_order(trial, name):
    """Nothing is found, and all orders with up to two preemptions (or a cancellation and one) were tried."""
    planted = PLANTED[name]
    explored = trial.turns.explore(lambda: trial(planted, planted.sound), cancel=planted.cancel)
    assert explored.complete
    assert explored.bound == 2
    assert explored.runs > 3


@pytest.mark.parametrize("name", sorted(set(PLANTED) - {"order by timestamp", "index kept in memory"}))
def test_one_after_the_other_shows_nothing(trial, name):
    """The bug needs an overlap: without a preemption or a cancellation the broken store passes."""
    planted = PLANTED[name]
    trial.turns.explore(lambda: trial(planted, planted.broken), preemptions=0, rare=0, limit=2)


def test_a_lost_update_is_two_turns_and_one_preemption(trial):
    """The read-modify-write is told with the shortest order there is, and drawn in two lanes."""
    planted = PLANTED["read-modify-write of a whole file"]
    with pytest.raises(Anomaly) as found:
        trial.turns.explore(lambda: trial(planted, planted.broken))
    order, lanes = found.value.__notes__
    assert "order of the turns: 0 1   (1 preemptions" in order
    assert [line.split() for line in lanes.splitlines()] == [
        ["step", "turn", "0", "turn", "1"],
        ["1", "begins"],
        ["2", "begins"],
        ["3", "returns"],
        ["4", "returns"],
    ]
    first, second = (lanes.splitlines()[number].index("begins") for number in (1, 2))
    assert first < second, "each turn has a column of its own"
