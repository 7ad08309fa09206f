"""A store that takes no more messages: told only where nothing excuses it."""

from __future__ import annotations

import pytest

from pytest_durability.checkers import wedged
from pytest_durability.history import History, Lane, Outcome
from pytest_durability.observation import Failure

BROKEN = Failure("append", "RuntimeError", "broken", "store.py:1")
REFUSED = Failure("append", "Busy", "", "store.py:1", refused=True)


def told(*ops):
    """A history of (kind, target, note) on the user's lane; `write` and `crash` are the disk's, `raised` ends the last call."""
    history, call = History(), 0
    for kind, *rest in ops:
        target, note = (*rest, "", "")[:2]
        if kind in ("write", "crash"):
            history.add(Lane.DISK, kind, target, outcome=Outcome.FAILED if note else Outcome.OK, note=note)
        elif kind in ("ack", "raised"):
            history.add(Lane.USER, kind, target, call=call)
        else:
            call = history.add(Lane.USER, kind, target, note=note).seq
    return history


STRUCK = [("open",), ("ack", "open"), ("append", "u1"), ("write", "log", "ENOSPC"), ("raised", "u1")]


def test_an_append_that_raises_after_a_fault_is_wedged():
    """The finding names the fault, the call and the attribute that would excuse it."""
    history = told(*STRUCK, ("append", "u2"), ("raised", "u2"))
    found = wedged.check(history, [(3, BROKEN), (6, BROKEN)], {4})
    assert found.summary == "u2 cannot be stored any more: RuntimeError"
    assert found.witnesses == (4, 6)
    assert found.site == "store.py:1"
    assert "write log ENOSPC" in str(found)
    assert "after_error = 'reopen'" in str(found)


@pytest.mark.parametrize(
    ("ops", "failures", "strikes", "exempt"),
    [
        (STRUCK, [(3, BROKEN)], {4}, ()),  # struck itself
        ([*STRUCK, ("append", "u2"), ("raised", "u2")], [(6, REFUSED)], {4}, ()),  # refused
        ([*STRUCK, ("append", "u2"), ("raised", "u2")], [(6, BROKEN)], {4}, ("u2",)),  # a text that may be refused
        ([*STRUCK, ("append", "u1", "retry"), ("raised", "u1")], [(6, BROKEN)], {4}, ()),  # an id that is known
        ([*STRUCK, ("commit",), ("raised", "commit")], [(6, BROKEN)], {4}, ()),  # nothing to commit
        ([("open",), ("ack", "open"), ("append", "u1"), ("raised", "u1")], [(3, BROKEN)], (), ()),  # nothing had happened
    ],
)
def test_what_has_a_reason_is_not_wedged(ops, failures, strikes, exempt):
    """A fault in the call, a refusal, a doubtful text, a retry, a commit, or nothing that could have broken anything."""
    assert wedged.check(told(*ops), failures, strikes, exempt) is None


@pytest.mark.parametrize(
    ("between", "words"),
    [([("crash", "posix")], "the machine ended (posix)"), ([], "the session was opened again")],
)
def test_a_restart_may_be_what_broke_it(between, words):
    """Then the store object is a new one, and no attribute excuses it."""
    history = told(("open",), ("ack", "open"), *between, ("open",), ("ack", "open"), ("append", "u1"), ("raised", "u1"))
    found = wedged.check(history, [(len(history) - 1, BROKEN)], ())
    assert words in str(found)
    assert "after_error" not in str(found)
