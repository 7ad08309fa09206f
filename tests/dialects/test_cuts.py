"""Named cut points are the same place in every wire format, and every place of a stream can be cut."""

from __future__ import annotations

import pytest

from pytest_durability.dialects import replies, wire_anthropic, wire_chat, wire_responses
from pytest_durability.dialects.cuts import HOWS, POINTS, Cut, Position, check, every, in_body, locate, prepared
from pytest_durability.dialects.replies import Reply
from pytest_durability.dialects.wire import ARGUMENTS, REASONING, SEAL, TERMINAL, TEXT, Event, Stamp, joined
from pytest_durability.errors import UsageError

WIRES = [wire_responses, wire_chat, wire_anthropic]
SAID = "Hello wörld, how are you?"
WHOLE = Reply((replies.reasoning("I think so"), replies.text(SAID), replies.tool_call("f", {"q": "dürer"})))


def placed(wire, after, reply=WHOLE):
    """The events of a reply that is prepared for a cut, and its place."""
    cut = Cut(after)
    events = wire.events(prepared(reply, cut), Stamp(1), {"model": "m", "stream": True})
    return events, locate(events, cut)


def had(events, place, kind):
    """The text of one kind that lies whole before the place."""
    return "".join(event.text for event in events[: place.events] if event.kind == kind)


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("after", range(len(SAID) + 1))
def test_after_so_many_characters(wire, after):
    """Exactly so much text lies whole before the cut, which is between two events."""
    events, place = placed(wire, after)
    assert had(events, place, TEXT) == SAID[:after]
    assert place.rest == 0
    assert events[place.events].kind == TEXT or after == len(SAID)


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(
    ("point", "text", "reasoning", "arguments"),
    [
        ("no-answer", "", "", ""),
        ("first-byte", "", "", ""),
        ("between-events", "Hello wörld,", "I think so", ""),
        ("inside-event", "Hello wörld,", "I think so", ""),
        ("inside-character", "Hello", "I think so", ""),
        ("before-signature", "", "I think so", ""),
        ("inside-arguments", SAID, "I think so", '{"q": "dür'[:9]),
        ("after-text", SAID, "I think so", ""),
        ("before-terminal", SAID, "I think so", '{"q": "dürer"}'),
        ("after-terminal", SAID, "I think so", '{"q": "dürer"}'),
    ],
)
def test_named_points(wire, point, text, reasoning, arguments):
    """What lies whole before a named point is the same in every format."""
    events, place = placed(wire, point)
    assert (had(events, place, TEXT), had(events, place, REASONING)) == (text, reasoning)
    assert had(events, place, ARGUMENTS).startswith(arguments[:7])
    assert (had(events, place, ARGUMENTS) == "") == (arguments == "")
    assert place.answered == (point != "no-answer")
    assert (TERMINAL in [event.kind for event in events[: place.events]]) == (point == "after-terminal")


@pytest.mark.parametrize("wire", WIRES)
def test_inside_a_character(wire):
    """The bytes before the cut end in the middle of a character; those inside an event do not."""
    for point, whole in (("inside-character", False), ("inside-event", True)):
        events, place = placed(wire, point)
        part = events[place.events].data[: place.rest]
        assert 0 < place.rest < len(events[place.events].data)
        assert (part.decode("utf-8", "ignore").encode() == part) == whole


@pytest.mark.parametrize("wire", [wire_responses, wire_anthropic])
def test_before_the_signature(wire):
    """All of the reasoning is there, its seal is not."""
    events, place = placed(wire, "before-signature")
    assert events[place.events - 1].kind == REASONING
    assert SEAL not in [event.kind for event in events[: place.events]]


@pytest.mark.parametrize("wire", WIRES)
def test_every_place(wire):
    """Each boundary and each event is cut once, in the order of the stream."""
    events = wire.events(WHOLE, Stamp(1), {"model": "m"})
    found = [locate(events, cut) for cut in every(events)]
    before = [sum(len(event.data) for event in events[: place.events]) + place.rest for place in found]
    assert before == sorted(set(before))
    assert len(found) == 2 * len(events) + 1
    assert (before[0], before[-1]) == (0, len(joined(events)))


def test_counted_places():
    """Events and bytes can be counted; what is beyond the end is no place."""
    events = [Event(b"abc"), Event(b"de")]
    places = {
        after: locate(events, Cut(after)) for after in ("event:0", "event:2", "event:3", "byte:0", "byte:4", "byte:5", "byte:6")
    }
    assert places == {
        "event:0": Position(0),
        "event:2": Position(2),
        "event:3": None,
        "byte:0": Position(0),
        "byte:4": Position(1, 1),
        "byte:5": Position(2),
        "byte:6": None,
    }


@pytest.mark.parametrize(
    ("after", "place"),
    [
        ("no-answer", Position(0, 0, answered=False)),
        ("first-byte", Position(0)),
        ("inside-event", Position(0, 2)),
        (3, Position(0, 2)),
        ("inside-character", Position(0, 3)),
        ("byte:5", Position(0, 5)),
        ("byte:7", None),
        ("after-terminal", Position(1)),
    ],
)
def test_a_body_that_is_not_streamed(after, place):
    """It has a beginning, a middle and an end, and the middle is not inside a character unless it is asked for."""
    assert in_body("abäc€"[:4].encode() + b"d", Cut(after)) == place


def test_a_reply_without_text():
    """Counting starts and ends before the terminal event; the middle is the middle of the stream."""
    silent = Reply()
    for wire in WIRES:
        events, place = placed(wire, 0, silent)
        assert events[place.events].kind == TERMINAL
        assert placed(wire, "between-events", silent)[1] == Position(len(events) // 2)


def test_one_piece_is_parted():
    """A text in one piece has a place between two events nevertheless."""
    events, place = placed(wire_chat, "between-events", Reply((replies.text(["Hello!"]),)))
    assert had(events, place, TEXT) == "Hel"


@pytest.mark.parametrize(
    ("reply", "after", "message"),
    [
        (WHOLE, 26, "only 25 characters of text"),
        (Reply((replies.text("plain"),)), "inside-character", "no character of more than one byte"),
        (Reply((replies.text("plain"),)), "before-signature", "no reasoning"),
        (Reply((replies.text("plain"), replies.tool_call("f", ""))), "inside-arguments", "no call with arguments"),
        (Reply((replies.tool_call("f"),)), "after-text", "no text"),
    ],
)
def test_a_place_that_a_reply_does_not_have(reply, after, message):
    """It is refused, with what the reply lacks."""
    with pytest.raises(UsageError, match=message):
        check(reply, Cut(after))


def test_places_that_a_reply_has():
    """Every named point exists in a reply with reasoning, wide characters and a call."""
    for point in (*POINTS, 0, 25, "event:1", "byte:1"):
        check(WHOLE, Cut(point))


@pytest.mark.parametrize(
    "arguments", [{"after": -1}, {"after": "soon"}, {"after": "event:x"}, {"after": True}, {"how": "gently"}]
)
def test_cuts_that_cannot_be(arguments):
    """A place or a way that does not exist is refused with those that do."""
    with pytest.raises(UsageError, match=r"no-answer|eof, reset"):
        Cut(**arguments)


def test_a_cut_says_what_it_does():
    """Its text stands in reports."""
    assert [str(Cut(5, "reset")), str(Cut("after-text"))] == ["reset after 5 characters", "eof after-text"]
    assert len(HOWS) == 5
