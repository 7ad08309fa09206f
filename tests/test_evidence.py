"""Evidence: the proof is read from the recording, and the verdict stays what it was."""

from __future__ import annotations

import pytest

from pytest_durability.adapter import Promise
from pytest_durability.evidence import SHOWN, crash_fault, explain
from pytest_durability.faults import Crash, Place, Schedule, seq_of
from pytest_durability.history import History, Lane
from pytest_durability.ledger import Ledger
from pytest_durability.observation import Observation, Row
from pytest_durability.verdict import Loss, LostAcknowledged, Verdict
from pytest_durability.workload import Append, Workload
from pytest_durability.world.disk.effects import Write

WORKLOAD = Workload((Append("user", "zu1z one"), Append("user", "zu2z two")))


@pytest.fixture
def history():
    """Two appends, each with a write and a sync: call 1, ops 2 and 3, ack 4; call 5, ops 6 and 7, ack 8."""
    found = History()
    for token in ("u1", "u2"):
        call = found.add(Lane.USER, "append", token)
        found.add(Lane.DISK, "write", "a.jsonl", site="s.py:1", effect=Write(1, 0, f"z{token}z".encode()))
        found.add(Lane.DISK, "fsync", "a.jsonl", site="s.py:2")
        found.add(Lane.USER, "ack", token, call=call.seq)
    return found


def explained(history, *, losses=(), point=8, anomaly=None, **options):
    """A lost `u2`, explained."""
    ledger = Ledger.build(history, {say.text[1:3]: say for say in WORKLOAD.says()}, promise=Promise())
    anomaly = anomaly or LostAcknowledged("u2 is gone", because=["op 8  u2 was acknowledged"], witnesses=[5, 8], kind="ack")
    return explain(
        anomaly,
        adapter="A",
        workload=WORKLOAD,
        schedule=Schedule(),
        history=history,
        seen=Observation((Row.of("user", "zu1z one"),)),
        due=ledger.at(point),
        model="posix",
        point=point,
        losses=losses,
        fatal=True,
        **options,
    )


def loss(seq):
    """One lost operation."""
    return Loss(seq, f"write {seq}", f"s.py:{seq}", "nothing synced it")


def test_the_crash_is_a_fault_that_finds_its_place_again(history):
    """For every op and every birth before it; before the first op there is nothing to name."""
    for point in range(1, 9):
        for first in range(1, point + 1):
            crash = crash_fault(history, "posix", first=first, point=point, lag=["size:a<-1"])
            assert Schedule.parse(str(crash)).faults == (crash,)
            assert seq_of(history, Place.parse(crash.after)) == point
            assert seq_of(history, Place.parse(crash.born or crash.after)) == first
    assert crash_fault(history, "posix", first=0, point=0, lag=()) is None
    assert crash_fault(history, "posix", first=0, point=3, lag=()) == Crash("fsync:a.jsonl:1", "posix", "-:start:1")


def test_the_verdict_stays(history):
    """Type, summary, kind and witnesses are those of the checker; the proof grows."""
    told = explained(history, losses=[loss(6)])
    assert type(told) is LostAcknowledged
    assert (told.summary, told.kind, told.witnesses) == ("u2 is gone", "ack", (5, 8, 6))
    assert told.because == ("op 8  u2 was acknowledged", "op 6  write 6 was lost  (s.py:6): nothing synced it")
    assert told.site == "s.py:6"


def test_the_loss_that_matters_comes_first(history):
    """The write that carried the lost message leads, although another loss is older."""
    told = explained(history, losses=[loss(2), loss(6)])
    assert [line[:4] for line in told.because[1:]] == ["op 6", "op 2"]


def test_many_losses_are_counted(history):
    """The proof names some, the result has all."""
    told = explained(history, losses=[loss(2), loss(3), loss(6), loss(7)])
    assert told.because[-1] == f"and   {4 - SHOWN} more operations were lost"
    assert len(told.result.losses) == 4


def test_a_kill_names_the_operation_that_did_not_happen(history):
    """Nothing was lost, so the next disk operation is the story."""
    told = explained(history, point=5)
    assert told.because[-1] == "the process ended after op 5, before op 6  write a.jsonl  (s.py:1)"
    assert told.site == "s.py:1"
    assert "nothing that it wrote was lost" in explained(history, point=8).because[-1]


def test_the_result_holds_what_reports_need(history):
    """Expected and observed lines, the model, the crash, and the anomaly itself."""
    told = explained(history, losses=[loss(6)], notes=["then  a second crash"])
    result = told.result
    assert (result.verdict, result.anomaly, result.model, result.crash_after) == (Verdict.INVALID, told, "posix", 8)
    assert result.expected == ("u1  user: zu1z one", "u2  user: zu2z two")
    assert result.observed == ("u1  user: zu1z one",)
    assert told.because[-1] == "then  a second crash"


def test_a_site_of_the_checker_is_kept(history):
    """What failed knows its own line best."""
    assert explained(history, losses=[loss(6)], anomaly=LostAcknowledged("x", site="t.py:7")).site == "t.py:7"
