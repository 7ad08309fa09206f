"""`HealedHealthy`: an open rewrites what was right."""

from __future__ import annotations

from pytest_durability.checkers.healthy import check
from pytest_durability.verdict import HealedHealthy


def test_a_change_to_a_healthy_session_is_caught(make):
    """The file, its sizes and the line are told."""
    found = check(make.seen("u1", healthy=True, changed=(make.Change("a.json", 5, 7, "s.py:3"),)), make.due("u1"))
    assert isinstance(found, HealedHealthy)
    assert (found.kind, found.site) == ("files", "s.py:3")
    assert "a.json: 5 B -> 7 B" in str(found)


def test_healing_a_crashed_session_is_passed(make):
    """Only a session that was ended cleanly is healthy; no change is no finding."""
    assert check(make.seen("u1", changed=(make.Change("a", 1, 2),)), make.due("u1")) is None
    assert check(make.seen("u1", healthy=True), make.due("u1")) is None
