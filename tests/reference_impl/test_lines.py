"""Lines of a message file: what is whole, what is damaged, and what nobody ever acknowledged."""

from __future__ import annotations

import json

import pytest

from reference_impl.store.lines import parse_archive, parse_live, render
from reference_impl.store.message import Batch, Draft, read_line, written
from tests.reference_impl.helpers import say


def line(name, seq, batch=None):
    """The line of one message."""
    return written(say(name), id=name, seq=seq, created_at="", batch=batch and Batch("b", *batch)).line


def ids(messages):
    """The ids of messages."""
    return [message.id for message in messages]


def test_every_cut_of_a_file_keeps_the_whole_lines():
    """However many bytes of the last line survive, the lines before it do, and the rest is the tail."""
    first, second = line("a", 1) + b"\n", line("b", 2)
    for size in range(len(second)):
        found = parse_live(first + second[:size])
        assert (ids(found.messages), found.damaged, found.tail) == (["a"], (), second[:size])


def test_a_whole_line_needs_no_newline():
    """An object that is complete is complete; other writers leave out the last newline."""
    assert ids(parse_live(line("a", 1) + b"\n" + line("b", 2)).messages) == ["a", "b"]


def test_zeroes_at_the_end_are_the_tail():
    """A file size that outlived its bytes."""
    found = parse_live(line("a", 1) + b"\n" + b"\0" * 50)
    assert (ids(found.messages), found.tail) == (["a"], b"\0" * 50)


def test_a_changed_byte_is_noticed():
    """The checksum tells text that was altered on the disk from text that was said."""
    data = line("a", 1) + b"\n" + line("hello", 2).replace(b'"text":"hello"', b'"text":"jello"') + b"\n" + line("c", 3) + b"\n"
    found = parse_live(data)
    assert ids(found.messages) == ["a", "c"]
    assert len(found.damaged) == 1
    assert found.tail == b""


@pytest.mark.parametrize("kept", [1, 2])
def test_a_batch_that_is_not_whole_is_the_tail(kept):
    """The lines that did arrive are not shown, because the batch was never acknowledged."""
    batch = [line(f"b{n}", 1 + n, (n, 3)) for n in (1, 2, 3)]
    data = b"\n".join([line("a", 1), *batch[:kept]]) + b"\n"
    found = parse_live(data)
    assert (ids(found.messages), found.damaged) == (["a"], ())
    assert found.tail == b"\n".join(batch[:kept])


def test_a_batch_whose_first_page_is_missing_is_the_tail():
    """A later page of an append may reach the disk before an earlier one."""
    data = line("a", 1) + b"\n" + b"\0" * 40 + b'"}\n' + line("b2", 3, (2, 2)) + b"\n"
    found = parse_live(data)
    assert (ids(found.messages), found.damaged) == (["a"], ())
    assert found.tail.startswith(b"\0")


def test_a_batch_that_a_commit_divided_is_whole():
    """Its first lines are in an archive, so the file begins in the middle of it."""
    data = line("b2", 2, (2, 3)) + b"\n" + line("b3", 3, (3, 3)) + b"\n"
    assert ids(parse_live(data).messages) == ["b2", "b3"]


def test_two_batches_are_two():
    """A torn batch takes no earlier batch with it."""
    other = written(say("c"), id="c", seq=4, created_at="", batch=Batch("other", 1, 2)).line
    data = b"\n".join([line("b1", 1, (1, 2)), line("b2", 2, (2, 2)), other]) + b"\n"
    assert ids(parse_live(data).messages) == ["b1", "b2"]


def test_an_archive_shows_every_line_that_can_be_read():
    """It was synced before it counted, so it has no tail."""
    data = line("a", 1, (1, 2)) + b"\n" + b"broken\n" + line("c", 3) + b"\n"
    assert ids(parse_archive(data)) == ["a", "c"]


@pytest.mark.parametrize("value", ["1", "[]", "null", '"text"', '{"parts": 1}', '{"parts": [1]}', '{"batch": 1}', "[" * 5000])
def test_json_that_is_no_message_is_damage(value):
    """Whatever stands in a line, reading it never fails in another way."""
    assert parse_live(value.encode() + b"\n" + line("a", 1) + b"\n").damaged == (value.encode(),)


def test_fields_of_another_version_survive():
    """A line is moved byte for byte."""
    given = json.dumps({"id": "a", "seq": 1, "role": "user", "parts": [], "mood": {"new": [1]}}).encode()
    assert render(parse_live(given + b"\n").messages) == given + b"\n"


def test_lines_without_id_get_one_that_stays():
    """Equal lines are two messages; their ids and numbers are said when they are first rewritten, the other fields stay."""
    data = b'{"role": "user", "content": "yes", "mood": 1}\n' * 2
    first = parse_live(data, follows=4).messages
    assert [(m.text, m.seq) for m in first] == [("yes", 5), ("yes", 6)]
    assert len(set(ids(first))) == 2
    again = parse_live(render(first)).messages
    assert (ids(again), [m.seq for m in again]) == (ids(first), [5, 6])
    assert json.loads(again[0].line)["mood"] == 1
    assert render(again) == render(first)


def test_a_message_comes_back_as_it_was_written():
    """All fields, through the line."""
    draft = Draft(
        "assistant", ({"type": "text", "text": "caf\u00e9 \ud800"},), kind="checkpoint", turn_id="t", metadata={"k": [1]}
    )
    message = written(draft, id="a", seq=7, created_at="then", batch=Batch("b", 1, 2))
    assert read_line(message.line, 0) == message
    assert message.content() == draft.content()
    assert message.line.isascii()
