"""`SplitBatch`: a batch that nobody acknowledged is there in part."""

from __future__ import annotations

import pytest

from pytest_durability.adapter import Promise
from pytest_durability.checkers.batch import check
from pytest_durability.history import History, Lane, Outcome
from pytest_durability.ledger import Ledger
from pytest_durability.verdict import SplitBatch
from pytest_durability.workload import Say


@pytest.fixture
def due(make):
    """What is due after calls that are each given as (kind, tokens or keep, end)."""

    def after(*calls, excused=()):
        history, says = History(), {}
        for kind, what, end in calls:
            tokens = () if kind == "commit" else what.split()
            says |= {token: Say("user", make.text(token)) for token in tokens}
            call = history.add(Lane.USER, kind, ",".join(tokens), size=what if kind == "commit" else 0)
            if end is not None:
                outcome = Outcome.OK if end == "ack" else Outcome.UNKNOWN
                history.add(Lane.USER, end, call.target, call=call.seq, outcome=outcome)
        ledger = Ledger.build(history, says, promise=Promise())
        if excused:
            ledger = ledger.excusing(dict.fromkeys(excused))
        return ledger.at(len(history))

    return after


@pytest.mark.parametrize("end", [None, "raised"])
@pytest.mark.parametrize("shown", ["u1 u2", "u1 u3", "u1 u2 u4", "u1 u4"])
def test_a_part_of_a_batch_is_caught(make, due, end, shown):
    """Its beginning, its end or its middle; whether the call failed or never returned."""
    found = check(make.seen(*shown.split()), due(("append", "u1", "ack"), ("append_many", "u2 u3 u4", end)))
    assert isinstance(found, SplitBatch)
    assert found.witnesses == (3,)
    there = shown.split()[1:]
    assert f"holds {', '.join(there)} and lacks" in str(found)


@pytest.mark.parametrize("shown", ["u1", "u1 u2 u3 u4"])
def test_all_or_nothing_is_passed(make, due, shown):
    """Both are legal before the acknowledgement."""
    assert make.named(make.seen(*shown.split()), due(("append", "u1", "ack"), ("append_many", "u2 u3 u4", None))) == "valid"


def test_what_is_missing_from_an_acknowledged_batch_is_lost(make, due):
    """That says more than that it was split."""
    acknowledged = due(("append_many", "u1 u2", "ack"))
    assert check(make.seen("u1"), acknowledged) is None
    assert make.named(make.seen("u1"), acknowledged) == "LostAcknowledged"


def test_a_commit_may_divide_a_batch(make, due):
    """The window can begin in the middle of it; behind a batch it divides nothing."""
    divided = due(("append_many", "u1 u2", "raised"), ("commit", 1, "ack"))
    assert check(make.seen("u2"), divided) is None
    whole = due(("append", "u1", "ack"), ("append_many", "u2 u3", "raised"), ("commit", 2, "ack"))
    assert check(make.seen("u3"), whole) is not None


def test_an_archived_part_is_there(make, due):
    """Transcript and archive hold the batch together."""
    assert check(make.seen("u2", archived=make.rows("u1")), due(("append_many", "u1 u2", None))) is None


def test_a_text_that_was_said_elsewhere_proves_nothing(make, due):
    """`u1` is there because it was said before, not because the batch began."""
    again = due(("append", "u1", "ack"), ("append_many", "u1 u2", None))
    assert check(make.seen("u1"), again) is None
    assert check(make.seen("u1", "u2"), again) is None


def test_equal_texts_of_one_batch_are_counted(make, due):
    """The same text twice in a batch is there twice or not at all."""
    twice = due(("append_many", "u1 u1", None))
    assert isinstance(check(make.seen("u1"), twice), SplitBatch)
    assert check(make.seen("u1", "u1"), twice) is None
    assert check(make.seen(), twice) is None


def test_a_lost_write_may_take_a_part(make, due):
    """What the disk dropped is not the store's doing."""
    assert check(make.seen("u2"), due(("append_many", "u1 u2", None), excused=["u1"])) is None
