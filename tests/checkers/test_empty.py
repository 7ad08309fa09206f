"""`SilentEmpty`: nothing loads, although a message that must be there has its bytes on disk."""

from __future__ import annotations

from pytest_durability.checkers.empty import check
from pytest_durability.verdict import SilentEmpty


def test_an_empty_transcript_over_full_files_is_caught(make):
    """The hidden messages are named."""
    found = check(make.seen(present=frozenset({"u1", "u2"})), make.due("u1 u2"))
    assert isinstance(found, SilentEmpty)
    assert "u1, u2 are on disk" in found.summary


def test_rows_without_a_token_are_empty_too(make):
    """A system prompt alone is an empty session."""
    assert check(make.seen(("system", "you are helpful"), present=frozenset({"u1"})), make.due("u1")) is not None


def test_what_is_legally_empty_is_passed(make):
    """No bytes, nothing due, only archived messages, or a message that loads: no silent empty."""
    assert check(make.seen(), make.due("u1")) is None
    assert check(make.seen(present=frozenset({"u1"})), make.due("u1", acked="")) is None
    assert check(make.seen(present=frozenset({"u1"})), make.due("u1", keep=0, removed={"u1"})) is None
    assert check(make.seen(archived=make.rows("u1"), present=frozenset({"u1"})), make.due("u1")) is None
    assert check(make.seen("u2", present=frozenset({"u1"})), make.due("u1 u2")) is None
