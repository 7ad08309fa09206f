"""The SQLite checkpointers of langgraph-checkpoint-sqlite 3.1.2 under chosen orders of tasks and threads: both lose what they took.

Source: https://github.com/langchain-ai/langgraph, `libs/checkpoint-sqlite`.
"""

from __future__ import annotations

import sqlite3
import warnings

import pytest

from pytest_durability import LeftLocked, Message
from pytest_durability.checkers.locked import left_locked
from pytest_durability.world.disk.sqlite.locks import held

aiosqlite = pytest.importorskip("aiosqlite")
pytest.importorskip("langgraph.checkpoint.sqlite")

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from langgraph.checkpoint.base import empty_checkpoint
    from langgraph.checkpoint.sqlite import SqliteSaver
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
    from langgraph.graph import START, MessagesState, StateGraph

pytestmark = pytest.mark.filterwarnings("ignore")

THREAD = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
IN_TURN = ("put_writes begins", "put_writes ends", "put begins", "put ends")


class RollsBack(AsyncSqliteSaver):
    """With what is missing: whoever is stopped before the commit takes back what it did."""

    async def aput(self, *args):
        try:
            return await super().aput(*args)
        except BaseException:
            await self.conn.rollback()
            raise


async def opened(make, path):
    """A saver of a class, with its tables."""
    saver = make(await aiosqlite.connect(path))
    await saver.setup()
    return saver


def cancelled_put(world, make):
    """A program in which one `aput` may be cancelled; afterwards nobody else may be locked out."""
    path = world.root / "checkpoints.db"

    def program():
        for file in world.root.iterdir():
            file.unlink()
        saver = world.turns.run(opened(make, path))
        before = [str(lock) for lock in held(world.root)]
        world.turns.overlap(lambda: saver.aput(THREAD, empty_checkpoint(), {"source": "input", "step": 0}, {}))
        found = left_locked(before, [str(lock) for lock in held(world.root)], "a cancelled aput")
        world.turns.run(saver.conn.close())
        if found is not None:
            raise found

    return program


def test_a_cancelled_put_leaves_its_transaction_open(durability):
    """Between its `execute` and its `commit` a cancelled `aput` leaves a lock that keeps every other writer out."""
    with durability.world() as world:
        with pytest.raises(LeftLocked) as found:
            world.turns.explore(cancelled_put(world, AsyncSqliteSaver), cancel=True)
        assert "order of the turns: !0@" in found.value.__notes__[0], "one cancellation, and no preemption"


def test_a_put_that_rolls_back_leaves_nothing(durability):
    """The control: cancelled anywhere, a saver that rolls back locks nobody out."""
    with durability.world() as world:
        explored = world.turns.explore(cancelled_put(world, RollsBack), cancel=True)
    assert explored.complete
    assert explored.runs > 3


class Checkpoints:
    """Messages in the newest checkpoint of a thread; one is acknowledged when `aput` returns."""

    overlaps = True
    handles = 1
    make = AsyncSqliteSaver

    async def open(self, world):
        return await opened(self.make, world.root / "checkpoints.db")

    async def append(self, saver, message):
        found, rows = await self._newest(saver)
        checkpoint = {**empty_checkpoint(), "id": f"{len(rows) + 1:032d}"}
        checkpoint["channel_values"] = {"messages": [*rows, [message.role, message.text]]}
        await saver.aput(found.config if found else THREAD, checkpoint, {"source": "loop", "step": len(rows)}, {})

    async def transcript(self, saver):
        return [Message(*row) for row in (await self._newest(saver))[1]]

    async def _newest(self, saver):
        found = await saver.aget_tuple(THREAD)
        return found, list(found.checkpoint["channel_values"]["messages"]) if found else []


class RolledBack(Checkpoints):
    """With the saver that rolls back."""

    make = RollsBack


SMALL = {"faults": ["CancelTurn"], "models": ["process-kill"], "max_examples": 2, "seed": 1}


def test_the_search_finds_the_open_transaction(durability):
    """The same, unaided: stories of calls at once, one of them cancelled; the saved case brings it back."""
    with pytest.raises(LeftLocked) as found:
        durability.check(Checkpoints, **SMALL)
    result = found.value.result
    assert [type(fault).__name__ for fault in result.schedule] == ["CancelTurn"]
    assert len(result.workload) == 1
    with pytest.raises(LeftLocked) as again:
        durability.replay(result.case_id)
    assert again.value.summary == found.value.summary


def test_the_search_passes_the_saver_that_rolls_back(durability):
    """The control."""
    durability.check(RolledBack, **SMALL)


class Graph:
    """A graph with one model node; `sent` is what the model was asked with, `calls` when the saver was called and came back."""

    def __init__(self, path):
        self.saver = SqliteSaver(sqlite3.connect(path, check_same_thread=False))
        self.sent, self.calls = [], []
        self.saver.put_writes = self._told("put_writes", self.saver.put_writes)
        self.saver.put = self._told("put", self.saver.put)
        builder = StateGraph(MessagesState)
        builder.add_node("model", self._model)
        builder.add_edge(START, "model")
        self.graph = builder.compile(checkpointer=self.saver)

    def _model(self, state):
        self.sent.append([message.content for message in state["messages"]])
        return {"messages": [("ai", f"answer to {self.sent[-1][-1]}")]}

    def _told(self, name, function):
        def call(*args, **kwargs):
            self.calls.append(f"{name} begins")
            answer = function(*args, **kwargs)
            self.calls.append(f"{name} ends")
            return answer

        return call

    def ask(self, question):
        self.graph.invoke({"messages": [("user", question)]}, THREAD, durability="sync")

    def texts(self):
        return [message.content for message in self.graph.get_state(THREAD).values.get("messages", ())]


def after_each_kill(world, path):
    """What a new process shows in each state that a kill leaves, and what it then sends with the next question."""
    for state in list(world.disk.crash_states("process-kill")):
        with state.mounted():
            again = Graph(path)
            loaded = again.texts()
            again.ask("q1")
            yield loaded, again.sent[0]
            again.saver.conn.close()


def asked(world, order):
    """One question under an order of the graph's own threads: what was called when."""
    path = world.root / "checkpoints.db"
    graph = Graph(path)
    graph.saver.setup()
    world.turns.overlap(lambda: graph.ask("q0"), how="threads", order=order).raise_errors()
    graph.saver.conn.close()
    return graph.calls, path


def test_an_answer_that_was_readable_vanishes(durability):
    """Killed behind `put_writes` and before `put`, the answer is shown after the restart, and the next turn does not know it."""
    with durability.world() as world:
        calls, path = asked(world, order="")
        assert tuple(calls[-4:]) == IN_TURN, "without preemptions the model's output is stored before its checkpoint begins"
        vanished = [(loaded, sent) for loaded, sent in after_each_kill(world, path) if sent[: len(loaded)] != loaded]
    # The question takes the same way as its answer: first a pending write, then part of a checkpoint.
    assert {(*loaded, "then", *sent) for loaded, sent in vanished} == {
        ("q0", "answer to q0", "then", "q0", "q1"),
        ("q0", "then", "q1"),
    }


def test_the_race_of_the_two_writes_is_scheduled(durability):
    """`put_writes` and `put` run in two threads: the search finds an order in which the checkpoint begins before the output is stored."""
    seen = {}
    with durability.world() as world:

        def program():
            for file in world.root.iterdir():
                file.unlink()
            calls, _ = asked(world, order=None)
            seen.setdefault(tuple(calls[-4:]), str(world.turns.last.order))

        world.turns.explore(program, preemptions=1, limit=60, rare=0)
    assert IN_TURN in seen
    raced = {calls: order for calls, order in seen.items() if calls.index("put begins") < calls.index("put_writes ends")}
    assert raced, "put is called while put_writes has not ended"
    calls, order = next(iter(raced.items()))
    with durability.world() as world:
        assert tuple(asked(world, order=order)[0][-4:]) == calls, "the order alone brings it back"
