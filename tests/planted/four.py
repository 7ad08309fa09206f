"""The four tests that were written by hand for one reported bug, and what the harness says where their protection is missing.

Rule: the harness is told nothing: the default sweep, the default workload, no fault and no place. Only the store differs.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from pytest_durability.explore.settings import Context
from pytest_durability.explore.sweep import sweep
from pytest_durability.verdict import Anomaly, Result
from tests.planted.reference import VARIANTS


class Scenario(NamedTuple):
    """`test` is the one in `test_session_stale_message_recovery`; `variant` lacks what it protects; `anomalies` are found."""

    test: str
    variant: str
    anomalies: frozenset[str]


FOUR = (
    Scenario("a_lost_clear_without_a_keep_window_leaves_nothing_stale", "TrustsLive", frozenset({"Duplicate", "Resurrected"})),
    Scenario(
        "a_lost_clear_with_a_keep_window_leaves_the_retained_tail",
        "LosesRetained",
        frozenset({"LostAcknowledged", "SilentEmpty"}),
    ),
    Scenario("a_consistent_session_is_left_alone", "RewritesHealthy", frozenset({"HealedHealthy"})),
    Scenario("a_legacy_session_without_meta_is_left_alone", "HealsLegacy", frozenset({"SilentEmpty"})),
)


def found(scenario: Scenario, folder: Path) -> dict[str, Result]:
    """What a sweep with nothing but defaults raises on the variant, by the name of the anomaly."""
    told: dict[str, Result] = {}
    try:
        sweep(VARIANTS[scenario.variant], depth=1, context=Context(directory=folder))
    except* Anomaly as group:
        for error in group.exceptions:
            if isinstance(error, Anomaly) and error.result is not None:
                told.setdefault(type(error).__name__, error.result)
    return told


def side_by_side(folder: Path) -> str:
    """One line for each scenario: the test, the store without its protection, what was found, under which model, by how little."""
    lines = [f"{'test':56}  {'store without it':16}  {'found by the default sweep':28}  under     schedule"]
    for scenario in FOUR:
        told = found(scenario, folder)
        shortest = min(told.values(), key=lambda result: len(str(result.schedule)), default=None)
        model = (shortest.model or "no fault") if shortest else "-"
        schedule = str(shortest.schedule) if shortest else ""
        names = ", ".join(sorted(told))
        lines.append(f"{scenario.test:56}  {scenario.variant:16}  {names:28}  {model:8}  {schedule}".rstrip())
    return "\n".join(lines)
