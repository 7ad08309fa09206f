"""What overlapping turns may leave: some order of whole turns, or nothing of one that refused."""

from __future__ import annotations

import itertools

import pytest

from pytest_durability.checkers.overlapped import judge_overlap
from pytest_durability.checkers.wholes import DONE, RAISED, REFUSED, STOPPED, Cut, Whole
from pytest_durability.errors import UsageError

BASE = Whole("before", ("u1", "a1"), 0, 0)
A = Whole("turn 0", ("u2", "a2"), 1, 10)
B = Whole("turn 1", ("u3", "a3"), 2, 9)
LATER = Whole("turn 2", ("u4", "a4"), 11, 12)


def ended(turn, how, told=""):
    """The same turn with another end."""
    return Whole(turn.name, turn.tokens, turn.began, turn.over, how, told)


def verdict(shown, *turns, cuts=(), promised="serialise"):
    """The name of the anomaly, or an empty text."""
    found = judge_overlap(turns or (BASE, A, B), shown.split(), cuts=cuts, promised=promised)
    return "" if found is None else type(found).__name__


@pytest.mark.parametrize("shown", ["u1 a1 u2 a2 u3 a3", "u1 a1 u3 a3 u2 a2", "x9 u1 a1 u3 a3 x8 u2 a2"])
def test_each_order_of_whole_turns_is_fine(shown):
    """Either turn may come first, and rows of nobody here do not matter."""
    assert verdict(shown) == ""


@pytest.mark.parametrize(
    ("shown", "name"),
    [
        ("u1 a1 u2 u3 a2 a3", "NotSerialisable"),
        ("u1 a1 u2 u3 a3 a2", "NotSerialisable"),
        ("u1 a1 u2 a2", "NotSerialisable"),
        ("u1 a1 u2 a2 u3", "NotSerialisable"),
        ("u2 a2 u3 a3", "NotSerialisable"),
        ("u2 a2 u1 a1 u3 a3", "NotSerialisable"),
        ("", "NotSerialisable"),
        ("u1 a1 a2 u2 u3 a3", "Reordered"),
        ("u1 a1 u2 a2 u3 a3 u3", "Duplicate"),
    ],
)
def test_what_no_order_explains_is_found(shown, name):
    """Torn, lost, doubled and displaced turns each have their name."""
    assert verdict(shown) == name


def test_a_turn_that_was_over_comes_first():
    """Real time counts: a turn that began after another one was over cannot come before it."""
    assert verdict("u2 a2 u3 a3 u4 a4", A, B, LATER) == ""
    assert verdict("u2 a2 u4 a4 u3 a3", A, B, LATER) == "NotSerialisable"


def test_refusing_is_fine_if_promised():
    """A refused turn leaves nothing, and somebody has to get through; without the promise nobody may be refused."""
    refused = ended(B, REFUSED, "Busy")
    assert verdict("u1 a1 u2 a2", BASE, A, refused, promised="refuse") == ""
    assert verdict("u1 a1 u2 a2 u3", BASE, A, refused, promised="refuse") == "NotSerialisable"
    assert verdict("u1 a1 u2 a2", BASE, A, refused) == "NotSerialisable"
    assert verdict("", ended(A, REFUSED), refused, promised="refuse") == "NotSerialisable"
    assert verdict("u1 a1 u2 a2 u3 a3", promised="refuse") == ""


def test_an_error_is_no_refusal():
    """A turn that failed because of another one is a finding, whatever is promised, and its error is told."""
    failed = ended(B, RAISED, "IntegrityError: seq")
    for promised in ("serialise", "refuse"):
        found = judge_overlap((BASE, A, failed), ["u1", "a1", "u2", "a2"], promised=promised)
        assert "IntegrityError" in found.summary


@pytest.mark.parametrize(("shown", "fine"), [("", True), ("u3", True), ("u3 a3", True), ("a3", False)])
def test_a_stopped_turn_leaves_a_beginning(shown, fine):
    """A cancelled turn may have come to any point, but not have left an answer without its question."""
    assert (verdict(f"u1 a1 u2 a2 {shown}", BASE, A, ended(B, STOPPED)) == "") is fine


def test_what_a_commit_may_take():
    """A commit takes a beginning of what some order puts before it, and keeps what it was told to keep."""
    cut = Cut("commit", 2, 3, 8)
    for shown, name in (
        ("u1 a1 u2 a2 u3 a3", ""),
        ("u2 a2 u3 a3", ""),
        ("u3 a3", ""),
        ("u2 a2", ""),
        ("a1 u2 a2 u3 a3", ""),
        ("a3", "StaleReplace"),
        ("", "StaleReplace"),
        ("u1 a1 u2 a2", "StaleReplace"),
        ("u1 a1 u3 a3", "StaleReplace"),
        ("u2 u3 a3", "StaleReplace"),
    ):
        assert verdict(shown, BASE, A, B, cuts=(cut,)) == name, shown


def test_a_commit_that_was_over_takes_nothing_newer():
    """What was said after the commit was over is no prey of its, and not a stale snapshot either."""
    cut = Cut("commit", 0, 1, 1)
    late = Whole("turn 2", ("u4", "a4"), 2, 3)
    assert verdict("u4 a4", BASE, late, cuts=(cut,)) == ""
    assert verdict("", BASE, late, cuts=(cut,)) == "NotSerialisable"


def test_one_mark_for_two_messages_is_refused():
    """Rows that may be of either turn decide nothing, so that is misuse and not a verdict."""
    with pytest.raises(UsageError, match="u2"):
        judge_overlap((A, Whole("turn 9", ("u2",), 3, 4)), ["u2"])


def test_it_agrees_with_trying_every_order():
    """On all arrangements of three small turns the quick decision is that of trying every order of whole turns."""
    turns = (Whole("a", ("u1", "a1"), 1, 4), Whole("b", ("u2",), 2, 6), Whole("c", ("u3",), 5, 7))
    legal = {
        tuple(token for turn in order for token in turn.tokens)
        for order in itertools.permutations(turns)
        if not any(later.precedes(turn) for i, turn in enumerate(order) for later in order[i + 1 :])
    }
    tokens = [token for turn in turns for token in turn.tokens]
    tried = [rows for size in range(5) for rows in itertools.permutations(tokens, size)]
    assert {rows for rows in tried if judge_overlap(turns, rows) is None} == legal
    assert all(turn.ended == DONE for turn in turns)
