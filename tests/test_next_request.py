"""The next request, judged: what a turn would add is added, and what only may be refused is no finding."""

from __future__ import annotations

import pytest

from pytest_durability.next_request import judged

CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
ASKS = {"role": "assistant", "content": None, "tool_calls": [CALL]}
ANSWER = {"role": "tool", "tool_call_id": "c1", "content": "4"}
USER = {"role": "user", "content": "zu1z what is it?"}


def rules(body):
    """The rules that a body breaks."""
    return [one.rule for one in judged(body).refused]


def test_the_tokens_are_those_of_the_messages():
    """Wherever the text stands in the body, in order."""
    said = [USER, {"role": "assistant", "content": [{"type": "text", "text": "za1z four"}]}]
    assert judged({"messages": said}).tokens == ("u1", "a1")


@pytest.mark.parametrize(
    ("messages", "broken"),
    [
        ([USER, ASKS, ANSWER], []),
        ([USER, ASKS], ["chat.missing_tool_message"]),
        ([USER, ASKS, USER], ["chat.missing_tool_message"]),
        ([USER, ANSWER], ["chat.orphan_tool_message"]),
        ([], []),
    ],
)
def test_a_history_is_judged_with_something_to_answer(messages, broken):
    """A call at the end has no result when the user speaks next."""
    assert rules({"model": "m", "messages": messages}) == broken


def test_an_answer_at_the_end_is_no_prefill():
    """The newest Messages models refuse a request that ends with the assistant; the next turn would not."""
    assert rules({"model": "m", "system": "", "messages": [USER, {"role": "assistant", "content": "four"}]}) == []


def test_what_is_only_a_warning_is_left_out():
    """A rule that is known from a paraphrase refuses nothing here."""
    assert rules({"model": "m", "messages": [{**ASKS, "tool_calls": [{**CALL, "function": {"arguments": "{"}}]}, ANSWER]}) == []
    assert rules({"model": "m", "input": "a text"}) == []
