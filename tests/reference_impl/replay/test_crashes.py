"""The saved timeline under the harness: every crash state of every write, and workloads that Hypothesis thinks of."""

from __future__ import annotations

import pytest

from pytest_durability import Anomaly, Append, Reload
from tests.planted.replay_providers import ModelFamily, SendsUnanswered
from tests.reference_impl.replay.adapter import ReferenceReplay
from tests.reference_impl.replay.sealed import SameModel, SwitchesModels


def test_every_crash_state(durability):
    """Under every model: what was answered is there, each reply has its item, and the next request is valid."""
    report = durability.sweep(ReferenceReplay, depth=1)
    assert report.anomalies == ()
    assert sum(model.states for model in report.models) > 20


def test_the_gate(durability):
    """Crashes and failing writes anywhere, in workloads that are drawn."""
    assert durability.check(ReferenceReplay, max_examples=4).anomalies == ()


@pytest.mark.parametrize("adapter", [SameModel, SwitchesModels])
def test_the_next_request_is_taken(durability, adapter):
    """After a kill anywhere, in a tool too, the next request is one that the service takes: sealed items, or none."""
    assert durability.sweep(adapter, models="process-kill", depth=1).anomalies == ()


@pytest.mark.parametrize(("flaw", "anomaly"), [(ModelFamily, "ForeignReasoning"), (SendsUnanswered, "UnansweredCall")])
def test_a_flaw_is_told_from_the_next_request(durability, flaw, anomaly):
    """Items of another model, and a call that a kill in its tool left open."""

    class Flawed(SwitchesModels):
        kind = flaw

    with pytest.raises((Anomaly, ExceptionGroup)) as caught:
        durability.sweep(Flawed, models="process-kill", depth=1)
    found = caught.value.exceptions if isinstance(caught.value, ExceptionGroup) else [caught.value]
    assert anomaly in {type(one).__name__ for one in found}


def test_ids_go_on_from_life_to_life(durability):
    """A service does not give an id again because the program was restarted."""
    given = []

    class Notes(SameModel):
        def append(self, agent, message):
            super().append(agent, message)
            given.append(self.service.requests[-1].items[0]["id"])

    durability.sweep(Notes, [Append("user", "one?"), Reload(), Append("user", "two?")], models="process-kill", depth=1)
    assert given
    assert all(first != second for first, second in zip(given[::2], given[1::2], strict=True))
