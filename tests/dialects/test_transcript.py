"""Calls and results of a transcript, judged without any provider."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from pytest_durability.adapter import Message
from pytest_durability.dialects.transcript import call_id_of, lint_transcript


def asks(*ids, text=""):
    """An assistant message with calls."""
    return Message("assistant", text, tool_calls=tuple({"id": name} for name in ids))


def answers(name):
    """A tool message."""
    return Message("tool", "4", tool_call_id=name)


USER, SAID, NOTE = Message("user", "2+2?"), Message("assistant", "4"), Message("system", "note")

SOUND = {
    "nothing": [],
    "no tools": [USER, SAID, USER],
    "a call and its result": [USER, asks("a"), answers("a"), SAID],
    "results in any order": [asks("a", "b"), answers("b"), answers("a")],
    "calls in two messages": [asks("a"), asks("b"), answers("a"), answers("b"), SAID],
    "text behind the call": [asks("a"), SAID, answers("a")],
    "a note in between": [asks("a"), NOTE, answers("a")],
    "an id used again": [asks("a"), answers("a"), asks("a"), answers("a"), USER, asks("a"), answers("a")],
    "calls without an id": [Message("assistant", "", tool_calls=({},)), USER],
}
BROKEN = {
    "never answered": ([asks("a"), USER], ["message 0: call 'a' is never answered"]),
    "one of two": ([asks("a", "b"), answers("a"), SAID], ["message 0: call 'b' is never answered"]),
    "answered too late": ([asks("a"), USER, answers("a")], ["message 0: call 'a' is never answered", "message 2: call 'a' is answered, and nothing asked for it"]),
    "nothing asked": ([USER, answers("a")], ["message 1: call 'a' is answered, and nothing asked for it"]),
    "twice": ([asks("a"), answers("a"), answers("a")], ["message 2: call 'a' is answered a second time"]),
    "before the call": ([answers("a"), asks("a")], ["message 0: call 'a' is answered, and nothing asked for it", "message 1: call 'a' is not answered yet"]),
}  # fmt: skip


@pytest.mark.parametrize("messages", SOUND.values(), ids=SOUND)
def test_what_pairs_has_no_finding(messages):
    """Every way in which sound stores keep calls and results is accepted."""
    assert lint_transcript(messages) == ()


@pytest.mark.parametrize(("messages", "findings"), BROKEN.values(), ids=BROKEN)
def test_what_does_not_pair_is_found(messages, findings):
    """Each fault is named with its place and its call."""
    assert [str(fault) for fault in lint_transcript(messages)] == findings


def test_a_call_at_the_end_may_still_be_answered():
    """A pending approval is not a fault: the last call is told apart from a call that was passed over."""
    (waiting,) = lint_transcript([USER, asks("a", "b"), answers("a")])
    assert (waiting.kind, waiting.call_id, waiting.sure) == ("waiting", "b", False)
    (lost,) = lint_transcript([USER, asks("a"), USER])
    assert lost.sure


@pytest.mark.parametrize(
    "call",
    ["c1", {"id": "c1"}, {"call_id": "c1", "id": "fc_1"}, SimpleNamespace(id="c1"), SimpleNamespace(call_id="c1", id=3)],
    ids=repr,
)
def test_a_call_may_have_any_common_form(call):
    """Texts, mappings and objects are read alike."""
    assert call_id_of(call) == "c1"
