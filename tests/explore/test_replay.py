"""A saved case runs again exactly, without a search; what no longer fits is told, and nothing is imported for it."""

from __future__ import annotations

import sys

import pytest

from pytest_durability.errors import CaseError
from pytest_durability.explore.case import Case, load
from pytest_durability.explore.replay import replay
from pytest_durability.explore.settings import Context
from pytest_durability.explore.sweep import sweep
from pytest_durability.verdict import Anomaly, DamageSpread, Duplicate, LostAcknowledged, Resurrected, Unloadable, Verdict
from tests.planted import stores


@pytest.fixture
def context(tmp_path):
    """Cases go to a directory of their own."""
    return Context(directory=tmp_path / "cases", rootdir=tmp_path)


def anomalies(store, context, **options):
    """Everything that a sweep of this store finds."""
    found = []
    try:
        sweep(stores.adapter(store), context=context, **options)
    except* Anomaly as group:
        found.extend(group.exceptions)
    assert found
    return found


@pytest.mark.parametrize(
    "store", [stores.NoSync, stores.Brick, stores.JournalTwice, stores.DropsNeighbour, stores.TrustsLive, stores.HealGrows]
)
def test_every_finding_of_a_sweep_replays(store, context):
    """Each saved case raises the same anomaly, with the same proof, the same schedule and the same case id."""
    for anomaly in anomalies(store, context):
        case = load(anomaly.result.case_id, context.directory)
        with pytest.raises(type(anomaly)) as again:
            replay(case, adapter=stores.adapter(store), context=context)
        assert str(again.value) == str(anomaly)
        assert str(again.value.result.schedule) == str(anomaly.result.schedule)
        assert again.value.result.case_id == case.id
        assert again.value.result.observed == anomaly.result.observed


@pytest.mark.parametrize("store", [stores.TrustsLive, stores.LosesOrder, stores.JournalTwice, stores.ClearsFirst])
def test_every_finding_on_a_mount_replays(store, context):
    """Also those of lost and late PUTs, which have names of their own."""
    found = anomalies(store, context, models=["netput"])
    assert any("-put(" in str(anomaly.result.schedule) for anomaly in found)
    for anomaly in found:
        with pytest.raises(type(anomaly)) as again:
            replay(anomaly.result.case_id, adapter=stores.adapter(store), context=context)
        assert str(again.value) == str(anomaly)
        assert again.value.result.losses == anomaly.result.losses


def test_a_repaired_store_passes_its_case(context):
    """After the usual repair (a sync was added) the case no longer fails, and says why."""
    anomaly = anomalies(stores.NoSync, context, models=["ext4-delalloc"])[0]
    result = replay(anomaly.result.case_id, adapter=stores.adapter(stores.Sound), context=context)
    assert result.verdict is Verdict.VALID
    assert "can no longer leave that state" in result.note


def test_a_case_whose_place_is_gone_is_no_pass(context):
    """A store that never does the operation of the crash any more: an error that says so, neither pass nor failure."""
    case = Case("x:Y", "Append(role='user', text='zu1z one')", "Crash(after='write:nowhere.json:1')")
    with pytest.raises(CaseError, match=r"no longer fits: there is no operation write:nowhere\.json:1"):
        replay(case, adapter=stores.adapter(stores.Sound), context=context)


def test_a_fault_that_never_strikes_is_no_pass(context):
    """The same for a scheduled fault."""
    case = Case("x:Y", "Append(role='user', text='zu1z one')", "WriteError(at='write:nowhere.json:1')")
    with pytest.raises(CaseError, match="never strikes"):
        replay(case, adapter=stores.adapter(stores.Sound), context=context)


WORKLOAD = "Append(role='user', text='zu1z one')\nAppend(role='user', text='zu2z two')\nAppend(role='user', text='zu3z three')"


def staged(store, schedule, context, *, acknowledged="power-loss", workload=WORKLOAD):
    """Replay a hand-made schedule."""
    adapter = stores.adapter(store, acknowledged=acknowledged)
    return replay(Case("x:Y", workload, schedule), adapter=adapter, context=context)


def test_a_lost_write_excuses_only_what_it_took(context):
    """The message whose only copy was dropped may be missing, the others may not; the sound store passes."""
    schedule = "LostWrite(at='write:session/live.jsonl:2'); Crash(after='ack:u#:3')"
    assert staged(stores.Sound, schedule, context).verdict is Verdict.VALID


CLEAR = f"{WORKLOAD}\nCommit(keep=1)"


def test_a_lost_clear_can_be_staged_as_a_lost_write(context):
    """The save that empties the live file was acknowledged and never stored; the sound store heals it, the other believes it."""
    schedule = "LostWrite(at='write:session/live.tmp:1'); Crash(after='ack:commit:1')"
    assert staged(stores.Sound, schedule, context, workload=CLEAR).verdict is Verdict.VALID
    with pytest.raises(Resurrected):
        staged(stores.TrustsLive, schedule, context, workload=CLEAR)


def test_a_lost_archive_excuses_what_was_moved_into_it(context):
    """No copy of the archived messages is left, which nobody can ask for; the retained one is asked for."""
    schedule = "LostWrite(at='write:session/archive.tmp:1'); Crash(after='ack:commit:1')"
    assert staged(stores.Sound, schedule, context, workload=CLEAR).verdict is Verdict.VALID


def test_a_torn_write_is_read_back_torn(context):
    """A store that reads on after a torn line shows the damage; the sound one ends at it, having acknowledged more."""
    schedule = "TornWrite(at='write:session/live.jsonl:3', keep=10); Crash(after='ack:u#:3')"
    assert staged(stores.Sound, schedule, context).verdict is Verdict.VALID
    with pytest.raises((DamageSpread, LostAcknowledged)):
        staged(stores.DropsNeighbour, schedule, context)


def test_a_failing_write_is_within_every_promise(context):
    """The append raises, what was acknowledged before stays; the failed message may be there or not."""
    for fault in ("WriteError(at='write:session/live.jsonl:2', error='ENOSPC')", "WriteError(at='fsync:session/live.jsonl:3')"):
        assert staged(stores.Sound, f"{fault}; Crash(after='ack:u#:2')", context).verdict is Verdict.VALID


def test_a_short_write_is_honest_work_for_buffered_files(context):
    """Python's buffered files go on after a short write, so the sound store passes."""
    schedule = "ShortWrite(at='write:session/live.jsonl:2', keep=5); Crash(after='ack:u#:3')"
    assert staged(stores.Sound, schedule, context).verdict is Verdict.VALID


def test_a_module_that_is_not_loaded_is_not_imported(context):
    """A case names its adapter; that is no reason to import anything."""
    case = Case("this:is", WORKLOAD, "")
    with pytest.raises(CaseError, match="is not loaded"):
        replay(case, context=context)
    assert "this" not in sys.modules


def test_a_loaded_adapter_is_found_by_its_name(context):
    """Without an adapter, the class that the case names is used if its module is loaded."""
    with pytest.raises(Duplicate) as found:
        sweep(stores.JOURNAL_TWICE, models=["process-kill"], context=context)
    with pytest.raises(Duplicate):
        replay(found.value.result.case_id, context=context)


def test_a_case_of_another_store_is_judged_on_this_one(context):
    """What fails is today's store, whatever the case was saved for."""
    case = Case("x:Y", WORKLOAD, "Crash(after='mkdir:session:1')")
    assert replay(case, adapter=stores.adapter(stores.Sound), context=context).verdict is Verdict.VALID
    with pytest.raises(Unloadable):
        replay(case, adapter=stores.adapter(stores.Brick), context=context)
