"""`LostDelivered` and `LostInput`: what a user typed in a turn and was shown in reply, under each promise."""

from __future__ import annotations

import pytest

from pytest_durability.adapter import Promise
from pytest_durability.checkers import judge
from pytest_durability.history import History, Lane, Outcome
from pytest_durability.ledger import Calibration, Ledger
from pytest_durability.observation import Observation, Row
from pytest_durability.workload import Say

USER, REPLY = "zu1z what?", "za1z three findings"
HALF = "za1z three"
STOPPED = ("raised", "stopped")
KILL, COMPLETE = Promise(delivered="process-kill"), Promise(delivered="complete-only")


def ledger(*events, promise=None):
    """The ledger of one turn in which these happened: pieces that were shown, `cut`, `disk` (an error), `ack` or `raised`."""
    history = History()
    call = history.add(Lane.USER, "turn", "u1,a1")
    for event in events:
        if event in ("cut", "stopped"):
            history.add(Lane.STREAM, event, call=call.seq, outcome=Outcome.FAILED)
        elif event == "disk":
            history.add(Lane.DISK, "write", "f", outcome=Outcome.FAILED)
        elif event == "request":
            history.add(Lane.PROVIDER, "request", "chat")
        elif event in ("ack", "raised"):
            history.add(Lane.USER, event, "u1,a1", call=call.seq)
        else:
            history.add(Lane.STREAM, "delivered", event, call=call.seq)
    says = {"u1": Say("user", USER), "a1": Say("assistant", REPLY)}
    learned = Calibration(roles=frozenset({"user", "assistant"}))
    return Ledger.build(history, says, promise=promise or Promise(), calibration=learned), len(history)


def verdict(shown, *events, promise=None, at=None):
    """The judgement of all checkers on rows (role, text) after a turn, at its end or at op `at`."""
    book, end = ledger(*events, promise=promise)
    judgement = judge(Observation(tuple(Row.of(*row) for row in shown)), book.at(at or end))
    return type(judgement.anomaly).__name__ if judgement.anomaly is not None else judgement.verdict.value


U, WHOLE, PART = ("user", USER), ("assistant", REPLY), ("assistant", HALF)


@pytest.mark.parametrize(
    ("shown", "events", "found"),
    [
        ([U, WHOLE], (REPLY, "ack"), "valid"),
        ([U], (REPLY, "ack"), "LostDelivered"),
        ([U, PART], (REPLY, "ack"), "LostDelivered"),
        ([U, PART], (HALF, "cut", "raised"), "valid"),
        ([U, WHOLE], (HALF, "cut", "raised"), "valid"),
        ([U, ("assistant", HALF + "\n[interrupted]")], (HALF, "cut", "ack"), "valid"),
        ([U], (HALF, "cut", "raised"), "LostDelivered"),
        ([U], (HALF, "cut", "ack"), "LostDelivered"),
        ([U], (HALF, "stopped", "raised"), "LostDelivered"),
        ([U, ("user", HALF)], (HALF, "cut", "ack"), "LostDelivered"),
        ([U, PART, WHOLE], (HALF, "cut", "ack"), "Duplicate"),
        ([WHOLE, U], (REPLY, "ack"), "Reordered"),
        ([U], ("za", "cut", "raised"), "valid"),
        ([U, ("assistant", "za")], ("za", "cut", "raised"), "valid"),
        ([U], ("cut", "raised"), "valid"),
        ([U], (HALF, "raised"), "valid"),
        ([U], (HALF, "disk", "raised"), "valid"),
        ([U], (HALF, "disk", "ack"), "LostDelivered"),
        ([U], (HALF, "cut", "disk", "raised"), "valid"),
        ([U], (HALF,), "valid"),
        ([WHOLE], (REPLY, "ack"), "LostInput"),
        ([("user", "zu1z wh"), WHOLE], (REPLY, "ack"), "LostInput"),
        ([], ("request",), "LostInput"),
        ([], (HALF,), "LostInput"),
        ([], ("raised",), "valid"),
        ([], ("stopped", "raised"), "valid"),
        ([], ("ack",), "LostInput"),
    ],
)
def test_what_is_owed_when_the_turn_is_over(shown, events, found):
    """By default shown text counts from the end of the turn, unless the turn failed by itself and said so."""
    assert verdict(shown, *events) == found


@pytest.mark.parametrize(
    ("shown", "found"), [([U], "LostDelivered"), ([U, ("assistant", "za1z")], "LostDelivered"), ([U, PART], "valid")]
)
def test_text_that_is_promised_at_once_is_owed_piece_by_piece(shown, found):
    """In the middle of the turn, and also if the turn fails later."""
    for events in (("za1z", " three"), ("za1z", " three", "raised"), ("za1z", " three", "cut", "ack")):
        assert verdict(shown, *events, promise=KILL) == found


def test_between_two_pieces_the_first_one_is_owed():
    """A crash there may leave the first piece and nothing more."""
    shown = [U, ("assistant", "za1z")]
    assert [verdict(shown, "za1z", " three", promise=KILL, at=at) for at in (1, 2, 3)] == ["valid", "valid", "LostDelivered"]
    assert [verdict([U], "za1z", " three", promise=KILL, at=at) for at in (1, 2)] == ["valid", "LostDelivered"]


@pytest.mark.parametrize(("events", "found"), [((HALF, "cut", "ack"), "valid"), ((REPLY, "ack"), "LostDelivered")])
def test_who_promises_complete_turns_only_owes_those(events, found):
    """A turn whose reply was cut is not complete, however quietly it ended."""
    assert verdict([U], *events, promise=COMPLETE) == found


def test_the_proof_names_the_moment_and_the_text():
    """A reader sees what had been shown and what is left of it."""
    book, end = ledger("za1z", " three", "cut", "raised")
    anomaly = judge(Observation((Row.of(*U), Row.of("assistant", "za1z"))), book.at(end)).anomaly
    assert anomaly.summary == "a1 was shown to the user, then is there in part only after the reopen"
    assert anomaly.because[0] == "op 5  10 characters of a1 had been shown: 'za1z three'"
    assert anomaly.because[1].endswith("shows: a1 as 'za1z'")
    assert anomaly.witnesses == (1, 5)
