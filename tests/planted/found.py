"""What a search or a sweep raises, as a list: one finding leaves as it is, several as a group."""

from __future__ import annotations

from collections.abc import Callable

from pytest_durability.verdict import Anomaly


def findings(question: Callable[[], object]) -> list[Anomaly]:
    """All fatal anomalies of a call."""
    found: list[Anomaly] = []
    try:
        question()
    except* Anomaly as group:
        found.extend(group.exceptions)
    return found
