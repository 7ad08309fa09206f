"""The saved timeline under the harness: every crash state of every write, and workloads that Hypothesis thinks of."""

from __future__ import annotations

from tests.reference_impl.replay.adapter import ReferenceReplay


def test_every_crash_state(durability):
    """Under every model: what was answered is there, each reply has its item, and the next request is valid."""
    report = durability.sweep(ReferenceReplay, depth=1)
    assert report.anomalies == ()
    assert sum(model.states for model in report.models) > 20


def test_the_gate(durability):
    """Crashes and failing writes anywhere, in workloads that are drawn."""
    assert durability.check(ReferenceReplay, max_examples=4).anomalies == ()
