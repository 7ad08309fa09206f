"""Calls that are made at once: what was armed leaves by its names, and played by these the same run follows, to the last letter."""

from __future__ import annotations

import asyncio

import pytest

from pytest_durability.arming import Arm
from pytest_durability.capabilities import Capabilities
from pytest_durability.errors import UsageError
from pytest_durability.faults import CancelTurn, ReorderTurns, Schedule
from pytest_durability.history import History, Lane
from pytest_durability.lanes import lanes
from pytest_durability.recording import Play
from pytest_durability.workload import Append, Ask, On, Together
from pytest_durability.world.arena import Arena
from tests.planted import overlaps

SAID = tuple(Append("user", f"zu{number}z text") for number in range(1, 7))


@pytest.fixture
def arena():
    """A place to play in."""
    with Arena(0) as made:
        yield made


def played(arena, adapter, *steps, schedule=None, **options):
    """A recording of these steps."""
    return Play(adapter, Capabilities.of(adapter()), arena, schedule=schedule, arming=True, **options).run(steps)


def user(recording):
    """What the user's lane says."""
    return [f"{op.kind} {op.target}".strip() for op in recording.history.lane(Lane.USER)][2:]


def test_without_a_fault_each_goes_on_until_it_waits(arena):
    """Nobody is preempted, so the calls are made one after the other."""
    recording = played(arena, overlaps.Unlocked, Together(SAID[:2]))
    assert user(recording) == ["append u1", "ack u1", "append u2", "ack u2"]
    assert recording.struck == ()
    (ran,) = recording.overlaps
    assert (ran.step, ran.first, len(ran.suspended)) == (0, 0, 2)
    assert set(ran.others) == {1}


@pytest.mark.parametrize(
    ("arms", "faults"),
    [
        ([Arm("ReorderTurns", 1, 0)], ["ReorderTurns(turns=(0, 1), choices=(0, 1))"]),
        ([Arm("ReorderTurns", 0, 0), Arm("ReorderTurns", 1, 0)], ["ReorderTurns(turns=(0, 1), choices=(1, 0))"]),
        ([Arm("CancelTurn", 0, 1)], ["CancelTurn(turn=1)"]),
        (
            [Arm("CancelTurn", 0, 0), Arm("ReorderTurns", 0, 0)],
            ["CancelTurn(turn=0)", "ReorderTurns(turns=(0, 1), choices=(1,))"],
        ),
        ([Arm("ReorderTurns", 99, 0), Arm("CancelTurn", 99, 0)], []),
    ],
)
def test_what_was_armed_leaves_by_its_names(arena, arms, faults):
    """Played again by these names, and by the story with its arms, it is the same run; what did not strike is no part of it."""
    first = played(arena, overlaps.Unlocked, *arms, Together(SAID[:2]))
    struck = [fault for _, fault in first.struck]
    assert sorted(map(str, struck)) == sorted(faults)
    again = played(arena, overlaps.Unlocked, *first.steps, schedule=Schedule(tuple(struck)))
    assert again.history.to_jsonl() == first.history.to_jsonl()
    assert set(again.fired) == set(struck)
    retold = played(arena, overlaps.Unlocked, *first.drawn)
    assert retold.history.to_jsonl() == first.history.to_jsonl()
    assert len([part for part in first.drawn if isinstance(part, Arm)]) == (len(arms) if faults else 0)


def test_an_order_that_does_not_fit_did_not_strike(arena):
    """A name that could not go on makes another order, so the fault of the schedule is not among those that fired."""
    wanted = Schedule((ReorderTurns((0, 1), (7, 1)),))
    assert played(arena, overlaps.Unlocked, Together(SAID[:2]), schedule=wanted).fired == ()


def test_turns_are_numbered_over_the_run(arena):
    """The second overlap has the next numbers, and its faults name these."""
    recording = played(arena, overlaps.Locked, Together(SAID[:2]), Arm("CancelTurn", 0, 1), Together(SAID[2:5]))
    assert [(ran.first, len(ran.suspended)) for ran in recording.overlaps] == [(0, 2), (2, 3)]
    assert [fault for _, fault in recording.struck] == [CancelTurn(3, 1)]
    assert [op.note for op in recording.history.lane(Lane.USER) if op.kind == "append"] == [f"turn {n}" for n in range(5)]


def test_operations_name_their_call(arena):
    """Each operation on the disk says in which of the calls it was done; outside of an overlap none does."""
    recording = played(arena, overlaps.Unlocked, SAID[2], Arm("ReorderTurns", 1, 0), Together(SAID[:2]))
    calls = {op.seq: op.target for op in recording.history.lane(Lane.USER) if op.kind == "append"}
    done = [(op.kind, calls.get(op.call)) for op in recording.history.lane(Lane.DISK)]
    each = ("create", "write", "close", "rename")
    assert done == [*((kind, None) for kind in each), *((kind, "u2") for kind in each), *((kind, "u1") for kind in each)]


def test_a_calm_run_makes_no_calls_at_once(arena):
    """What is normal is learnt from one call after the other."""
    recording = played(arena, overlaps.Unlocked, Arm("ReorderTurns", 1, 0), Together(SAID[:2]), calm=True)
    assert user(recording) == ["append u1", "ack u1", "append u2", "ack u2"]
    assert recording.overlaps == ()


def test_what_stands_still_is_a_failure_of_its_call(arena):
    """A lock that a cancelled call kept lets the other one wait for ever, and the run goes on all the same."""
    recording = played(arena, overlaps.KeepsLock, Arm("CancelTurn", 0, 0), Together(SAID[:2]), SAID[2])
    ends = [(op.target, op.note.partition(":")[0]) for op in recording.history.lane(Lane.USER) if op.kind == "raised"]
    assert ends == [("u1", "cancelled"), ("u2", "append raised Deadlock"), ("u3", "append raised Deadlock")]
    assert [failed.kind for _, failed in recording.failures] == ["Deadlock", "Deadlock"]


def test_generators_give_way_between_pieces(arena):
    """A plain generator overlaps too: between two pieces another turn goes on, and cancelling closes it."""
    closed = []

    class Generator(overlaps.Turns):
        def turn(self, store, turn):
            try:
                yield from turn.chunks()
            finally:
                closed.append(turn.number)

    asks = (Ask("zu1z q", "za1z one two"), Ask("zu2z q", "za2z one two"))
    recording = played(arena, Generator, Arm("ReorderTurns", 1, 0), Arm("CancelTurn", 1, 0), Together(asks))
    shown = [op.target.split()[0] for op in recording.history.lane(Lane.STREAM) if op.kind == "delivered"]
    assert shown[:2] == ["za1z", "za2z"]
    assert sorted(closed) == [0, 1]
    assert [op.kind for op in recording.history.lane(Lane.USER) if op.call][-2:] in (["ack", "raised"], ["raised", "ack"])


def test_misuse_in_a_turn_leaves_it(arena):
    """An error of the harness's user is no outcome of a turn."""

    class Wrong(overlaps.Turns):
        async def turn(self, store, turn):
            await asyncio.sleep(0)
            list(turn.chunks())
            yield from_nothing(turn)

    def from_nothing(turn):
        return list(turn.chunks())

    with pytest.raises(UsageError, match="taken already"):
        played(arena, Wrong, Together((Ask("zu1z q", "za1z a"), Ask("zu2z q", "za2z a"))))


def test_two_store_objects_are_on_one_loop(arena):
    """A call on a second store object overlaps like any other one."""
    recording = played(arena, overlaps.Unlocked, Arm("ReorderTurns", 1, 0), Together((SAID[0], On(SAID[1], handle=2))))
    assert user(recording)[-4:] == ["append u1", "append u2", "ack u2", "ack u1"]


def test_a_history_attributes_until_it_is_told_not_to():
    """An op that names its call keeps it."""
    history = History()
    history.whose(lambda: 7)
    history.add(Lane.DISK, "write")
    history.add(Lane.USER, "ack", call=3)
    history.whose(None)
    history.add(Lane.DISK, "write")
    assert [op.call for op in history] == [7, 3, 0]


def test_columns_fit_the_page():
    """Long words are cut at the edge, odd ones are escaped, and a line begins in its column."""
    told = lanes(["one", "two"], [(1, 0, "a" * 200), (2, 1, "b\u2028" * 50), (0, 1, "c")], marked=(2,)).splitlines()
    assert max(map(len, told)) <= 80
    assert told[1].startswith("    1  aaa")
    assert told[2].startswith(">   2  ")
    assert "\\u2028" in told[2]
    assert told[3].strip() == "c"
    assert told[2].index("b") == told[3].index("c") == told[0].index("two")
