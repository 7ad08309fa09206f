"""`Unloadable`: an exception on either open, unless it is a declared refusal that costs nothing."""

from __future__ import annotations

import pytest

from pytest_durability.adapter import Promise
from pytest_durability.checkers.loadable import check
from pytest_durability.observation import Failure
from pytest_durability.verdict import Unloadable


@pytest.mark.parametrize("during", ["open", "heal", "transcript", "archived"])
def test_any_exception_is_unloadable(make, during):
    """Whichever call it came from, also if nothing was acknowledged yet."""
    for said in ("", "u1"):
        found = check(make.failed(during=during), make.due(said))
        assert isinstance(found, Unloadable)
        assert (found.kind, found.site) == ("ValueError", "s.py:1")
        assert f"{during} raised ValueError: bad" in str(found)


def test_a_second_open_that_fails_counts_too(make):
    """A heal that leaves a session that does not load again is no heal."""
    found = check(make.seen("u1", again_failure=Failure("open", "KeyError", "x", "")), make.due("u1"))
    assert isinstance(found, Unloadable)
    assert "opened again" in found.summary


def test_a_refusal_is_legal_while_nothing_is_lost_by_it(make):
    """With an acknowledged message behind it, it is a loss."""
    assert check(make.failed(refused=True), make.due("u1", acked="")) is None
    assert "a declared refusal" in str(check(make.failed(refused=True), make.due("u1")))


@pytest.mark.parametrize(
    ("said", "told"),
    [("u1", "1 acknowledged message cannot"), ("u1 u2", "2 acknowledged messages cannot"), ("", "never be used")],
)
def test_it_says_what_cannot_be_reached(make, said, told):
    """The number of messages behind the failure is told."""
    assert told in str(check(make.failed(), make.due(said)))


def test_a_session_that_loads_is_passed(make):
    """Also an empty one."""
    assert check(make.seen(), make.due("u1")) is None


@pytest.mark.parametrize("refused", [True, False])
@pytest.mark.parametrize("torn_tail", ["skip", "refuse"])
@pytest.mark.parametrize("commit", [None, "ack"])
def test_a_torn_tail_may_be_refused_if_that_is_promised(make, refused, torn_tail, commit):
    """Only by a declared refusal, and only after a crash in the middle of a call."""
    due = make.due("u1", keep=1, commit=commit, promise=Promise(torn_tail=torn_tail))
    legal = refused and torn_tail == "refuse" and commit is None
    assert (check(make.failed(refused=refused), due) is None) is legal
