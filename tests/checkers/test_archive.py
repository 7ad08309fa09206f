"""Archive and transcript together hold each message exactly once."""

from __future__ import annotations

from pytest_durability.checkers.archive import check
from pytest_durability.verdict import Duplicate, LostAcknowledged


def test_a_message_in_both_places_is_a_duplicate(make):
    """Whether the commit was acknowledged or not."""
    for commit in ("ack", "raised"):
        due = make.due("u1 u2", keep=1, removed={"u1"}, commit=commit, archives=True)
        found = check(make.seen("u1", "u2", archived=make.rows("u1")), due)
        assert isinstance(found, Duplicate)
        assert "u1 is in the archive and in the transcript" in str(found)


def test_a_message_in_two_archives_is_a_duplicate(make):
    """An archive that was written twice shows its messages twice."""
    found = check(make.seen("u2", archived=make.rows("u1", "u1")), make.due("u1 u2", keep=1, removed={"u1"}, archives=True))
    assert isinstance(found, Duplicate)


def test_a_message_in_neither_place_is_lost(make):
    """Cleared before it was archived."""
    due = make.due("u1 u2", keep=1, removed={"u1"}, archives=True)
    found = check(make.seen("u2", archived=()), due)
    assert isinstance(found, LostAcknowledged)
    assert "u1" in found.summary
    assert make.named(make.seen("u2", archived=()), due) == "LostAcknowledged"


def test_exactly_one_place_is_passed(make):
    """Before, during and after the commit."""
    during = make.due("u1 u2", keep=1, removed={"u1"}, commit=None, archives=True)
    after = make.due("u1 u2", keep=1, removed={"u1"}, archives=True)
    for due in (during, after):
        assert make.named(make.seen("u2", archived=make.rows("u1")), due) == "valid"
    assert make.named(make.seen("u1", "u2", archived=()), during) == "valid"


def test_equal_texts_may_be_in_both_places(make):
    """Said twice, archived once: one of them is live."""
    assert check(make.seen("u1", archived=make.rows("u1")), make.due("u1 u1", keep=1, archives=True)) is None
    assert check(make.seen(archived=make.rows("u1", "u1")), make.due("u1 u1", keep=0, archives=True)) is None


def test_without_archives_nothing_is_asked(make):
    """A store that cannot show them may drop what it sheds."""
    assert make.named(make.seen("u2"), make.due("u1 u2", keep=1, removed={"u1"})) == "valid"
