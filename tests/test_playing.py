"""Stories with deaths in the middle: what was drawn leaves by its names, and played again by these it is the same run."""

from __future__ import annotations

import random

import pytest

from pytest_durability.arming import INJECTORS, Arm
from pytest_durability.capabilities import Capabilities, check_workload
from pytest_durability.errors import AdapterError, UsageError
from pytest_durability.faults import LostAck, Schedule
from pytest_durability.history import Lane, Outcome
from pytest_durability.recording import Play
from pytest_durability.surviving import UnreachableError, UnstagedError
from pytest_durability.workload import (
    Append,
    AppendMany,
    Close,
    Commit,
    FullDisk,
    On,
    PowerLoss,
    Read,
    Reload,
    Retry,
    Say,
    Workload,
)
from pytest_durability.world.arena import Arena
from tests.planted import stores

MODELS = ("process-kill", "strict", "ext4-delalloc", "posix")


def story(seed):
    """Steps and armed faults by chance."""
    chance, said = random.Random(seed), iter(range(1, 1000))

    def say(role="user"):
        return Say(role, f"z{role[0]}{next(said)}z text")

    def append():
        one = say(chance.choice(["user", "assistant"]))
        return Append(one.role, one.text)

    def death():
        return PowerLoss(chance.choice(MODELS), back=chance.randrange(12), pick=chance.randrange(12))

    kinds = [
        append,
        append,
        lambda: AppendMany((say(), say("assistant"))),
        lambda: Commit(chance.randrange(3)),
        Reload,
        Retry,
        Read,
        death,
        death,
        lambda: FullDisk(chance.randrange(1, 4)),
        lambda: Arm(chance.choice([*INJECTORS, "LostAck"]), chance.randrange(6), chance.randrange(3)),
        lambda: Arm(chance.choice([*INJECTORS]), chance.randrange(20)),
        lambda: On(append(), handle=2),
        lambda: On(Commit(1), session="other"),
    ]
    return [chance.choice(kinds)() for _ in range(9)]


def played(arena, store, steps, schedule=None, **options):
    """The recording of one run."""
    adapter = type("Adapter", (stores.adapter(store, opened=2),), {"sessions": True})
    return Play(adapter, Capabilities.of(adapter()), arena, schedule=schedule, **options).run(steps)


@pytest.mark.parametrize("store", [stores.NoSync, stores.TwoWrites, stores.TrustsLive])
def test_a_story_is_played_again_by_its_names(store):
    """The same history, the same directory, the same deaths, from the text of the steps and of the faults that struck."""
    deaths = faults = 0
    with Arena() as arena:
        for seed in range(40):
            drawn = played(arena, store, story(seed), arming=True)
            struck = Schedule(tuple(fault for _, fault in drawn.struck))
            text = str(Workload(drawn.steps))
            again = played(arena, store, Workload.parse(text), Schedule.parse(str(struck)))
            assert again.history.to_jsonl() == drawn.history.to_jsonl()
            assert again.final.key() == drawn.final.key()
            assert str(Workload(again.steps)) == text
            assert [death.image.key() for death in again.boundaries] == [death.image.key() for death in drawn.boundaries]
            deaths += any(isinstance(step, PowerLoss) and step.born + "".join(step.lag) for step in drawn.steps)
            faults += len(struck)
    assert deaths > (5 if store is stores.NoSync else -1)
    assert faults > 10


def test_the_parts_of_a_story_show_it_again():
    """Each fault armed right before the step that it strikes: the same run once more."""
    with Arena() as arena:
        for seed in range(20):
            steps = [step for step in story(seed) if not isinstance(step, PowerLoss)]
            drawn = played(arena, stores.Sound, steps, arming=True)
            again = played(arena, stores.Sound, drawn.drawn, arming=True)
            assert again.history.to_jsonl() == drawn.history.to_jsonl()


def test_what_came_after_a_death_never_happened():
    """A call that had not ended is unknown, one that had not begun is skipped, and the numbers go on."""
    steps = [Append("user", "zu1z one"), Commit(1), PowerLoss(back=3), Append("user", "zu2z two")]
    with Arena() as arena:
        recording = played(arena, stores.Sound, steps)
    history = recording.history
    crash = next(op for op in history if op.kind == "crash")
    commit = next(op for op in history if op.kind == "commit")
    assert not [op for op in history if op.call == commit.seq]
    assert [op.seq for op in history] == list(range(1, len(history) + 1))
    assert recording.base == crash.seq
    assert all(op.seq <= crash.seq for op in history if op.kind == "commit")
    assert recording.boundaries[0].point == crash.seq - 1


def test_a_death_in_an_open_skips_the_call_behind_it():
    """So that the commits of a story can still be counted."""
    with Arena() as arena:
        recording = played(arena, stores.Sound, [Commit(1), PowerLoss(after="mkdir:session:1")])
    assert [op.kind for op in recording.history.lane(Lane.USER)] == ["open", "skipped", "open", "ack"]


def test_a_death_right_after_a_death_strikes_the_healing():
    """The second one cannot go back behind the first."""
    steps = [Append("user", "zu1z one"), PowerLoss(back=2), PowerLoss(back=99), Append("user", "zu2z two")]
    with Arena() as arena:
        first, second = played(arena, stores.TwoWrites, steps).boundaries
    assert first.point < second.epoch.base <= second.point


def test_an_answer_that_is_lost_is_unknown():
    """The call happened; its place names it again."""
    with Arena() as arena:
        drawn = played(arena, stores.Sound, [Arm("LostAck", 1), Append("user", "zu1z a"), Append("user", "zu2z b")], arming=True)
    ((seq, fault),) = drawn.struck
    assert fault == LostAck("append:u#:2")
    end = next(op for op in drawn.history if op.call == seq)
    assert (end.kind, end.outcome, end.note) == ("raised", Outcome.UNKNOWN, "ConnectionError: the answer was lost")
    assert drawn.failures == ()


def test_a_full_disk_has_room_again_after_so_many_operations():
    """Or when the machine ended."""
    with Arena() as arena:
        steps = [Append("user", "zu1z a"), FullDisk(1), Append("user", "zu2z b"), Append("user", "zu3z c")]
        one = played(arena, stores.Sound, steps)
        two = played(arena, stores.Sound, [FullDisk(9), Append("user", "zu1z a"), PowerLoss(), Append("user", "zu2z b")])
    assert [failed.kind for _, failed in one.failures] == ["OSError"]
    assert [op.target for op in one.history if op.kind == "ack"] == ["open", "u1", "u3"]
    assert two.history[-1].target == "u2"
    assert two.history[-1].kind == "ack"


@pytest.mark.parametrize(
    ("step", "error"),
    [
        (PowerLoss(after="write:nowhere:1"), UnstagedError),
        (PowerLoss(model="posix", lag=("name(session)<-1",), after="append:u#:1"), UnreachableError),
        (PowerLoss(model="netput"), UsageError),
        (PowerLoss(model="moon"), UsageError),
    ],
)
def test_a_death_that_cannot_be_staged_is_told(step, error):
    """No such operation, a content that is durable by then, a mount, an unknown model."""
    with Arena() as arena, pytest.raises(error):
        played(arena, stores.Sound, [Append("user", "zu1z a"), step])


def test_steps_that_an_adapter_cannot_do_are_refused():
    """Also inside of a step on another object, and a session that the adapter does not know."""
    able = Capabilities.of(type("Adapter", (stores.adapter(stores.Sound),), {})())
    with pytest.raises(AdapterError, match="has no close method"):
        check_workload(Workload.of([On(Close(), handle=2)]), able)
    with pytest.raises(AdapterError, match="does not declare sessions = True"):
        check_workload(Workload.of([On(Commit(), session="other")]), able)
