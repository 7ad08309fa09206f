"""`Resurrected`: what an acknowledged commit took is live again."""

from __future__ import annotations

from pytest_durability.checkers.resurrected import check
from pytest_durability.verdict import Resurrected


def test_what_was_moved_out_must_stay_out(make):
    """The first such message is named, the others are listed."""
    found = check(make.seen("u1", "u2", "u3"), make.due("u1 u2 u3", keep=1, removed={"u1", "u2"}))
    assert isinstance(found, Resurrected)
    assert found.summary.startswith("u1 ")
    assert "u1, u2" in str(found)


def test_a_commit_without_acknowledgement_may_roll_back(make):
    """It does not bind the store."""
    assert check(make.seen("u1", "u2"), make.due("u1 u2", keep=1, removed={"u1"}, commit="raised")) is None


def test_the_window_may_be_live(make):
    """What the commit keeps is not resurrected, nor what the store keeps besides."""
    assert check(make.seen("u2"), make.due("u1 u2", keep=1, removed={"u1"})) is None
    assert check(make.seen("u1", "u2"), make.due("u1 u2", keep=1)) is None
