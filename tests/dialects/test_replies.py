"""Replies as data: how text is cut into pieces, and what is refused."""

from __future__ import annotations

import pytest

from pytest_durability.dialects import replies
from pytest_durability.dialects.replies import Reply
from pytest_durability.errors import UsageError


@pytest.mark.parametrize("said", ["", " ", "Hello wörld, how are you?", "  two  spaces\n\nand lines ", "x" * 40, "a\tb\u00a0c  "])
def test_pieces_are_the_whole_text(said):
    """Nothing is lost or added, no piece is empty, and no piece is long."""
    pieces = replies.pieces_of(said)
    assert "".join(pieces) == said
    assert all(pieces)
    assert all(len(piece.strip()) <= 12 for piece in pieces)


def test_pieces_can_be_given():
    """A sequence is taken as the pieces."""
    assert replies.text(["He", "", "llo wide world"]).pieces == ("He", "llo wide world")


@pytest.mark.parametrize("after", range(-1, 13))
def test_a_boundary_can_be_put_anywhere(after):
    """The text stays the same, and so many characters of it are whole pieces, over several parts."""
    reply = Reply((replies.text("Hello"), replies.reasoning("hm"), replies.text(" world")))
    parted = reply.parted(after)
    assert parted.text == reply.text
    lengths = [len(piece) for part in parted.parts if isinstance(part, replies.Text) for piece in part.pieces]
    assert after <= 0 or after > 11 or any(sum(lengths[:n]) == after for n in range(len(lengths) + 1))


def test_arguments():
    """A mapping becomes JSON with its characters as they are, a string stays; both come in at least two pieces."""
    assert replies.tool_call("f", {"q": "dürer"}).arguments == '{"q": "dürer"}'
    assert replies.tool_call("f").pieces == ("{", "}")
    assert replies.tool_call("f", "{bad").pieces == ("{b", "ad")
    assert replies.tool_call("f", "").pieces == ()


def test_what_cannot_be_said():
    """An end that no provider has, and arguments that are no JSON, are refused with what is possible."""
    with pytest.raises(UsageError, match="'complete', 'incomplete'"):
        Reply(end="happily")
    with pytest.raises(UsageError, match="not JSON serializable"):
        replies.tool_call("f", {"x": object()})
