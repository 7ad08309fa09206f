"""An order is data: its text and its faults parse back to it, and it fits any program."""

from __future__ import annotations

import pytest

from pytest_durability.errors import UsageError
from pytest_durability.faults import CancelTurn, ReorderTurns, Schedule
from pytest_durability.world.turns.order import Choice, Deviate, Follow, Order, Point, Rare, turn_of

ORDERS = ["", "0", "0 1 0", "0.1 1 0:2", "!0@2", "0 1 !1@0 !0.1@3"]


@pytest.mark.parametrize("text", ORDERS)
def test_texts_and_faults_are_the_same_order(text):
    """Text, and schedule of faults in its own text, give the order back."""
    order = Order.parse(text)
    assert str(order) == text
    faults = order.faults(2)
    assert Order.of(faults) == order
    assert Order.of(tuple(Schedule.parse(str(Schedule.of(faults))))) == order


def test_orders_are_made_of_what_people_write():
    """Turn numbers, single faults and orders are taken as well."""
    assert Order.of([0, 1, "0.1"]) == Order(("0", "1", "0.1"))
    assert Order.of(ReorderTurns((0, 1), (1, 0))) == Order(("1", "0"))
    assert Order.of(CancelTurn(1, 2)) == Order((), (("1", 2),))
    assert Order.of(order := Order(("1",))) is order


@pytest.mark.parametrize("wrong", ["!0", "!@1", "!0@x", 5, [1.5], None])
def test_what_is_no_order_is_told(wrong):
    """Anything else is refused with the form that is meant."""
    with pytest.raises(UsageError, match="order"):
        Order.of(wrong)


def test_a_task_belongs_to_its_turn():
    """Names of tasks and calls begin with their turn."""
    assert [turn_of(name) for name in ("0", "0.2", "1:3", "1.2:1")] == ["0", "0", "1", "1"]


def test_going_on_is_free_and_changing_costs():
    """Staying costs nothing, nor does changing when who ran cannot go on; a task of the same turn is staying too."""
    assert [Point.at("0", ("1", "0")).cost(index) for index in (0, 1)] == [1, 0]
    assert [Point.at("2", ("1", "0")).cost(index) for index in (0, 1)] == [0, 0]
    assert [Point.at("0", ("1", "0:1")).cost(index) for index in (0, 1)] == [1, 0]


def test_an_order_that_does_not_fit_goes_on():
    """A name that cannot go on is passed over, a turn stands for its tasks, and behind the end nobody is preempted."""
    follow = Follow(["7", "0", "1"])
    point = Point.at("1", ("1", "0.1"))
    assert [follow.choose(point) for _ in range(4)] == [0, 1, 0, 0]
    assert follow.misfits == 1


def test_numbers_draw_orders():
    """Zero deviations are the plain order; a deviation takes another one, whatever number was drawn."""
    point = Point.at("1", ("0", "1", "2"))
    assert [Deviate([]).choose(point) for _ in range(3)] == [1, 1, 1]
    deviate = Deviate([(1, 0), (2, 9)])
    assert [deviate.choose(point) for _ in range(3)] == [1, 0, 2]


def test_only_what_differs_is_kept():
    """The order of a run ends with the last choice that was not the usual one."""
    stay, leave = Point.at("0", ("0", "1")), Point.at("0", ("1", "0"))
    choices = [Choice(stay, 0), Choice(leave, 0), Choice(stay, 0)]
    assert Order.taken(choices) == Order(("0", "1"))


def test_random_orders_repeat():
    """The same seed gives the same choices."""
    points = [Point.at("0", ("0", "1", "2"))] * 30
    runs = [[rare.choose(point) for point in points] for rare in (Rare(5), Rare(5), Rare(6))]
    assert runs[0] == runs[1]
    assert runs[0] != runs[2] or len(set(runs[0])) > 1
