"""`Phantom`: a row that nobody said, or half of one."""

from __future__ import annotations

import pytest

from pytest_durability.checkers.phantom import check
from pytest_durability.verdict import Phantom


@pytest.mark.parametrize("role", ["user", "assistant", "tool"])
def test_a_row_without_a_token_is_a_phantom(make, role):
    """Unless a healthy run shows rows of its kind."""
    assert isinstance(check(make.seen((role, "hello")), make.due("u1")), Phantom)
    assert check(make.seen((role, "hello")), make.due("u1", kinds=frozenset({(role, False)}))) is None
    assert isinstance(check(make.seen((role, "")), make.due("u1", kinds=frozenset({(role, False)}))), Phantom)


@pytest.mark.parametrize("role", ["system", "developer", "notice"])
def test_notices_are_legal(make, role):
    """Rows of other roles are the store's own."""
    assert check(make.seen((role, "restored")), make.due("u1")) is None


def test_a_message_that_was_not_said_yet_is_a_phantom(make):
    """It comes from the future, or from another session."""
    found = check(make.seen("u1", "zu2z x"), make.due("u1"))
    assert isinstance(found, Phantom)
    assert "holds u2" in found.summary


def test_half_a_message_is_a_phantom(make):
    """An append that was cut off is there as a whole or not at all."""
    due = make.due("u1", acked="")
    assert isinstance(check(make.seen("zu1z the whole"), due), Phantom)
    assert check(make.seen("u1"), due) is None
    assert check(make.seen(), due) is None


def test_an_altered_text_is_no_fragment(make):
    """What healthy runs alter cannot be told from a fragment."""
    assert check(make.seen("zu1z THE WHOLE"), make.due("u1", acked="", altered=frozenset({"u1"}))) is None


def test_hostile_rows_are_told_in_ascii(make):
    """The summary is safe to print, whatever the row holds."""
    found = check(make.seen(("user", "\x1b[2J\ud800\n\u2028")), make.due())
    assert found.summary.isascii()
    assert found.summary.isprintable()


def test_hostile_roles_are_told_in_ascii(make):
    """A role is a text of the store like any other."""
    found = check(make.seen(("assistant\x1b[2J\ud800\n" + "x" * 999, "zu9z")), make.due())
    for line in (found.summary, *found.because, found.kind):
        assert line.isascii()
        assert line.isprintable()
        assert len(line) < 120
