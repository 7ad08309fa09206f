"""The answers that a reasoning fallback is tested with are themselves consistent."""

from __future__ import annotations

import re

import pytest

from tests.dialects.signals import INCLUDE, OTHER, REASONING, SIGNALS


def test_each_answer_has_its_own_name():
    """A failing answer is found by its name."""
    assert len({signal.name for signal in SIGNALS}) == len(SIGNALS)
    assert {signal.verdict for signal in SIGNALS} == {REASONING, INCLUDE, OTHER}


@pytest.mark.parametrize("signal", SIGNALS, ids=lambda signal: signal.name)
def test_a_verdict_follows_from_the_request(signal):
    """What has to be given up is in the request, and a param that names an item names the right kind of item."""
    sent, error = signal.body, signal.answer["error"]
    if signal.verdict == INCLUDE:
        assert "reasoning.encrypted_content" in sent["include"]
    elif signal.verdict == REASONING:
        assert "reasoning" in str(sent) or "thinking" in str(sent)
    named = re.match(r"input\[(\d+)\]", error.get("param") or "")
    if named:
        assert (sent["input"][int(named[1])].get("type") == "reasoning") == (signal.verdict == REASONING)
