"""`LostAcknowledged`: missing, cut short, or missing from the middle."""

from __future__ import annotations

import pytest

from pytest_durability.adapter import Promise
from pytest_durability.checkers.acknowledged import check
from pytest_durability.verdict import LostAcknowledged

EXACT = Promise(text="exact")


@pytest.mark.parametrize(("shown", "lost"), [([], "u1"), (["u2"], "u1"), (["u1"], "u2"), (["u9 x"], "u1")])
def test_a_missing_message_is_caught(make, shown, lost):
    """The first one is named, with its acknowledgement."""
    found = check(make.seen(*shown), make.due("u1 u2"))
    assert isinstance(found, LostAcknowledged)
    assert found.summary.startswith(f"{lost} ")
    assert found.witnesses == {"u1": (1, 2), "u2": (3, 4)}[lost]


def test_a_text_that_was_cut_short_is_lost(make):
    """The token alone is not the message."""
    assert "another text" in str(check(make.seen("zu1z the whole"), make.due("u1")))


def test_a_text_that_healthy_runs_alter_is_recognised_by_its_token(make):
    """A store that normalises texts is not blamed for it."""
    assert check(make.seen("zu1z THE WHOLE"), make.due("u1", altered=frozenset({"u1"}))) is None


@pytest.mark.parametrize("around", ["{}", "  {}\n", "merged: {} and more"])
def test_outer_white_space_and_merged_rows_are_passed(make, around):
    """The whole text is there, whatever stands around it."""
    assert check(make.seen(around.format(make.text("u1"))), make.due("u1")) is None


@pytest.mark.parametrize(("around", "kept"), [("{}", True), ("{} ", False), ("\n{}", False), ("a {}", False)])
def test_exact_means_exact(make, around, kept):
    """With `text="exact"`, white space counts."""
    assert (check(make.seen(around.format(make.text("u1"))), make.due("u1", promise=EXACT)) is None) is kept


def test_a_hole_before_the_window_is_a_loss(make):
    """Messages that a commit may take go as a whole prefix."""
    due = make.due("u1 u2 u3 u4", keep=1, commit=None)
    assert isinstance(check(make.seen("u1", "u3", "u4"), due), LostAcknowledged)
    for shown in (["u4"], ["u3", "u4"], ["u2", "u3", "u4"], ["u1", "u2", "u3", "u4"]):
        assert check(make.seen(*shown), due) is None


def test_a_text_that_was_said_again_proves_no_hole(make):
    """`u1` is live because it was said again after the commit, not because it was kept."""
    due = make.due("u1 u2 u1", keep=1, removed={"u1", "u2"})
    assert check(make.seen("u1"), due) is None


def test_what_need_not_be_there_can_be_missing(make):
    """An append that raised, and what a commit took."""
    assert check(make.seen("u1"), make.due("u1 u2", acked="u1")) is None
    assert check(make.seen(), make.due("u1", keep=0, removed={"u1"})) is None


def test_a_summary_may_quote_what_it_replaces(make):
    """What a healthy run no longer shows while it shows an older message is no hole; anything else still is."""
    quoting = {"u1", "u2", "u3", "u4"} - {"u1"}
    for commit in (None, "ack"):
        due = make.due("u1 u2 u3 u4 u5", keep=1, removed=quoting, commit=commit)
        assert check(make.seen(("system", "Summary: zu1z ..."), "u5"), due) is None
    due = make.due("u1 u2 u3 u4 u5", keep=1, removed={"u1", "u3", "u4"}, commit=None)
    assert isinstance(check(make.seen("u1", "u3", "u4", "u5"), due), LostAcknowledged)
    due = make.due("u1 u2 u3", keep=3, removed={"u2"}, commit=None)
    assert isinstance(check(make.seen("u1", "u3"), due), LostAcknowledged)


def test_another_role_is_another_message(make):
    """If a healthy run keeps the role; a row of the right role besides is enough."""
    seen = make.seen(("assistant", make.text("u1")))
    kept = frozenset({"user", "assistant"})
    found = check(seen, make.due("u1", roles=kept))
    assert isinstance(found, LostAcknowledged)
    assert "comes back as assistant instead of user" in found.summary
    assert check(make.seen(("assistant", f"quoted: {make.text('u1')}"), "u1"), make.due("u1", roles=kept)) is None
    assert check(seen, make.due("u1", acked="", roles=kept)) is None


def test_a_role_that_healthy_runs_change_is_passed(make):
    """For all messages of that role, or for this one."""
    seen = make.seen(("human", make.text("u1")))
    assert check(seen, make.due("u1", roles=frozenset({"assistant"}))) is None
    assert check(seen, make.due("u1", roles=frozenset({"user"}), recast=frozenset({"u1"}))) is None
    assert check(seen, make.due("u1", roles=frozenset({"user"}), recast=frozenset({"u2"}))) is not None
