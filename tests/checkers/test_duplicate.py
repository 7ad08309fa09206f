"""`Duplicate`: more often than it was said."""

from __future__ import annotations

import pytest

from pytest_durability.checkers.duplicate import check
from pytest_durability.verdict import Duplicate


@pytest.mark.parametrize(
    ("said", "shown", "told"), [("u1", 2, "once and is there twice"), ("u1", 3, "3 times"), ("u1 u1", 3, "said twice")]
)
def test_more_often_than_said_is_caught(make, said, shown, told):
    """Acknowledged or not."""
    for acked in (None, ""):
        found = check(make.seen(*["u1"] * shown), make.due(said, acked=acked))
        assert isinstance(found, Duplicate)
        assert told in found.summary


def test_two_copies_in_one_row_are_a_duplicate(make):
    """Merged rows are looked into."""
    assert check(make.seen(f"{make.text('u1')} {make.text('u1')}"), make.due("u1")) is not None


def test_what_was_said_as_often_is_passed(make):
    """Equal texts twice are legal; a stranger is not a duplicate."""
    assert check(make.seen("u1", "u1"), make.due("u1 u1")) is None
    assert check(make.seen("zu9z x", "zu9z x"), make.due("u1")) is None
