"""Which refusals are about reasoning, which about the include flag, and which about nothing that may be given up."""

from __future__ import annotations

import pytest

from reference_impl.replay.errors import RefusedError
from reference_impl.replay.refusal import classify
from tests.dialects.signals import SIGNALS


@pytest.mark.parametrize("signal", SIGNALS, ids=lambda signal: signal.name)
def test_each_answer_is_understood(signal):
    """Every known wording is recognised, and none of the counter-examples is taken for one."""
    assert classify(RefusedError.of(signal.status, signal.answer), signal.body) == signal.verdict


@pytest.mark.parametrize("signal", [signal for signal in SIGNALS if signal.status in (400, 404)], ids=lambda signal: signal.name)
def test_an_answer_inside_a_stream_is_understood(signal):
    """The same words as an event, where there is no status, mean the same."""
    assert classify(RefusedError.of(None, signal.answer), signal.body) == signal.verdict


@pytest.mark.parametrize("body", [b"", b"<html>Bad gateway</html>", b"[1]", b'"no"', b'{"error": "no"}', b'{"error": null}'])
def test_a_body_that_is_no_error_object_is_about_nothing(body):
    """Proxies answer what they like; that is raised as it is."""
    assert classify(RefusedError.of(400, body), {"input": [{"type": "reasoning", "id": "rs_1"}], "include": []}) == "other"


def test_words_yet_unknown_that_name_a_sent_item_are_about_reasoning():
    """The refused element is the item, whatever the sentence."""
    body = {"input": [{"type": "reasoning", "id": "rs_1"}]}
    assert classify(RefusedError(400, "rs_1 is of no use here"), body) == "reasoning"
    assert classify(RefusedError(400, "rs_2 is of no use here"), body) == "other"
