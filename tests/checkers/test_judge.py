"""All checkers together: one state, one verdict, the most specific one, and never a pass by accident."""

from __future__ import annotations

import pytest

from pytest_durability.checkers import CHECKERS, judge
from pytest_durability.verdict import Duplicate, Phantom, Verdict


def test_a_sound_session_is_valid(make):
    """Everything there, once and in order, with nothing changed."""
    judgement = judge(make.seen("u1", "a1"), make.due("u1 a1"))
    assert (judgement.verdict, judgement.anomaly, judgement.reason) == (Verdict.VALID, None, "")


@pytest.mark.parametrize("name", [name for name, _ in CHECKERS])
@pytest.mark.parametrize("error", [ValueError("x"), RecursionError(), AssertionError("x"), StopIteration()], ids=repr)
def test_a_crashing_checker_is_never_a_pass(make, name, error):
    """Whatever it raises, a sound session is UNKNOWN then, with the name of the checker."""

    def crash(seen, due):
        raise error

    checkers = tuple((other, crash if other == name else check) for other, check in CHECKERS)
    judgement = judge(make.seen("u1"), make.due("u1"), checkers)
    assert judgement.verdict is Verdict.UNKNOWN
    assert judgement.anomaly is None
    assert f"checker {name} crashed: {type(error).__name__}" in judgement.reason


def test_a_finding_counts_even_if_another_checker_crashed(make):
    """INVALID beats UNKNOWN, whichever comes first."""

    def crash(seen, due):
        raise ValueError

    for checkers in (
        (("a", crash), ("b", lambda seen, due: Phantom("x"))),
        (("b", lambda seen, due: Phantom("x")), ("a", crash)),
    ):
        judgement = judge(make.seen(), make.due(), checkers)
        assert (judgement.verdict, type(judgement.anomaly)) == (Verdict.INVALID, Phantom)


def test_the_first_anomaly_is_the_verdict(make):
    """Later checkers are not asked."""
    checkers = (("a", lambda seen, due: Duplicate("first")), ("b", lambda seen, due: Phantom("second")))
    assert str(judge(make.seen(), make.due(), checkers).anomaly) == "first"


def test_the_specific_comes_before_the_general(make):
    """Each state below is wrong in several ways and gets the verdict that says most."""
    table = [
        (make.failed(again_failure=None), make.due("u1"), "Unloadable"),
        (make.seen(present=frozenset({"u1"})), make.due("u1"), "SilentEmpty"),
        (make.seen(), make.due("u1"), "LostAcknowledged"),
        (make.seen("u1", "u1", "u2"), make.due("u1 u2", keep=1, removed={"u1"}), "Resurrected"),
        (make.seen("u1", "u2"), make.due("u1 u2", keep=1, removed={"u1"}), "Resurrected"),
        (make.seen("u1", "u2", archived=make.rows("u1")), make.due("u1 u2", keep=1, removed={"u1"}), "Resurrected"),
        (make.seen("u1", present=frozenset({"u2"})), make.due("u1 u2"), "DamageSpread"),
        (make.seen("u2", "u2", "u3 zu9z"), make.due("u1 u2"), "LostAcknowledged"),
        (make.seen("u1", "u1", "zu9z never said"), make.due("u1"), "Duplicate"),
        (make.seen("u2", "u1", "zu9z never said"), make.due("u1 u2"), "Phantom"),
        (make.seen("u2", "u1", again=make.rows("u2")), make.due("u1 u2"), "Reordered"),
        (make.seen("u1", again=(), changed=(make.Change("a", 1, 2),), healthy=True), make.due("u1"), "HealNotIdempotent"),
        (
            make.seen("u1", again=make.rows("u1"), changed=(make.Change("a", 1, 2),), healthy=True),
            make.due("u1"),
            "HealedHealthy",
        ),
    ]
    assert [make.named(what, expected) for what, expected, _ in table] == [name for _, _, name in table]


def test_every_anomaly_tells_its_proof(make):
    """Each one has a summary, a because, and a kind that makes its identity."""
    for what, expected in [
        (make.failed(), make.due("u1")),
        (make.seen(present=frozenset({"u1"})), make.due("u1")),
        (make.seen(), make.due("u1")),
        (make.seen("u1"), make.due("u1", keep=0, removed={"u1"})),
        (make.seen("u1", present=frozenset({"u2"})), make.due("u1 u2")),
        (make.seen("u1", "u1"), make.due("u1")),
        (make.seen("zu9z x"), make.due()),
        (make.seen("u2", "u1"), make.due("u1 u2")),
        (make.seen(again=make.rows("a b")), make.due()),
        (make.seen(healthy=True, changed=(make.Change("a", 1, 2),)), make.due()),
    ]:
        anomaly = judge(what, expected).anomaly
        assert anomaly is not None
        assert anomaly.summary
        assert anomaly.because
        assert anomaly.kind
        assert all(number >= 1 for number in anomaly.witnesses)


@pytest.mark.parametrize("name", [name for name, _ in CHECKERS if name != "loadable"])
def test_a_checker_says_nothing_about_what_did_not_load(make, name):
    """A failure is the business of one checker only; the others neither blame nor crash."""
    assert dict(CHECKERS)[name](make.failed(), make.due("u1", keep=0, removed={"u1"}, archives=True)) is None
