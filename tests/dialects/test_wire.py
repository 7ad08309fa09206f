"""What the wire formats share: events as bytes, ids, seals."""

from __future__ import annotations

import pytest

from pytest_durability.dialects import wire_anthropic, wire_chat, wire_responses
from pytest_durability.dialects.wire import Stamp, joined, seal, sse, to_json
from tests.dialects.replied import ALL, ASKED, NAMES, THINKING

WIRES = [wire_responses, wire_chat, wire_anthropic]


def test_characters_go_out_as_they_are():
    """Multi-byte characters are really on the wire; what UTF-8 cannot hold is escaped."""
    assert to_json({"a": "ö"}) == '{"a":"ö"}'.encode()
    assert to_json({"a": "\ud800"}) == b'{"a":"\\ud800"}'
    assert sse({"a": "b\nc"}, "named") == b'event: named\ndata: {"a":"b\\nc"}\n\n'


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("reply", ALL, ids=NAMES)
def test_the_same_reply_gives_the_same_bytes(wire, reply):
    """Two encodings of one reply are equal, streamed and whole; another number makes other ids."""
    first, again, other = Stamp(1), Stamp(1), Stamp(2)
    assert joined(wire.events(reply, first, ASKED)) == joined(wire.events(reply, again, ASKED))
    assert wire.body(reply, first, ASKED) == wire.body(reply, again, ASKED)
    assert wire.body(reply, first, ASKED).data != wire.body(reply, other, ASKED).data


@pytest.mark.parametrize("wire", [wire_responses, wire_anthropic])
def test_items_are_complete_when_their_last_event_was_read(wire):
    """The items that a stream completes are those of the whole body, each once."""
    streamed = [item for event in wire.events(THINKING, Stamp(1), ASKED) for item in event.items]
    assert streamed == list(wire.body(THINKING, Stamp(1), ASKED).items)


def test_ids_count_up():
    """An id is made of its prefix, the number of the reply and the place in it."""
    assert (Stamp(7).id("resp_"), Stamp(7).id("msg_", 3)) == ("resp_000007", "msg_00000703")


def test_seals_differ_by_item_and_text():
    """No two reasoning items share a seal."""
    assert len({seal("a", "b"), seal("a", "c"), seal("b", "b"), seal("ab", "")}) == 4
