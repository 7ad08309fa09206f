"""Moments: what is blanked in texts of a store's own; files are tested where they are compared."""

from __future__ import annotations

import pytest

from pytest_durability.moments import blanked, blanked_text


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("at 2024-01-02T03:04:05Z", "at 2025-11-12 13:14"),
        ("on 2024-01-02.", "on 2024-01-03."),
        ("it is 12:00:01", "it is 12:00:02"),
        ("9:05 pm", "11:30 pm"),
        ("since 1700000000", "since 1800000000.5"),
        ("\ud800 1700000000123", "\ud800 1700000000124"),
    ],
)
def test_moments_in_a_text_are_blanked(one, other):
    """Dates, times of day and epoch numbers of any year."""
    assert one != other
    assert blanked_text(one) == blanked_text(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("3 messages", "4 messages"),
        ("v1.2", "v1.3"),
        ("ratio 1:2:3:4", "ratio 1:2:3:5"),
        ("at 12:00", "at 12:00, at 12:00"),
        ("a", "b"),
    ],
)
def test_everything_else_is_content(one, other):
    """Counters, versions and words stay."""
    assert blanked_text(one) != blanked_text(other)


def test_files_keep_more_of_their_content():
    """In a file a bare date or time may be a message, and only present-day epoch numbers are moments."""
    for data in (b"2024-01-02", b"12:00:01", b"1600000000"):
        assert blanked(data, 1_700_000_000) == data
    assert blanked(b"1700000001 2024-01-02T03:04", 1_700_000_000) == b"<time> <time>"
