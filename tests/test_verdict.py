"""Verdicts: the worst wins, and an anomaly keeps its proof on every way."""

from __future__ import annotations

import copy
import itertools
import pickle

import pytest

from pytest_durability.verdict import ANOMALIES, Anomaly, ModelReport, Result, SweepReport, Verdict

ANOMALY_NAMES = [
    "LostAcknowledged",
    "LostDelivered",
    "LostInput",
    "SplitBatch",
    "WindowBroken",
    "LegacyLost",
    "Duplicate",
    "Resurrected",
    "EffectRepeated",
    "RetryDoubled",
    "Reordered",
    "Phantom",
    "NotSerialisable",
    "StaleReplace",
    "Unloadable",
    "SilentEmpty",
    "DamageSpread",
    "StoresDisagree",
    "NotDeterministic",
    "HealNotIdempotent",
    "HealedHealthy",
    "UnsoundHeal",
    "Wedged",
    "LeftLocked",
    "UnansweredCall",
    "ForeignReasoning",
    "VacuousRun",
]


def sent(value):
    """What arrives in another process."""
    return pickle.loads(pickle.dumps(value))  # noqa: S301  written on the same line


def test_the_worst_wins_in_any_order():
    """INVALID beats UNKNOWN, UNKNOWN beats VALID, and nothing at all is VALID."""
    assert Verdict.worst([]) is Verdict.VALID
    for mixed in itertools.permutations(Verdict):
        assert Verdict.worst(mixed) is Verdict.INVALID
    assert Verdict.worst(iter([Verdict.VALID, Verdict.UNKNOWN, Verdict.VALID])) is Verdict.UNKNOWN


def test_there_is_an_anomaly_for_each_way_to_be_wrong():
    """The names are a contract."""
    assert sorted(ANOMALIES) == sorted(ANOMALY_NAMES)


@pytest.mark.parametrize("kind", ANOMALIES.values(), ids=lambda kind: kind.__name__)
def test_an_anomaly_is_a_failed_assertion_and_says_what_it_means(kind):
    """It is shown as a failure under the short name `durability.X`, and it has a docstring of its own."""
    assert issubclass(kind, AssertionError)
    assert f"{kind.__module__}.{kind.__name__}" == f"durability.{kind.__name__}"
    assert kind.__doc__ != Anomaly.__doc__


@pytest.mark.parametrize("kind", ANOMALIES.values(), ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("send", [sent, copy.copy, copy.deepcopy], ids=["pickle", "copy", "deepcopy"])
def test_an_anomaly_survives_the_way_between_processes(kind, send):
    """Type, text, witnesses, identity and result come back, also with the result that refers back to it."""
    error = kind("u1 is gone", because=["op 3"], witnesses=[3, 4], kind="ack", site="s.py:1")
    error.result = Result("A", None, None, None, Verdict.INVALID, error)
    back = send(error)
    assert type(back) is kind
    assert (str(back), back.witnesses, back.identity) == (str(error), (3, 4), error.identity)
    assert back.result.adapter == "A"


def test_an_exception_group_of_anomalies_survives_too():
    """Several findings travel together."""
    group = ExceptionGroup("2 findings", [kind("x") for kind in list(ANOMALIES.values())[:2]])
    assert [type(error) for error in sent(group).exceptions] == list(ANOMALIES.values())[:2]


def test_one_bug_has_one_identity():
    """Type, kind and line make it; summary, proof and witnesses do not."""
    kind = ANOMALIES["Duplicate"]
    one = kind("u1 twice", because=["a"], witnesses=[1], kind="ack", site="s.py:1")
    assert one.identity == kind("u2 twice", kind="ack", site="s.py:1").identity == ("Duplicate", "ack", "s.py:1")
    others = [
        kind("x", kind="ack", site="s.py:2"),
        kind("x", kind="rows", site="s.py:1"),
        ANOMALIES["Phantom"]("x", kind="ack", site="s.py:1"),
    ]
    assert one.identity not in {other.identity for other in others}


def test_the_text_of_an_anomaly_holds_its_proof():
    """The first line is the summary; the proof follows, if there is one."""
    assert str(Anomaly("gone")) == "gone"
    assert str(Anomaly("gone", because=iter(["op 1", "op 2"]))).splitlines() == ["gone", "", "Because", "  op 1", "  op 2"]


def test_a_sweep_is_only_as_good_as_its_worst_part():
    """An anomaly is INVALID, something that could not be judged is UNKNOWN, findings for other models change nothing."""
    part = ModelReport("posix", 1, 1, 3, 3, 0, 1, 1, 1, cut_short=False)
    valid = SweepReport("A", 1, 1, (part, part))
    assert (valid.verdict, valid.states) == (Verdict.VALID, 6)
    assert SweepReport("A", 1, 1, (part,), portability=(Anomaly("x"),)).verdict is Verdict.VALID
    assert SweepReport("A", 1, 1, (part,), unknown=("x",)).verdict is Verdict.UNKNOWN
    assert SweepReport("A", 1, 1, (part,), unknown=("x",), anomalies=(Anomaly("x"),)).verdict is Verdict.INVALID


def test_durations_do_not_make_two_sweeps_differ():
    """Equality is about what was found."""
    assert SweepReport("A", 1, 1, (), seconds=1.0, store_share=0.1) == SweepReport("A", 1, 1, (), seconds=2.0, store_share=0.9)
