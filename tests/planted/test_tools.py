"""Each planted bug of turns that call tools is caught by its anomaly, in a sweep and in a search; the sound stores by none."""

from __future__ import annotations

import pytest

from pytest_durability import Ask, Reload, Workload
from pytest_durability.errors import AdapterError, UsageError
from pytest_durability.explore.gate import check
from pytest_durability.explore.replay import replay
from pytest_durability.explore.settings import Context
from pytest_durability.explore.sweep import sweep
from pytest_durability.faults import CutStream, Schedule
from pytest_durability.history import Lane
from pytest_durability.runner import Runner
from pytest_durability.verdict import EffectRepeated, StoresDisagree, UnansweredCall
from pytest_durability.world.arena import Arena
from tests.planted import streams, tools
from tests.planted.found import findings

KILL = ["process-kill"]
MATRIX = {
    "RunsTools": set(),
    "ClosesInRequest": set(),
    "RunsUnrecorded": set(),
    "TakesInput": set(),
    "TakesInputAsync": set(),
    "TwoRecords": set(),
    "LeavesCallsOpen": {"UnansweredCall"},
    "SendsOpenCalls": {"UnansweredCall"},
    "ForgetsCalls": {"UnansweredCall"},
    "InterleavesInput": {"UnansweredCall"},
    "RunsUnfinished": {"EffectRepeated"},
    "RunsAllAgain": {"EffectRepeated"},
    "NeverAgrees": {"StoresDisagree"},
    "AgreesOnCalls": {"StoresDisagree"},
    "ForgetsResults": {"LostAcknowledged"},
    "QueuesInput": {"LostAcknowledged"},
    "NeedsAnswers": {"Wedged"},
}
TURN = Workload((Ask("zu1z what?", "za1z one moment", "zt1z 42", "za2z it is 42"),))
NEXT = Ask("zu2z and then?", "za3z nothing more")


@pytest.fixture
def context(tmp_path):
    """Cases go to a directory of their own."""
    return Context(directory=tmp_path / "cases", rootdir=tmp_path)


@pytest.mark.parametrize("name", MATRIX)
def test_each_planted_bug_is_caught_by_its_anomaly(name, context):
    """A row of the matrix: a sweep of the standard workload shows exactly these."""
    found = findings(lambda: sweep(getattr(tools, name), models=KILL, context=context))
    assert {type(anomaly).__name__ for anomaly in found} == MATRIX[name]


def test_the_matrix_has_every_store():
    """A planted store that is in no row would never be run."""
    kinds = {name for name, kind in vars(tools).items() if isinstance(kind, type) and issubclass(kind, tools.RunsTools)}
    assert kinds == set(MATRIX)


@pytest.mark.parametrize(
    ("store", "anomaly"),
    [("LeavesCallsOpen", UnansweredCall), ("RunsUnfinished", EffectRepeated), ("NeverAgrees", StoresDisagree)],
)
def test_a_search_finds_shrinks_and_replays_it(store, anomaly, context):
    """One turn and one crash are left, and the saved case shows it again."""
    kind = getattr(tools, store)
    found = findings(lambda: check(kind, models=KILL, max_examples=3, seed=1, context=context))
    assert [type(one) for one in found] == [anomaly]
    result = found[0].result
    assert (len(result.workload), len(result.schedule)) == (1, 1)
    with pytest.raises(anomaly):
        replay(result.case_id, adapter=kind, context=context)


@pytest.mark.parametrize("name", ["RunsTools", "ClosesInRequest", "TakesInput", "TakesInputAsync"])
def test_sound_stores_pass_a_search(name, context):
    """With cut replies, stopped turns, deaths in the middle of a tool and messages that come while it runs."""
    assert check(getattr(tools, name), models=KILL, max_examples=6, seed=2, context=context).verdict.value == "valid"


def told(store, *faults, workload=TURN):
    """What happened in a run but for the disk, as `kind target`."""
    with Arena() as arena:
        recording = Runner(store, arena).played(workload, Schedule(faults))
    return [f"{op.kind} {op.target}".strip() for op in recording.history if op.lane is not Lane.DISK]


def test_a_turn_runs_its_tool_between_two_replies():
    """The effect is noted by the harness, between the pieces of one reply and those of the next."""
    shown = [line for line in told(tools.RunsTools) if line.startswith(("deliv", "effect", "ack u", "turn"))]
    assert shown[:4] == ["turn u1,a1,t1,a2", "delivered za1z", "delivered  one", "delivered  moment"]
    assert shown[4:] == ["effect call_1", *(f"delivered {word}" for word in ("za2z", " it", " is", " 42")), "ack u1,a1,t1,a2"]


@pytest.mark.parametrize(("after", "effects"), [(0, 0), (15, 0), (16, 1), (20, 1)])
def test_a_cut_counts_the_text_of_both_replies(after, effects):
    """A reply that breaks before its end calls nothing; behind it the tool has run."""
    lines = told(tools.RunsTools, CutStream(0, after))
    assert sum(line.startswith("effect") for line in lines) == effects
    assert lines.count("cut") == 1


def test_what_comes_while_a_tool_runs_is_a_call_of_its_own():
    """It begins and is acknowledged in the middle of the turn."""
    workload = Workload((Ask(*(say.text for say in TURN.says()), meanwhile="zu9z wait"),))
    for store in (tools.TakesInput, tools.TakesInputAsync):
        lines = told(store, workload=workload)
        assert lines.index("effect call_1") < lines.index("append u9") < lines.index("ack u9") < lines.index("ack u1,a1,t1,a2")


def test_an_effect_without_its_record_may_happen_again(context):
    """Nobody can know of it, so a store that runs an unanswered call once more is not blamed, in a later turn either."""
    with Arena() as arena:
        runner = Runner(tools.RunsUnrecorded, arena)
        story = Workload.parse(f"{TURN}; PowerLoss(back=2); {NEXT}")
        assert runner.wedged(runner.prepare(story)) is None
    report = sweep(tools.RunsUnrecorded, Workload((*TURN, Reload(), NEXT)), models=KILL, context=context)
    assert report.verdict.value == "valid"


def test_tools_have_to_be_declared():
    """An adapter that takes the first reply for the whole answer is not asked."""
    with pytest.raises(AdapterError, match="does not declare tools"):
        sweep(streams.SavesAlways, TURN)
    with pytest.raises(AdapterError, match="has no append method"):
        sweep(tools.RunsTools, Workload((Ask("a", "b", "c", "d", "e"),)))
    with pytest.raises(UsageError, match="one without the other"):
        Ask("a", "b", tool="c")


def test_a_request_that_is_no_body_is_an_error_of_the_adapter():
    """And so are records without names."""

    class Wrong(tools.ClosesInRequest):
        def request(self, log):
            return []

    class Nameless(tools.TwoRecords):
        def records(self, log):
            return [super().transcript(log)]

    for kind, name in ((Wrong, "request"), (Nameless, "records")):
        with pytest.raises(AdapterError, match=rf"{name} gave"):
            sweep(kind, TURN, models=KILL)
