"""Misuse errors: three parts, in every form in which they travel."""

from __future__ import annotations

import pickle

import pytest

from pytest_durability import errors
from pytest_durability.errors import DurabilityError, UsageError

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, DurabilityError)]


def test_a_message_has_three_parts_in_order():
    """The text says what happened, then why it matters, then what to do."""
    error = UsageError("keep=-1 is too few", why="a write has no negative length", fix="give 0 or more")
    assert str(error).splitlines() == ["keep=-1 is too few", "  why: a write has no negative length", "  fix: give 0 or more"]


def test_parts_that_are_not_given_leave_no_empty_line():
    """An error with one part is one line."""
    assert str(UsageError("no")) == "no"
    assert str(UsageError("no", fix="yes")).splitlines() == ["no", "  fix: yes"]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_error_survives_the_way_between_processes(kind):
    """A pickled error comes back with its type, its text and its parts."""
    error = kind("what", why="why", fix="fix")
    back = pickle.loads(pickle.dumps(error))  # noqa: S301  written on the same line
    assert (type(back), str(back), back.what, back.why, back.fix) == (kind, str(error), "what", "why", "fix")


def test_misuse_is_never_taken_for_a_finding():
    """No misuse error is an AssertionError, which is what findings are."""
    assert not any(issubclass(kind, AssertionError) for kind in KINDS)
