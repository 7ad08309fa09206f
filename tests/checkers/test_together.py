"""A history in which calls were made at once is judged by what is left of it, each call as one turn."""

from __future__ import annotations

import pytest

from pytest_durability.checkers.together import CANCELLED, check
from pytest_durability.history import History, Lane, Outcome
from pytest_durability.observation import Failure


def story(*ops):
    """A history of (kind, tokens, call, note): calls, and their ends `ack` and `raised`."""
    history = History()
    for kind, target, call, note in ops:
        outcome = Outcome.UNKNOWN if kind == "raised" else Outcome.OK
        history.add(Lane.USER, kind, target, call=call, note=note, outcome=outcome, size=1 if kind == "commit" else 0)
    return history


def both(first="ack", second="ack", note=""):
    """Two appends at once, with these ends."""
    return story(
        ("append", "u1", 0, "turn 0"),
        ("append", "u2", 0, "turn 1"),
        (second, "u2", 2, note),
        (first, "u1", 1, note),
    )


def failed(kind, *, refused=False):
    """What a call raised."""
    return Failure("append", kind, "no", "store.py:3", refused)


@pytest.mark.parametrize("shown", [("u1", "u2"), ("u2", "u1")])
def test_either_order_is_right(shown):
    """Nobody can say which of two calls that were made at once was the first one."""
    assert check(both(), (), shown) is None


def test_one_after_the_other_has_one_order():
    """A call that was over before the next one began comes first."""
    history = story(("append", "u1", 0, ""), ("ack", "u1", 1, ""), ("append", "u2", 0, ""), ("ack", "u2", 3, ""))
    assert check(history, (), ("u1", "u2")) is None
    assert type(check(history, (), ("u2", "u1"))).__name__ == "NotSerialisable"


@pytest.mark.parametrize("shown", [("u1",), ("u2",), ()])
def test_what_was_acknowledged_is_there(shown):
    """Both returned, so both are owed."""
    assert type(check(both(), (), shown)).__name__ == "NotSerialisable"


@pytest.mark.parametrize("shown", [("u2",), ("u1", "u2"), ("u2", "u1")])
def test_what_was_cancelled_may_be_there(shown):
    """A call that was cancelled may have happened."""
    assert check(both(first="raised", note=CANCELLED), (), shown) is None


def test_a_call_that_raises_is_a_finding_unless_something_explains_it():
    """Nothing but another turn was in its way; a fault, a refusal that is promised, and a text that may be refused explain it."""
    history = both(first="raised")
    found = check(history, [(1, failed("ValueError"))], ("u2",))
    assert type(found).__name__ == "NotSerialisable"
    assert found.site == "store.py:3"
    assert check(history, [(1, failed("OSError"))], ("u2",), strikes=(1,)) is None
    assert check(history, [(1, failed("ValueError"))], ("u2",), exempt=("u1",)) is None
    refused = [(1, failed("Busy", refused=True))]
    assert type(check(history, refused, ("u2",))).__name__ == "NotSerialisable"
    assert check(history, refused, ("u2",), promised="refuse") is None


def test_who_was_refused_beside_one_that_was_cancelled_is_no_finding():
    """Only if everybody was refused, and nobody was in the way, did nobody get through."""
    history = both(first="raised", second="raised", note=CANCELLED)
    refused = failed("Busy", refused=True)
    assert check(history, [(2, refused)], (), promised="refuse") is None
    assert type(check(history, [(1, refused), (2, refused)], (), promised="refuse")).__name__ == "NotSerialisable"


def test_the_second_of_two_store_objects_may_refuse():
    """It may be the stale one, whatever is promised for one."""
    history = story(
        ("append", "u1", 0, "turn 0"),
        ("append", "u2", 0, "handle 2, turn 1"),
        ("ack", "u1", 1, ""),
        ("raised", "u2", 2, ""),
    )
    assert check(history, [(2, failed("Stale", refused=True))], ("u1",)) is None


def test_a_call_that_stands_still_is_told_by_its_cause():
    """After a call that was cancelled it is a lock that was left; with nothing before it, the store is wedged."""
    history = story(
        ("append", "u1", 0, "turn 0"),
        ("raised", "u1", 1, CANCELLED),
        ("append", "u2", 0, ""),
        ("raised", "u2", 3, "append raised Deadlock"),
    )
    found = check(history, [(3, failed("Deadlock"))], ())
    assert (type(found).__name__, found.witnesses) == ("LeftLocked", (1, 3))
    found = check(both(first="raised"), [(1, failed("Deadlock"))], ("u2",))
    assert type(found).__name__ == "Wedged"
    assert type(check(history, [(3, failed("Livelock"))], ())).__name__ == "Wedged"


def test_a_commit_may_take_what_is_old():
    """A commit that keeps one message may take the others, but not what came while it ran."""
    history = story(
        ("append_many", "u1,u2", 0, ""),
        ("ack", "u1,u2", 1, ""),
        ("append", "u3", 0, "turn 0"),
        ("commit", "", 0, "turn 1"),
        ("ack", "u3", 3, ""),
        ("ack", "commit", 4, ""),
    )
    assert check(history, (), ("u2", "u3")) is None
    assert check(history, (), ("u3",)) is None
    assert type(check(history, (), ("u2",))).__name__ == "StaleReplace"


def test_a_turn_carries_the_reply_that_it_showed():
    """Where replies come from one provider, a turn may be given that of another one; what it showed is its own."""
    history = story(("turn", "u1,a1", 0, "turn 0"), ("turn", "u2,a2", 0, "turn 1"))
    for call, text in ((1, "za2z hello"), (2, "za1z hello")):
        history.add(Lane.STREAM, "delivered", text, call=call)
    for call in (1, 2):
        history.add(Lane.USER, "ack", "", call=call)
    assert check(history, (), ("u1", "a2", "u2", "a1")) is None
    assert type(check(history, (), ("u1", "a1", "u2", "a2"))).__name__ == "Reordered"
