"""The trajectory under the harness: every crash state of every write, and any workload that Hypothesis thinks of."""

from __future__ import annotations

from pytest_durability import Append, On, Workload
from pytest_durability.explore.examine import Examiner
from pytest_durability.faults import Schedule, WriteError
from pytest_durability.runner import Runner
from pytest_durability.world.arena import Arena
from tests.reference_impl.trajectory.adapter import ReferenceTrajectory


def test_every_crash_state(durability):
    """Under every model, at depth 2: committed turns are there, the fold is the same, no abort stands in the middle."""
    report = durability.sweep(ReferenceTrajectory, depth=2)
    assert report.anomalies == ()
    assert sum(model.states for model in report.models) > 50


def test_the_gate(durability):
    """Crashes and failing writes anywhere, in workloads that are drawn."""
    assert durability.check(ReferenceTrajectory, max_examples=10, seed=3).anomalies == ()


def test_a_second_object_that_could_not_be_opened_changes_what_is_normal():
    """Without the fault the first object is refused as stale; with it the turn is taken, and the answer in it is no phantom."""
    story = Workload((Append("assistant", "za1z a"), On(Append("assistant", "za2z b"), handle=2), Append("user", "zu1z c")))
    with Arena() as arena:
        runner = Runner(ReferenceTrajectory, arena)
        case = runner.prepare(story, Schedule((WriteError("read:session.jsonl:1", "EIO"),)))
        assert [failure.refused for _, failure in case.recording.failures] == [True], "the second open failed, and nothing else"
        assert Examiner(runner, case).examine("posix").kinds == set()
