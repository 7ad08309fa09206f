"""Which messages are the same, and which only look so."""

from __future__ import annotations

import pytest

from reference_impl.trajectory import same_meaning, same_message
from reference_impl.trajectory.matching import matched


def call(arguments, **more):
    """An assistant message with one call."""
    return {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": arguments}, **more}]}


@pytest.mark.parametrize(
    ("recorded", "given"),
    [
        ({"role": "assistant", "content": None}, {"role": "assistant", "content": ""}),
        ({"role": "assistant", "content": "a", "tool_calls": []}, {"role": "assistant", "content": "a"}),
        (call("{}", index=0), call("{}")),
        ({"role": "user", "content": "a", "name": "x"}, {"role": "user", "content": "a"}),
    ],
)
def test_what_is_lost_in_transit_does_not_count(recorded, given):
    """Nothing, an empty text and an empty list are equal; so are calls with and without an index."""
    assert same_message(recorded, given)


@pytest.mark.parametrize(
    ("recorded", "given"),
    [
        ({"role": "user", "content": "a"}, {"role": "user", "content": "a "}),
        ({"role": "user", "content": "a"}, {"role": "system", "content": "a"}),
        ({"role": "assistant", "reasoning_content": "r"}, {"role": "assistant"}),
        (call("{}"), call('{"a": 1}')),
        (call('{"a": 1}'), call('{"a":1}')),
    ],
)
def test_everything_else_counts(recorded, given):
    """White space too, also inside the arguments of a call."""
    assert not same_message(recorded, given)


def test_arguments_by_meaning():
    """The milder matcher compares arguments as JSON objects, and only as such."""
    assert same_meaning(call('{"a": 1, "b": 2}'), call('{"b":2,"a":1}'))
    assert not same_meaning(call('{"a": 1}'), call('{"a": 2}'))
    assert not same_meaning(call("[1]"), call("[ 1 ]"))


def test_a_key_that_stands_twice_is_no_object():
    """Nobody knows which of the two counts, so the texts are compared."""
    assert not same_meaning(call('{"a": 1, "a": 2}'), call('{"a": 2}'))
    assert same_meaning(call('{"a": 1, "a": 2}'), call('{"a": 1, "a": 2}'))


def test_how_many_match():
    """The common start, whatever is longer."""
    one, two = {"role": "user", "content": "1"}, {"role": "user", "content": "2"}
    assert [matched([one, two], given, same_message) for given in ([], [one], [one, two, one], [two])] == [0, 1, 2, 0]
