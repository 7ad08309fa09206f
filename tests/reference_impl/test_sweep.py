"""The reference store under the harness: every crash state of every crash point, and crashes while those heal."""

from __future__ import annotations

import pytest

from pytest_durability import Append, AppendMany, Commit, Reload, Workload
from pytest_durability.explore.examine import DEEPER, Examiner
from pytest_durability.explore.gate import check
from pytest_durability.explore.settings import Context
from pytest_durability.explore.sweep import sweep
from pytest_durability.faults import Schedule, WriteError
from pytest_durability.nemesis import ReadWatch
from pytest_durability.recording import Play
from pytest_durability.runner import Runner
from pytest_durability.verdict import Anomaly, LostAcknowledged, Resurrected
from pytest_durability.workload import Say
from pytest_durability.world.arena import Arena
from reference_impl.durable import Durable
from tests.reference_impl.adapter import ReferenceSession

MODELS = ("process-kill", "strict", "ext4-delalloc", "ext4-noauto-da-alloc", "posix")
LONG = "x" * 6000  # more than a page, so that a line can be torn in its middle

WORKLOADS = {
    "standard": None,
    "long": Workload(
        (
            Append("user", f"zu1z {LONG}", "u1"),
            AppendMany((Say("user", f"zu2z {LONG}", "u2"), Say("assistant", f"za2z {LONG}", "a2"))),
            Commit(1),
            Append("user", f"zu3z {LONG}", "u3"),
            Reload(),
            Commit(1),
        )
    ),
    "commits": Workload(
        (
            Append("user", "zu1z one", "u1"),
            Append("user", "zu2z two", "u2"),
            Commit(1),
            Commit(0),
            Append("user", "zu3z three", "u3"),
            Reload(),
            AppendMany((Say("user", "zu4z four", "u4"), Say("assistant", "za4z five", "a4"))),
            Commit(1),
            Commit(0),
        )
    ),
}


MOVED = Workload(
    (Append("user", "zu1z one", "u1"), Append("user", "zu2z two", "u2"), Commit(1), Append("user", "zu3z three", "u3"))
)


@pytest.mark.parametrize("name", WORKLOADS)
def test_no_crash_loses_doubles_or_reorders_anything(name, tmp_path):
    """Under all models, also those that the promise does not name, and with a second crash during the healing."""
    report = sweep(ReferenceSession, WORKLOADS[name], models=MODELS, depth=2, context=Context(directory=tmp_path))
    assert report.anomalies == report.portability == ()
    assert report.states > 200
    assert all(model.deeper > 100 and not model.cut_short for model in report.models)


MOUNTS = ("netput", "netput(ack_loss=until_fsync)", "netput(order=per_key)", "netput(order=any)")


@pytest.mark.parametrize("model", MOUNTS)
def test_no_mount_that_puts_whole_files_makes_it_inconsistent(model, tmp_path):
    """One PUT lost or late anywhere, in any order that the mount allows: what a copy survives of is there, and nothing twice."""
    report = sweep(ReferenceSession, MOVED, models=[model], depth=2, context=Context(directory=tmp_path))
    assert report.anomalies == report.portability == ()
    [bounds] = report.models
    assert bounds.states > 100
    assert bounds.deeper > 900
    assert not bounds.cut_short


def test_a_longer_story_on_such_a_mount_reaches_the_bound(tmp_path):
    """All states of the story itself; of the crashes while those heal the first 4,000, and the report says that there are more."""
    report = sweep(ReferenceSession, WORKLOADS["commits"], models=["netput"], depth=2, context=Context(directory=tmp_path))
    assert report.anomalies == report.portability == ()
    [bounds] = report.models
    assert bounds.cuts < bounds.limit
    assert (bounds.deeper, bounds.cut_short) == (DEEPER, True)


def test_two_puts_that_are_lost_at_once_undo_a_commit(tmp_path):
    """Beyond the promise: with the clear and the mark of the archive gone, nothing on disk says that there was a commit."""
    with pytest.raises((Resurrected, ExceptionGroup)) as found:
        sweep(ReferenceSession, MOVED, models=["netput(faults=2)"], depth=1, context=Context(directory=tmp_path))
    errors = found.value.exceptions if isinstance(found.value, ExceptionGroup) else [found.value]
    assert {type(error) for error in errors} == {Resurrected}


def test_no_fault_that_is_drawn_finds_anything(tmp_path):
    """Full disks, failing and short writes, writes that are acknowledged and lost: drawn stories, each crashed everywhere."""
    report = check(ReferenceSession, models=MODELS, seed=1, max_examples=16, context=Context(directory=tmp_path))
    assert report.anomalies == report.portability == ()
    assert report.steps == 16
    assert report.states > 1000


def test_a_read_that_fails_costs_nothing(tmp_path):
    """Every open, read and listing of a run, struck in turn: operations and loads may raise, what was acknowledged stays."""
    steps = Workload((Append("user", "zu1z one", "u1"), Append("user", "zu2z two", "u2"), Commit(1), Reload(), Commit(0)))
    with Arena() as arena:
        runner = Runner(ReferenceSession, arena)
        watch = ReadWatch()
        Play(ReferenceSession, runner.able, arena, gate=watch).run(steps)
        raised = 0
        for place in watch.places:
            case = runner.prepare(steps, Schedule((WriteError(str(place)),)))
            tally = Examiner(runner, case).examine("process-kill")
            assert (case.unfired, tally.suspects, tally.unknown) == ((), [], set())
            raised += bool(case.recording.failures)
    assert {place.kind for place in watch.places} == {"open", "read", "list"}
    assert len(watch.places) > 60
    assert raised > len(watch.places) // 2


class Unsynced(ReferenceSession):
    """The same store without a single sync."""

    def open(self, world):
        """Open it at the weaker level."""
        session = super().open(world)
        session.disk = Durable("process-kill")
        return session


def test_the_syncs_are_what_makes_it_durable(tmp_path):
    """Without them it survives every kill and no power cut, so the sweep above does not pass for want of looking."""
    steps = Workload((Append("user", "zu1z one", "u1"), Append("user", "zu2z two", "u2")))
    assert sweep(Unsynced, steps, models=["process-kill"], context=Context(directory=tmp_path)).anomalies == ()
    with pytest.raises((Anomaly, ExceptionGroup)) as found:
        sweep(Unsynced, steps, models=["posix"], depth=1, context=Context(directory=tmp_path))
    errors = found.value.exceptions if isinstance(found.value, ExceptionGroup) else [found.value]
    assert any(isinstance(error, LostAcknowledged) for error in errors)
