"""`NotDeterministic`: equal bytes gave two sessions."""

from __future__ import annotations

import pytest

from pytest_durability.checkers.deterministic import check
from pytest_durability.observation import Asked
from pytest_durability.verdict import NotDeterministic


@pytest.mark.parametrize("other", [("u2", "u1"), ("u1",), ("u1", "u2", "u2"), (("assistant", "zu1z"), "u2")])
def test_other_messages_are_caught(make, other):
    """Another order, fewer, more, or another speaker."""
    found = check(make.seen("u1", "u2", twin=make.seen(*other)), make.due("u1 u2"))
    assert isinstance(found, NotDeterministic)
    assert make.named(make.seen("u1", "u2", twin=make.seen(*other)), make.due("u1 u2")) == "NotDeterministic"


def test_a_session_that_loads_sometimes_is_caught(make):
    """The failure and its place are told; a session that never loads is another anomaly."""
    found = check(make.seen("u1", twin=make.failed()), make.due("u1"))
    assert (found.kind, found.site) == ("load", "s.py:1")
    assert make.named(make.failed(twin=make.seen("u1")), make.due("u1")) == "Unloadable"


def test_another_next_request_is_caught(make):
    """Though the transcripts are the same."""
    twin = make.seen("u1", "u2", asked=Asked(("u2",)))
    assert check(make.seen("u1", "u2", asked=Asked(("u1", "u2")), twin=twin), make.due("u1 u2")).kind == "request"


def test_what_a_store_says_of_its_own_may_differ(make):
    """A notice with a random id, one notice more, a session that was opened once."""
    for other in ([("system", "run 7f3a"), "u1"], ["u1"], [("system", "run 1"), "u1", ("notice", "hint")]):
        assert check(make.seen(("system", "run 90bc"), "u1", twin=make.seen(*other)), make.due("u1")) is None
    assert check(make.seen("u1"), make.due("u1")) is None
