"""What the tests of the checkers share: expectations and observations made of tokens."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from pytest_durability.adapter import Promise
from pytest_durability.checkers import judge
from pytest_durability.history import History, Lane, Outcome
from pytest_durability.ledger import Calibration, Ledger
from pytest_durability.observation import Change, Failure, Observation, Row
from pytest_durability.workload import Say


def text(token: str) -> str:
    """What is said with a token."""
    return f"z{token}z the whole text of {token}"


def rows(*items):
    """Rows from tokens, texts, (role, text) pairs or rows."""
    found = []
    for item in items:
        if isinstance(item, Row):
            found.append(item)
        elif isinstance(item, tuple):
            found.append(Row.of(*item))
        else:
            found.append(Row.of("user", item if " " in item or not item else text(item)))
    return tuple(found)


def due(said="", *, acked=None, removed=(), keep=None, commit="ack", promise=None, archives=False, **calibration):
    """What is due after saying these tokens (`acked`: which of them; None: all) and one commit (`keep`: its argument)."""
    history = History()
    tokens = said.split()
    for token in tokens:
        call = history.add(Lane.USER, "append", token)
        if acked is None or token in acked.split():
            history.add(Lane.USER, "ack", token, call=call.seq)
        else:
            history.add(Lane.USER, "raised", token, call=call.seq, outcome=Outcome.UNKNOWN)
    if keep is not None:
        call = history.add(Lane.USER, "commit", size=keep)
        if commit == "ack":
            history.add(Lane.USER, "ack", "commit", call=call.seq)
    learned = Calibration(removed=(frozenset(removed),), **calibration)
    says = {token: Say("user", text(token)) for token in tokens}
    ledger = Ledger.build(history, says, promise=promise or Promise(), calibration=learned, archives=archives)
    return ledger.at(len(history))


def seen(*items, **fields):
    """One observation that shows these rows."""
    return Observation(rows(*items), **fields)


def failed(kind="ValueError", *, refused=False, during="open", **fields):
    """One observation of a session that does not load."""
    return Observation(None, Failure(during, kind, "bad", "s.py:1", refused), **fields)


def named(what, expected) -> str:
    """The judgement of all checkers: the name of the anomaly, else `valid` or `unknown`."""
    judgement = judge(what, expected)
    return type(judgement.anomaly).__name__ if judgement.anomaly is not None else judgement.verdict.value


@pytest.fixture
def make():
    """The makers of this file."""
    return SimpleNamespace(text=text, rows=rows, due=due, seen=seen, failed=failed, named=named, Change=Change, Row=Row)
