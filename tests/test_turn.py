"""A turn for stores that speak no HTTP: the pieces, the ways to break, and what is noted."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from pytest_durability.dialects import replies
from pytest_durability.dialects.cuts import Cut
from pytest_durability.dialects.replies import Reply
from pytest_durability.errors import UsageError
from pytest_durability.history import History, Lane, Outcome
from pytest_durability.turn import Turn

WHOLE = Reply((replies.reasoning("hm"), replies.text("Hello wörld, how are you?"), replies.tool_call("f", {"q": 1})))
RAISES = {"reset": ConnectionResetError, "protocol": ConnectionResetError, "timeout": TimeoutError, "stall": TimeoutError}


@pytest.fixture
def run():
    """Where it is noted what happens."""
    return SimpleNamespace(history=History())


def turn_of(run, *cut, reply=WHOLE):
    """A turn of a conversation."""
    return Turn("hi", reply, Cut(*cut) if cut else None, noting=run, number=3, call=7, provider="the provider")


def taken(turn):
    """The pieces that come, and the exception."""
    got = []
    try:
        got.extend(turn.chunks())
    except OSError as error:
        return "".join(got), type(error)
    return "".join(got), None


async def ataken(turn):
    """The same with `async for`."""
    got = []
    try:
        async for piece in turn.achunks():
            got.append(piece)  # noqa: PERF401  a comprehension would drop what came before an exception
    except OSError as error:
        return "".join(got), type(error)
    return "".join(got), None


def test_a_whole_reply(run):
    """All pieces come, each is noted before the store has it, and the end is noted."""
    turn = turn_of(run)
    assert (turn.text, turn.number, turn.provider) == ("hi", 3, "the provider")
    for piece in turn.chunks():
        assert run.history[-1].target == piece
    assert "".join(op.target for op in run.history if op.kind == "text") == WHOLE.text
    assert (run.history[-1].kind, {op.call for op in run.history}, {op.lane for op in run.history}) == ("end", {7}, {Lane.STREAM})


@pytest.mark.parametrize("how", ["eof", *RAISES])
@pytest.mark.parametrize(
    ("after", "text"),
    [
        (0, ""),
        (7, "Hello w"),
        ("no-answer", ""),
        ("first-byte", ""),
        ("between-events", "Hello wörld,"),
        ("inside-event", "Hello wörld,"),
        ("inside-character", "Hello"),
        ("before-signature", ""),
        ("inside-arguments", WHOLE.text),
        ("after-text", WHOLE.text),
        ("after-terminal", WHOLE.text),
    ],
)
def test_cuts(run, after, text, how):
    """The text before the place comes, then it ends or raises what a broken connection raises, sync and async."""
    assert taken(turn_of(run, after, how)) == (text, RAISES.get(how))
    assert asyncio.run(ataken(turn_of(run, after, how))) == (text, RAISES.get(how))
    assert "".join(op.target for op in run.history if op.kind == "text") == text * 2
    assert (run.history[-1].kind, run.history[-1].outcome) == ("cut", Outcome.FAILED)


def test_what_the_store_tells(run):
    """Text that is shown in a callback, and effects of tools, are noted."""
    turn = turn_of(run)
    turn.deliver("Hel")
    turn.effect("call_1")
    assert [(op.kind, op.target, op.size) for op in run.history] == [("delivered", "Hel", 3), ("effect", "call_1", 6)]


def test_the_dead_are_not_noted(run):
    """After the process died, what its generators still do does not count."""
    turn = turn_of(run)
    pieces = turn.chunks()
    next(pieces)
    turn.bury()
    list(pieces)
    turn.deliver("more")
    assert [op.target for op in run.history] == ["Hello"]


def test_a_task_can_be_cancelled_between_two_pieces(run):
    """It gives way before each piece, so a cancellation lands there."""

    async def cancelled():
        task = asyncio.create_task(ataken(turn_of(run)))
        for _ in range(3):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    assert asyncio.run(cancelled())
    assert [op.target for op in run.history] == ["Hello", " wörld,"]


def test_a_reply_is_taken_once(run):
    """A second loop over the reply, and a turn without one, are misuse."""
    turn = turn_of(run)
    list(turn.chunks())
    with pytest.raises(UsageError, match="taken already"):
        list(turn.chunks())
    with pytest.raises(UsageError, match="has no scripted reply"):
        list(turn_of(run, reply=None).chunks())


def test_a_place_that_the_reply_does_not_have(run):
    """It is refused when the turn is made."""
    with pytest.raises(UsageError, match="only 25 characters"):
        turn_of(run, 26)
