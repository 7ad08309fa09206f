"""What a search makes of calls that overlap: found with its name, told by few calls and one preemption, run again from its case."""

from __future__ import annotations

import pytest
from hypothesis.stateful import rule

from pytest_durability import (
    AdapterError,
    Append,
    Commit,
    NotSerialisable,
    On,
    PowerLoss,
    Promise,
    Reload,
    Schedule,
    SessionMachine,
    Together,
    UsageError,
    Workload,
)
from pytest_durability.arming import Arm
from pytest_durability.explore.case import Case
from pytest_durability.explore.gate import check, run_machine
from pytest_durability.explore.orders import clock_of, strike_clock, strike_orders
from pytest_durability.explore.replay import replay
from pytest_durability.explore.search import Search
from pytest_durability.explore.settings import Context
from pytest_durability.explore.sweep import sweep
from pytest_durability.faults import CancelTurn, ClockStep, ReorderTurns
from pytest_durability.persistence import fatal, resolve
from pytest_durability.report.text import sections
from pytest_durability.runner import Runner
from pytest_durability.verdict import Anomaly, Verdict
from pytest_durability.world.arena import Arena
from tests.planted import overlaps

BOTH = ("ReorderTurns", "CancelTurn")
SAID = (Append("user", "zu1z one"), Append("user", "zu2z two"))


def struck(adapter, *names):
    """What the plain stories of a search find: the shortest anomaly of each kind, by its name."""
    with Arena(0) as arena, clock_of(arena, "ClockStep" in names):
        runner = Runner(adapter, arena)
        search = Search(runner, resolve(["process-kill"]), fatal(Promise(), None), 50, turns=names)
        if "ClockStep" in names:
            strike_clock(search)
        else:
            runner.let_overlap()
            strike_orders(search, "dev")
        return {type(anomaly).__name__: anomaly for anomaly in search.distinct()}


def case_of(anomaly):
    """A finding as a case."""
    result = anomaly.result
    return Case(f"tests.planted.overlaps:{result.adapter}", str(result.workload), str(result.schedule))


FOUND = {
    "Unlocked": ("NotSerialisable", (ReorderTurns,)),
    "KeepsLock": ("LeftLocked", (CancelTurn,)),
    "StaleCommit": ("StaleReplace", (ReorderTurns,)),
    "MixedTurns": ("NotSerialisable", (ReorderTurns,)),
    "OpenTransaction": ("LeftLocked", (CancelTurn,)),
}


@pytest.mark.parametrize("name", FOUND)
def test_each_planted_bug_is_found_and_run_again(name):
    """By its name, in one overlap with one fault; its case alone shows the same."""
    kind, faults = FOUND[name]
    adapter = getattr(overlaps, name)
    anomaly = struck(adapter, *BOTH)[kind]
    steps, schedule = anomaly.result.workload.steps, anomaly.result.schedule
    assert sum(isinstance(step, Together) for step in steps) == 1
    assert tuple(type(fault) for fault in schedule) == faults
    assert len(steps) <= 2
    with pytest.raises(type(anomaly)) as again:
        replay(case_of(anomaly), adapter=adapter)
    assert (again.value.identity, again.value.summary) == (anomaly.identity, anomaly.summary)


@pytest.mark.parametrize("name", ["Locked", "Turns"])
def test_what_is_sound_passes(name):
    """Locks around whole calls hold in every order and wherever a call is cancelled."""
    assert struck(getattr(overlaps, name), *BOTH) == {}


def test_a_lost_update_is_two_calls_and_one_preemption():
    """The report has a column for each turn, and nothing else happens in it."""
    anomaly = struck(overlaps.Unlocked, "ReorderTurns")["NotSerialisable"]
    result = anomaly.result
    assert [len(step.steps) for step in result.workload] == [2]
    assert list(result.schedule) == [ReorderTurns((0, 1), (0, 1))]
    timeline = dict(sections(result))["durability: timeline"].splitlines()
    head = next(at for at, line in enumerate(timeline) if line.split() == ["op", "turn", "0", "turn", "1"])
    second = timeline[head].index("turn 1")
    assert [line[second:].strip() for line in timeline[head + 2 : head + 8]] == [
        "append u2",
        "create session.tmp",
        "write session.tmp  24 B",
        "close session.tmp",
        "rename session.json",
        "ok append u2",
    ]
    assert [line.split()[1:] for line in timeline[-2:]] == [["rename", "session.json"], ["ok", "append", "u1"]]


def test_a_clock_that_is_set_back_reorders():
    """Asked for with `ClockStep`, a store that sorts by the time of day is found, and one that does not passes."""
    pytest.importorskip("freezegun")
    anomaly = struck(overlaps.ByTime, "ClockStep")["Reordered"]
    (fault, *_) = anomaly.result.schedule
    assert type(fault) is ClockStep
    assert fault.seconds < 0
    with pytest.raises(type(anomaly)):
        replay(case_of(anomaly), adapter=overlaps.ByTime)
    assert struck(overlaps.Locked, "ClockStep") == {}


@pytest.fixture
def context(tmp_path):
    """Cases go to a directory of their own."""
    return Context(directory=tmp_path / "cases", rootdir=tmp_path)


def told(adapter, context, **options):
    """What a small search finds, as texts of its stories and faults."""
    found = []
    try:
        report = check(adapter, seed=1, models=["process-kill"], max_examples=2, context=context, **options)
        assert report.verdict is Verdict.VALID
    except* Anomaly as group:
        found.extend(group.exceptions)
    return sorted(f"{type(one).__name__} {one.result.workload} {one.result.schedule}" for one in found)


def test_a_whole_search_saves_its_case(context):
    """What it finds is the shortest story there is, saved under a name that brings it back."""
    first = told(overlaps.Unlocked, context, faults=["ReorderTurns"])
    assert [text.split()[0] for text in first] == ["NotSerialisable"]
    again = struck(overlaps.Unlocked, "ReorderTurns")["NotSerialisable"].result
    assert first == [f"NotSerialisable {again.workload} {again.schedule}"]
    (saved,) = context.directory.iterdir()
    with pytest.raises(AssertionError):
        replay(saved.stem, adapter=overlaps.Unlocked, context=context)


def test_the_drawn_stories_of_a_sound_store_pass(context):
    """Three calls, batches, commits, cancellations and preemptions by chance raise no false alarm."""
    assert told(overlaps.Locked, context) == []


def judged(arena, adapter, *steps, isolation="same"):
    """What is wrong with one story."""
    runner = Runner(adapter, arena, isolation)
    recording = runner.played(steps, Schedule(), arming=True)
    workload = Workload(recording.steps)
    return runner.overlapped(runner.case(workload, Schedule(), recording, runner.calibrate(workload)))


def test_a_story_in_a_process_of_its_own():
    """Where the store lives elsewhere, the same is found."""
    with Arena(0) as arena:
        found = judged(arena, overlaps.Unlocked, Arm("ReorderTurns", 1, 0), Together(SAID), isolation="process")
    assert type(found) is NotSerialisable


@pytest.mark.parametrize("steps", [(*SAID, Together(SAID)), (Together(SAID), PowerLoss())])
def test_where_nobody_can_say_what_is_owed_nothing_is_said(steps):
    """A message that is said twice has no place of its own, and a machine that ended may have taken what was acknowledged."""
    with Arena(0) as arena:
        assert judged(arena, overlaps.Unlocked, Arm("ReorderTurns", 1, 0), *steps) is None


def test_a_machine_of_ones_own_may_make_calls_at_once(context):
    """A rule does the step like any other one."""

    class Machine(SessionMachine):
        adapter = overlaps.Unlocked

        @rule()
        def at_once(self):
            said = [self.writer.say("user", "hello") for _ in range(2)]
            assert self.do(Together(tuple(Append(one.role, one.text) for one in said)))

    report = run_machine(Machine, faults=["Crash"], models=["process-kill"], max_examples=4, seed=1, context=context)
    assert report.verdict is Verdict.VALID, "without a preemption one call is made after the other"


def test_overlaps_are_opt_in(context):
    """Without the declaration, and unless asked for, no call is made beside another one."""

    class Undeclared(overlaps.Unlocked):
        overlaps = False

    assert told(Undeclared, context) == []
    with pytest.raises(AdapterError, match="overlaps = True"):
        check_case(Undeclared, Workload((Together(SAID),)))


def check_case(adapter, workload):
    """Prepare a run of a workload."""
    with Arena(0) as arena:
        runner = Runner(adapter, arena)
        return runner.prepare(runner.workload(workload))


def test_misuse_is_told(context):
    """Plain functions cannot overlap, an order alone is no fault to ask for, and a sweep has no answer."""
    with pytest.raises(AdapterError, match="plain functions"):
        check(overlaps.Plain, context=context)
    with pytest.raises(UsageError, match="an order of turns"):
        check(overlaps.Unlocked, faults=[ReorderTurns((0, 1), (1,))], context=context)
    with pytest.raises(UsageError, match="cannot be swept"):
        sweep(overlaps.Unlocked, [Together(SAID)], context=context)
    with pytest.raises(UsageError, match="together with others"):
        Workload.of([Together((On(SAID[0], session="other"),))])


@pytest.mark.parametrize("schedule", ["", "ReorderTurns(turns=(0, 1), choices=(0, 1))"])
def test_two_store_objects_may_refuse(schedule):
    """A second store object that says that it is stale is no finding; one that overwrites is."""

    class Careful(overlaps.Locked):
        handles = 2
        refuses = (BlockingIOError,)

        async def append(self, store, message):
            seen = getattr(store, "seen", None)
            rows = store.load()
            if seen is not None and rows != seen:
                raise BlockingIOError("stale")
            store.save([*rows, [message.role, message.text]])
            store.seen = store.load()

    steps = Workload((Together((SAID[0], On(SAID[1], handle=2))), Reload()))
    with Arena(0) as arena:
        runner = Runner(Careful, arena)
        case = runner.prepare(steps, Schedule())
        assert runner.overlapped(case) is None
        runner = Runner(overlaps.Unlocked, arena)
        case = runner.prepare(steps, Schedule.parse(schedule))
        assert (runner.overlapped(case) is None) == (schedule == "")


def test_the_text_of_an_overlap_is_read_back():
    """The step is data like any other one."""
    workload = Workload((Together((*SAID, Commit(1), On(SAID[0], handle=2))),))
    assert Workload.parse(str(workload)) == workload
