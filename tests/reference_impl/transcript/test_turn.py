"""Turns: driven by a loop, by an event loop or by hand, overlapping in any order, stopped at any point."""

from __future__ import annotations

import asyncio
from itertools import permutations

import pytest

from reference_impl.transcript import Call, Done, StreamCutError, Text, TurnOverError
from tests.reference_impl.transcript.helpers import calls, contents, cut_after, loaded, rows, said, says, shown, talk

ORDERS = sorted(set(permutations([0, 0, 0, 1, 1, 1])))


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: "".join("AB"[n] for n in order))
def test_overlapping_turns_read_as_if_one_came_after_the_other(agents, path, order):
    """Begin, first piece and end of two turns in every order: all rows, once, whole turns, and memory agrees with the disk."""
    agent = agents()
    talk(agent, "before", "0")
    streams = {}
    for step, n in enumerate(order):
        if order.index(n) == step:
            streams[n] = agent.begin(f"q{n}").run(says(f"a{n}", f"b{n}"))
        elif order[:step].count(n) == 1:
            assert next(streams[n]) == f"a{n}"
        else:
            assert list(streams[n]) == [f"b{n}"]
    wanted = [("user", "before"), ("assistant", "0")]
    for n in streams:
        wanted += [("user", f"q{n}"), ("assistant", f"a{n}b{n}")]
    assert said(agent.messages) == said(agent.transcript()) == wanted
    assert len(contents(path)) == 6


@pytest.mark.parametrize("stop", [1, 2, 3])
@pytest.mark.parametrize("first", [0, 1])
def test_stopping_one_of_two_turns_leaves_the_other_alone(agent, stop, first):
    """The one that is stopped keeps what was shown of it, the other one goes on."""
    streams = [agent.begin(f"q{n}").run(says(*f"{n}xy")) for n in range(2)]
    seen = [next(streams[1]), next(streams[0])]
    text = str(first) + "".join(next(streams[first]) for _ in range(stop - 1))
    streams[first].close()
    list(streams[1 - first])
    assert seen == ["1", "0"]
    replies = {0: "0xy", 1: "1xy", first: text}
    assert said(agent.transcript()) == [("user", "q0"), ("assistant", replies[0]), ("user", "q1"), ("assistant", replies[1])]


def test_a_tool_turn_saves_each_step(agents, path):
    """Call and result are rows before the next request is made."""
    agent = agents()
    seen = []

    def tool(call):
        seen.append(contents(path))
        return f"result of {call.id}"

    assert shown(agent.begin("look"), calls("c1", "c2", before="let me see ", then=("found",)), tool) == "let me see found"
    assert seen == [["look", "let me see "], ["look", "let me see ", "result of c1"]]
    assert contents(path) == ["look", "let me see ", "result of c1", "result of c2", "found"]
    assert rows(path, "SELECT message_count, tool_call_count FROM sessions") == [(5, 2)]


def test_a_tool_that_fails_has_a_result(agent):
    """The model decides what to do about it."""
    shown(agent.begin("look"), calls("c"), lambda call: 1 / 0)
    assert "division by zero" in agent.messages[2]["content"]


def test_nothing_reaches_a_turn_that_is_over(agent):
    """A late or doubled delivery is refused, and a second end is the first one."""
    turn = agent.begin("hello")
    shown(turn, says("hi"))
    before = said(agent.transcript())
    for late in (turn.open, lambda: turn.feed(Text("late")), turn.end_of_stream, lambda: turn.record(Call("c", "x"), "late")):
        with pytest.raises(TurnOverError):
            late()
    assert turn.finish("interrupted").outcome == "complete"
    assert said(agent.transcript()) == before


def test_a_turn_driven_by_hand(agent):
    """The block is the turn: leaving it early ends it as interrupted."""
    with agent.begin("hello") as turn:
        turn.open()
        assert turn.feed(Text("vis")) == "vis"
    assert turn.result.outcome == "interrupted"
    assert said(agent.transcript()) == [("user", "hello"), ("assistant", "vis")]


def test_an_old_input_is_not_answered_again(agent):
    """Its id names a message that the conversation has left behind."""
    shown(agent.begin("one", message_id="m1"), says("1"))
    talk(agent, "two", "2")
    for _ in range(2):
        with pytest.raises(TurnOverError, match="m1"):
            agent.begin("one", message_id="m1")
        agent.split(0, lambda old: "s")
    assert len(agent.messages) == 1


def test_closing_the_agent_ends_its_turns(agents, path):
    """As interrupted, with what was shown."""
    agent = agents()
    stream = agent.begin("hello").run(says("par", "tial"))
    next(stream)
    agent.close()
    assert loaded(path) == [("user", "hello"), ("assistant", "par")]
    with pytest.raises(TurnOverError):
        list(stream)


# In an event loop


async def async_says(request, pieces=("a", "b"), error=None):
    """A model that streams and waits in between."""
    for piece in pieces:
        await asyncio.sleep(0)
        yield Text(piece)
    if error is not None:
        raise error
    yield Done()


async def follow(turn, model=async_says, seen=None):
    """Drive a turn; what was seen."""
    seen = [] if seen is None else seen
    async for piece in turn.arun(model):
        seen.append(piece)
        await asyncio.sleep(0)
    return "".join(seen)


def test_turns_in_tasks(agent):
    """Two tasks interleave, and each turn is whole."""

    async def both():
        return await asyncio.gather(*[follow(agent.begin(f"q{n}")) for n in range(2)])

    assert asyncio.run(both()) == ["ab", "ab"]
    assert said(agent.transcript()) == [("user", "q0"), ("assistant", "ab"), ("user", "q1"), ("assistant", "ab")]


@pytest.mark.parametrize("steps", range(1, 9))
def test_a_cancelled_task_keeps_what_was_seen(agent, steps):
    """Cancelled after any number of steps of the loop, the text that was seen is a row."""
    seen = []

    async def cancelled():
        task = asyncio.ensure_future(follow(agent.begin("q"), seen=seen))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(cancelled())
    replies = [text for role, text in said(agent.transcript()) if role == "assistant"]
    assert "".join(replies) == "".join(seen)
    assert agent._open == []


def test_a_cut_in_an_event_loop(agent):
    """After text it is recovered, before any text it is raised."""

    def dies(*pieces):
        return lambda request: async_says(request, pieces, TimeoutError())

    turn = agent.begin("q")
    assert asyncio.run(follow(turn, dies("par"))) == "par"
    assert turn.result.outcome == "partial_stream_recovery"
    with pytest.raises(StreamCutError):
        asyncio.run(follow(agent.begin("r"), dies()))


def test_async_tools(agent):
    """Results come from coroutines, failures included."""

    async def model(request):
        for event in calls("c1")(request):
            yield event

    async def tool(call):
        raise LookupError("nothing here")

    async def run():
        return [piece async for piece in agent.begin("q").arun(model, tool)]

    assert asyncio.run(run()) == ["done"]
    assert "nothing here" in agent.messages[2]["content"]


def test_a_cut_at_every_piece(agents, path):
    """Whatever was shown before the cut is the row, once."""
    agent = agents()
    for size in range(1, 5):
        text = "".join(f"<{n}>" for n in range(size))
        assert shown(agent.begin(f"q{size}"), cut_after(*[f"<{n}>" for n in range(size)])) == text
        assert contents(path).count(text) == 1
