"""The repair: a strict provider accepts the result, no text is lost, and no dict is touched."""

from __future__ import annotations

import copy
from itertools import product

import pytest

from reference_impl.transcript.repair import CUT_NOTE, UNKNOWN_OUTCOME, open_calls, provider_view, repair_message_sequence
from tests.reference_impl.transcript.helpers import contents, flush, writing


def u(text):
    """The user says something."""
    return {"role": "user", "content": text}


def a(text, *calls, **more):
    """The assistant says something, and perhaps calls tools."""
    return {"role": "assistant", "content": text, **({"tool_calls": [{"id": call} for call in calls]} if calls else {}), **more}


def t(call, text="result"):
    """The result of a call."""
    return {"role": "tool", "tool_call_id": call, "content": text}


def repaired(*messages):
    """The repaired list, and the number of repairs."""
    listed = list(messages)
    return repair_message_sequence(listed), [(m["role"], m["content"]) for m in listed]


def test_a_sound_list_is_left_alone():
    """Nothing is repaired where nothing is wrong."""
    assert repaired(u("1"), a("2", "c"), t("c"), a("3"))[0] == 0


def test_neighbours_become_one():
    """Two messages of one speaker in a row are merged, with all their text and calls."""
    assert repaired(u("1"), u("2"), a("3"), a("4", "c"), t("c"), a("")) == (
        2,
        [("user", "1\n\n2"), ("assistant", "3\n\n4"), ("tool", "result"), ("assistant", "")],
    )


def test_a_result_without_its_call_goes():
    """Providers refuse it."""
    assert repaired(u("1"), t("c"), a("2")) == (1, [("user", "1"), ("assistant", "2")])


def test_a_call_without_its_result_gets_one():
    """It says that the outcome is unknown: the call may have had its effect."""
    assert repaired(u("1"), a("2", "c", "d"), t("d"), u("3"))[1][2:] == [
        ("tool", UNKNOWN_OUTCOME),
        ("tool", "result"),
        ("user", "3"),
    ]


def test_a_late_result_comes_to_its_call():
    """A message of the user arrived while the tool ran; the real result is preferred to a synthetic one."""
    assert repaired(u("1"), a("2", "c"), u("stop?"), t("c"), a("3")) == (
        1,
        [("user", "1"), ("assistant", "2"), ("tool", "result"), ("user", "stop?"), ("assistant", "3")],
    )


def test_a_call_id_is_a_name_within_its_turn():
    """The same id in a later turn is another call, and its result stays there."""
    listed = [
        {**a("1", "c"), "_turn_id": "t1"},
        {**u("2"), "_turn_id": "t2"},
        {**a("", "c"), "_turn_id": "t2"},
        {**t("c"), "_turn_id": "t2"},
    ]
    repair_message_sequence(listed)
    assert [m["content"] for m in listed] == ["1", UNKNOWN_OUTCOME, "2", "", "result"]


def test_calls_that_wait_for_approval_stay_open():
    """At the end only: when the conversation has gone on, nobody will approve them."""
    waiting = a("may I?", "c", "d", _awaiting_approval=True)
    assert repaired(u("1"), waiting, t("d"))[0] == 0
    assert repaired(u("1"), waiting, t("d"), u("no"))[0] == 1


def test_no_dict_is_edited():
    """Whatever is merged or answered, the messages themselves stay as they were."""
    listed = [u("1"), u("2"), a("3"), a("4", "c"), u("5"), t("x")]
    originals, before = list(listed), copy.deepcopy(listed)
    assert repair_message_sequence(listed) > 0
    assert originals == before


def test_a_repair_in_place_loses_no_row(path):
    """The merged message stands for its parts: those that have no row get one, and the merge itself gets none."""
    with writing(path) as writer:
        first = u("saved")
        flush(writer, [first])
        listed = [first, u("not saved"), a("x"), a("y")]
        repair_message_sequence(listed)
        assert len(listed) == 2
        flush(writer, listed)
        assert contents(path) == ["saved", "not saved", "x", "y"]


def test_parts_of_any_form_are_joined():
    """Text and lists of parts, and bytes that have to be replayed."""
    picture = {"type": "image", "url": "x"}
    assert repaired(u("1"), u([picture]))[1] == [("user", [{"type": "text", "text": "1"}, picture])]
    view = provider_view([u("1"), a("seen", _api_content="sent"), a("more")])
    assert view[1]["content"] == "sent\n\nmore"


def test_the_view_says_what_was_cut_and_leaves_out_what_says_nothing():
    """A cut reply reads like a complete one otherwise, and providers refuse an empty message."""
    view = provider_view([u("1"), a("half", _interrupted=True), u("2"), a(""), u("3")])
    assert [m["content"] for m in view] == ["1", "half" + CUT_NOTE, "2\n\n3"]
    assert not any(key.startswith("_") for m in view for key in m)


def strict(messages):
    """What a strict provider asks for."""
    for at, message in enumerate(messages):
        before = messages[at - 1] if at else None
        if message["role"] == "tool":
            assert before is not None
            assert before["role"] in ("tool", "assistant")
        elif before is not None:
            assert message["role"] != before["role"]
    assert open_calls(messages) == []
    answered = [m["tool_call_id"] for m in messages if m["role"] == "tool"]
    made = [call["id"] for m in messages for call in m.get("tool_calls", ())]
    assert answered == made


MAKERS = [
    lambda n: u(f"u{n}"),
    lambda n: a(f"a{n}"),
    lambda n: a(f"a{n}", f"c{n}"),
    lambda n: t(f"c{n - 1}"),
    lambda n: t(f"c{n - 2}"),
]


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5])
def test_every_short_sequence_becomes_valid_once_and_keeps_its_text(length):
    """All sequences of five kinds of messages: strict, a fixpoint, and no text of user or assistant is missing."""
    for makers in product(MAKERS, repeat=length):
        listed = [make(n) for n, make in enumerate(makers)]
        wanted = [m["content"] for m in listed if m["role"] != "tool"]
        repair_message_sequence(listed)
        strict(listed)
        assert [text for m in listed if m["role"] != "tool" for text in m["content"].split("\n\n")] == wanted
        assert repair_message_sequence(listed) == 0
