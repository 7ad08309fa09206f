"""The trajectory under the harness: every crash state of every write, and any workload that Hypothesis thinks of."""

from __future__ import annotations

from tests.reference_impl.trajectory.adapter import ReferenceTrajectory


def test_every_crash_state(durability):
    """Under every model, at depth 2: committed turns are there, the fold is the same, no abort stands in the middle."""
    report = durability.sweep(ReferenceTrajectory, depth=2)
    assert report.anomalies == ()
    assert sum(model.states for model in report.models) > 50


def test_the_gate(durability):
    """Crashes and failing writes anywhere, in workloads that are drawn."""
    assert durability.check(ReferenceTrajectory, max_examples=10).anomalies == ()
