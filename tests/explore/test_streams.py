"""Turns under the harness: replies that are cut, turns that are stopped, and what the user saw of them."""

from __future__ import annotations

import pytest

from pytest_durability import Ask, CutStream, Interrupt, Reload, Workload
from pytest_durability.errors import AdapterError
from pytest_durability.explore.gate import check
from pytest_durability.explore.replay import replay
from pytest_durability.explore.settings import Context
from pytest_durability.explore.sweep import sweep
from pytest_durability.faults import Schedule
from pytest_durability.history import Lane
from pytest_durability.report.timeline import timeline
from pytest_durability.runner import Runner
from pytest_durability.verdict import LostDelivered, VacuousRun, Wedged
from pytest_durability.world.arena import Arena
from tests.planted import streams
from tests.planted.found import findings

KILL = ["process-kill"]
HEALTHY = ["SavesAlways", "SavesAlwaysAsync", "SavesAlwaysCallback", "SavesAlwaysTask", "LeavesNotices", "AsksOverHttp"]
PLANTED = {
    "SavesAtTheEnd": {"LostDelivered"},
    "SavesAtTheEndTask": {"LostDelivered"},
    "SavesLate": {"LostInput"},
    "SavesTwice": {"Duplicate"},
    "PromisesAtOnce": {"LostDelivered"},
}
TURN = Workload((Ask("zu1z hello", "za1z three findings"),))


@pytest.fixture
def context(tmp_path):
    """Cases go to a directory of their own."""
    return Context(directory=tmp_path / "cases", rootdir=tmp_path)


def played(store, *faults, workload=TURN):
    """The history of a workload under these faults, as `lane kind target`."""
    with Arena() as arena:
        recording = Runner(store, arena).played(workload, Schedule(faults))
    ops = [op for op in recording.history if op.lane is not Lane.DISK]
    return [f"{op.kind} {op.target}".strip() for op in ops], recording


@pytest.mark.parametrize("name", HEALTHY)
def test_a_store_that_saves_in_any_case_holds(name, context):
    """Whatever the form of its turn; notices about broken turns are no strangers."""
    store = getattr(streams, name)
    assert sweep(store, models=KILL, context=context).states > 3
    assert check(store, models=KILL, max_examples=10, seed=1, context=context).verdict.value == "valid"


@pytest.mark.parametrize("name", PLANTED)
def test_each_planted_bug_is_found_by_a_sweep(name, context):
    """By its anomaly, and by no other."""
    found = findings(lambda: sweep(getattr(streams, name), models=KILL, context=context))
    assert {type(anomaly).__name__ for anomaly in found} == PLANTED[name]


def test_a_search_finds_shrinks_and_replays_it(context):
    """With one turn and one fault besides the crash; the saved case shows it again."""
    found = findings(lambda: check(streams.SavesAtTheEnd, models=KILL, max_examples=10, seed=1, context=context))
    assert [type(anomaly) for anomaly in found] == [LostDelivered]
    result = found[0].result
    assert len(result.workload) == 1
    assert len(result.schedule) == 2
    with pytest.raises(LostDelivered):
        replay(result.case_id, adapter=streams.SavesAtTheEnd, context=context)


def test_lost_text_is_struck_out(context):
    """The lane of the stream shows each piece, and which of them nobody will see again."""
    found = findings(lambda: sweep(streams.SavesAtTheEnd, models=KILL, context=context))
    told = timeline(found[0].result)
    assert told.splitlines()[0].split() == ["op", "user", "stream", "disk"]
    assert "~delivered za1z three~ LOST" in told
    assert "delivered" not in told.replace("~delivered", "")


def test_a_turn_that_goes_on_when_it_is_stopped_is_wedged():
    """Closing its generator raises, and nothing else did."""
    with Arena() as arena:
        runner = Runner(streams.CannotBeStopped, arena)
        anomaly = runner.wedged(runner.prepare(TURN, Schedule((Interrupt(0, 1),))))
        assert runner.wedged(runner.prepare(TURN, Schedule((CutStream(0, 7, "reset"),)))) is None
    assert isinstance(anomaly, Wedged)
    assert anomaly.summary == "the turn of u1,a1 cannot be stopped"


def test_turns_are_run_in_a_process_of_their_own_too(context):
    """With `isolation="process"` the same is found."""
    found = findings(lambda: sweep(streams.SavesLate, TURN, models=KILL, depth=1, isolation="process", context=context))
    assert {type(anomaly).__name__ for anomaly in found} == {"LostInput"}


def test_the_standard_sweep_cuts_a_turn(context):
    """A store without `append` is swept with turns, the first of which breaks; its case no longer fails on the repaired store."""
    found = findings(lambda: sweep(streams.SavesAtTheEnd, models=KILL, context=context))
    assert [type(anomaly) for anomaly in found] == [LostDelivered]
    result = found[0].result
    assert {type(step) for step in result.workload} == {Ask, Reload}
    assert result.schedule.faults[0] == CutStream(0, 20, "reset")
    assert replay(result.case_id, adapter=streams.SavesAlways, context=context).verdict.value == "valid"


def test_pieces_stand_between_the_call_and_its_answer():
    """A complete turn, as the history tells it."""
    assert played(streams.SavesAlways)[0] == [
        "open",
        "ack open",
        "turn u1,a1",
        *("text za1z", "delivered za1z", "text  three", "delivered  three", "text  findings", "delivered  findings", "end"),
        "ack u1,a1",
    ]


@pytest.mark.parametrize(
    ("fault", "shown"),
    [(CutStream(0, 10, "reset"), "za1z three"), (CutStream(0, 7), "za1z th"), (CutStream(0, 0, "timeout"), "")],
)
def test_a_cut_ends_the_reply_at_its_character(fault, shown):
    """And it is told as a fault that struck."""
    told, recording = played(streams.SavesAlways, fault)
    assert "".join(line.removeprefix("delivered ") for line in told if line.startswith("delivered ")) == shown
    assert recording.fired == (fault,)


@pytest.mark.parametrize("name", ["SavesAlways", "SavesAlwaysAsync", "SavesAlwaysTask"])
def test_an_interrupt_stops_the_turn_after_its_pieces(name):
    """A generator is closed, a task cancelled; the call has no answer."""
    told, recording = played(getattr(streams, name), Interrupt(0, 2))
    assert sum(line.startswith("delivered") for line in told) == 2
    assert told[-2:] == ["stopped", "raised u1,a1"]
    assert recording.fired == (Interrupt(0, 2),)


def test_what_cannot_strike_is_told(context):
    """A plain function cannot be stopped, and no reply is that long: such a search tested nothing."""
    assert played(streams.SavesAlwaysCallback, Interrupt(0, 1))[1].fired == ()
    assert played(streams.SavesAlways, CutStream(0, 999))[1].fired == ()
    with pytest.raises(VacuousRun):
        check(streams.SavesAlwaysCallback, faults=[Interrupt(0, 1)], models=KILL, max_examples=5, seed=1, context=context)


def test_a_turn_that_is_stopped_before_it_begins_does_nothing():
    """The store is not called, and nothing is owed."""
    told, recording = played(streams.SavesAlways, Interrupt(0, 0))
    assert told[2:] == ["turn u1,a1", "stopped", "raised u1,a1"]
    assert all(op.effect is None or op.kind == "mkdir" for op in recording.history)


def test_turns_are_counted_over_all_lives():
    """The second turn of a run is number 1, in whatever process it is."""
    workload = Workload((*TURN, Reload(), Ask("zu2z more", "za2z nothing more")))
    told, _ = played(streams.SavesAlways, CutStream(1, 4), workload=workload)
    assert [line for line in told if line.startswith(("turn", "cut"))] == ["turn u1,a1", "turn u2,a2", "cut"]


def test_a_promise_that_ends_at_a_kill_is_not_asked_of_a_power_cut():
    """Text that is promised to survive a kill at once is owed under models that lose data when the turn is over."""
    with Arena() as arena:
        runner = Runner(streams.PromisesAtOnce, arena)
        case = runner.prepare(TURN)
        owed = {name: runner.ledger(case, model=name).promise.delivered for name in ("process-kill", "strict", "posix")}
    assert owed == {"process-kill": "process-kill", "strict": "process-kill", "posix": "turn-end"}


def test_only_text_can_be_shown(context):
    """Anything else is an error of the adapter, told as such."""
    with pytest.raises(AdapterError, match=r"turn yielded b'za\dz") as found:
        sweep(streams.YieldsBytes, context=context)
    assert "text that the user sees" in found.value.why
