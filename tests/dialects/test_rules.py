"""Each rule against the smallest request that breaks it and the nearest one that does not."""

from __future__ import annotations

import pytest

from pytest_durability.dialects.registry import RULES
from pytest_durability.dialects.strict import Strict
from tests.dialects.smallest import PAIRS, W


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.rule)
def test_the_smallest_broken_request_is_refused_by_its_rule(pair):
    """A request that breaks one rule is refused by exactly that rule, in its words, with its status, param and code."""
    rule = RULES[pair.rule]
    findings = pair.strict().examine(pair.request(pair.broken))
    rejection = findings.rejection
    assert {found.rule for found in findings.refused} == {pair.rule}
    filled = {**rule.sample, **pair.values}
    assert rejection.message == rule.message.format_map(filled)
    assert rejection.param == (rule.param and rule.param.format_map(filled))
    assert (rejection.status, rejection.code, rejection.grade) == (rule.status, rule.code, rule.grade)


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.rule)
def test_the_nearest_sound_request_has_no_finding(pair):
    """The request that differs as little as possible is accepted without a finding or a warning."""
    findings = pair.strict().examine(pair.request(pair.sound))
    assert str(findings) == "no findings"


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.rule)
def test_what_is_known_from_a_paraphrase_only_warns(pair):
    """A rule of grade C warns, a rule of some services only is silent, and the others refuse, unless told otherwise."""
    rule, findings = RULES[pair.rule], Strict(W.issued).examine(pair.request(pair.broken))
    refused, warned = ({found.rule for found in part} for part in (findings.refused, findings.warnings))
    assert (pair.rule in refused) == (rule.grade != "C" and not rule.optional)
    assert (pair.rule in warned) == (rule.grade == "C" and not rule.optional)


def test_each_rule_has_its_pair():
    """A rule without a request that breaks it is not tested, and a pair without a rule tests nothing."""
    assert sorted(pair.rule for pair in PAIRS) == sorted(RULES)


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: rule.name)
def test_the_data_of_a_rule_is_whole(rule):
    """Each rule fills its own words from its sample, names its grade, and is known from a report unless it is assumed."""
    rule.message.format_map(rule.sample)
    assert rule.param is None or rule.param.format_map(rule.sample)
    assert rule.grade in "ABC"
    assert rule.sources or rule.grade != "A"
    assert rule.find.__doc__
