"""`Reordered`: a transcript is a subsequence of what was said."""

from __future__ import annotations

import pytest

from pytest_durability.checkers.order import check
from pytest_durability.verdict import Reordered


@pytest.mark.parametrize("shown", ["u2 u1", "u1 u3 u2", "u3 u1", "u2 u3 u1"])
def test_a_swap_is_caught(make, shown):
    """The message that comes too late is named."""
    found = check(make.seen(*shown.split()), make.due("u1 u2 u3"))
    assert isinstance(found, Reordered)
    assert found.summary.startswith(shown.split()[-1])


@pytest.mark.parametrize("shown", ["", "u1", "u3", "u1 u3", "u1 u2 u3"])
def test_a_subsequence_is_passed(make, shown):
    """What is missing is not out of order."""
    assert check(make.seen(*shown.split()), make.due("u1 u2 u3")) is None


def test_merged_rows_have_an_order_too(make):
    """Two messages in one row stand in the order of their tokens."""
    assert check(make.seen(f"{make.text('u1')} {make.text('u2')}"), make.due("u1 u2")) is None
    assert check(make.seen(f"{make.text('u2')} {make.text('u1')}"), make.due("u1 u2")) is not None


def test_equal_texts_fill_any_of_their_places(make):
    """u1 u2 u1: any of its subsequences is in order."""
    due = make.due("u1 u2 u1")
    for shown in (["u1", "u2"], ["u2", "u1"], ["u1", "u1"], ["u1", "u2", "u1"]):
        assert check(make.seen(*shown), due) is None
    assert check(make.seen("u2", "u1", "u2"), due) is not None
    assert check(make.seen("u2", "u2", "u1"), make.due("u1 u2 u1 u2")) is not None
