"""`DamageSpread`: part of the session loads, and an intact message is left out."""

from __future__ import annotations

from pytest_durability.checkers.damage import check
from pytest_durability.verdict import DamageSpread


def test_an_intact_message_that_is_left_out_is_caught(make):
    """Its bytes are on disk, others load."""
    found = check(make.seen("u1", present=frozenset({"u2"})), make.due("u1 u2"))
    assert isinstance(found, DamageSpread)
    assert found.summary.startswith("u2 ")


def test_what_is_not_damage_is_passed(make):
    """Bytes that are gone, an empty session, an unacknowledged or an archived message."""
    assert check(make.seen("u1"), make.due("u1 u2")) is None
    assert check(make.seen(present=frozenset({"u2"})), make.due("u1 u2")) is None
    assert check(make.seen("u1", present=frozenset({"u2"})), make.due("u1 u2", acked="u1")) is None
    assert check(make.seen("u1", archived=make.rows("u2"), present=frozenset({"u2"})), make.due("u1 u2")) is None
