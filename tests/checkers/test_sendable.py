"""`ForeignReasoning`, `WindowBroken`, `UnansweredCall` and `Wedged`, told from what a service refuses of the next request."""

from __future__ import annotations

from pytest_durability.checkers import foreign, sendable, window
from pytest_durability.observation import Asked, Failure, Refused
from pytest_durability.verdict import ForeignReasoning, UnansweredCall, Wedged, WindowBroken

ORPHAN = Refused("responses.missing_call", "No tool call found.", "input[0]")
OPEN = Refused("responses.missing_output", "No tool output found.", "input[3]")
SEALED = Refused("responses.invalid_encrypted_content", "The encrypted content could not be verified.", "input[1]")
EMPTY = Refused("messages.empty_text", "messages: text content blocks must be non-empty")


def asked(*faults, tokens="u1 u2 u3 u4"):
    """A next request with these messages and faults."""
    return Asked(tuple(tokens.split()), faults)


def judged(make, request, *, commit=None, **calibration):
    """What all checkers say of four messages and this next request."""
    due = make.due("u1 u2 u3 u4", keep=commit, **calibration)
    return make.named(make.seen("u1", "u2", "u3", "u4", asked=request), due)


def test_reasoning_that_is_refused_is_foreign(make):
    """The rule and the place are named."""
    found = foreign.check(make.seen("u1", asked=asked(SEALED)), make.due("u1"))
    assert isinstance(found, ForeignReasoning)
    assert (found.kind, found.because[0]) == (SEALED.rule, f"{SEALED.rule}  {SEALED.message}")
    assert "input[1]" in found.summary
    assert judged(make, asked(OPEN, SEALED)) == "ForeignReasoning"


def test_a_result_without_its_call_behind_a_commit_is_a_broken_window(make):
    """Without anything that was cut off, the call was never written, and that is another anomaly."""
    assert judged(make, asked(ORPHAN), commit=4) == "WindowBroken"
    assert judged(make, asked(ORPHAN, tokens="u3 u4")) == "WindowBroken"
    assert judged(make, asked(ORPHAN)) == "UnansweredCall"
    assert judged(make, asked(OPEN), commit=4) == "UnansweredCall"


def test_a_window_of_the_oldest_is_broken(make):
    """The newest messages have to be in it; one that waits for its turn, or a summary in their place, is no finding."""
    found = window.check(make.seen("u1", "u2", "u3", "u4", asked=asked(tokens="u1 u2")), make.due("u1 u2 u3 u4"))
    assert isinstance(found, WindowBroken)
    assert "leaves out u3, u4" in found.summary
    for tokens in ("u1 u2 u3", "u3 u4", "u1 u4", ""):
        assert judged(make, asked(tokens=tokens)) == "valid"


def test_another_fault_wedges_the_session(make):
    """Unless a healthy run of the same steps has it too; calls and results always have to pair."""
    found = sendable.check(make.seen("u1", asked=asked(EMPTY)), make.due("u1"))
    assert isinstance(found, Wedged)
    assert judged(make, asked(EMPTY), refused=frozenset({EMPTY.rule})) == "valid"
    assert judged(make, asked(EMPTY, OPEN), refused=frozenset({EMPTY.rule, OPEN.rule})) == "UnansweredCall"
    assert isinstance(sendable.check(make.seen("u1", asked=asked(EMPTY, OPEN)), make.due("u1")), UnansweredCall)


def test_a_request_that_cannot_be_made_wedges_the_session(make):
    """What the store raised is told; a declared refusal is its right."""
    raised = Failure("request", "ValueError", "calls without a result", "s.py:3")
    found = sendable.check(make.seen("u1", asked=Asked((), failure=raised)), make.due("u1"))
    assert (type(found), found.kind, found.site) == (Wedged, "ValueError", "s.py:3")
    refused = Failure("request", "Refused", "later", "", refused=True)
    assert judged(make, Asked((), failure=refused)) == "valid"


def test_a_good_request_and_none_at_all_pass(make):
    """An adapter need not show its requests."""
    assert judged(make, asked()) == "valid"
    assert judged(make, None) == "valid"
