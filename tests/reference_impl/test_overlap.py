"""The reference system under turns that overlap: in tasks, in threads, in processes and on stale objects it serialises or refuses."""

from __future__ import annotations

import asyncio
from itertools import count

import pytest

from pytest_durability import Promise
from pytest_durability.checkers.overlapped import judge_overlap
from pytest_durability.checkers.wholes import DONE, RAISED, REFUSED, Whole
from pytest_durability.explore.orders import strike_orders
from pytest_durability.explore.search import Search
from pytest_durability.persistence import fatal, resolve
from pytest_durability.runner import Runner
from pytest_durability.world.arena import Arena
from pytest_durability.world.turns.processes import Processes
from pytest_durability.world.world import open_world
from reference_impl.durable import Durable, LockedError
from reference_impl.store import Draft, Session
from tests.reference_impl.adapter import MOMENT, ReferenceSession, draft
from tests.reference_impl.transcript_adapter import ReferenceTranscript

SAID = (("u1", "a1"), ("u2", "a2"))
AT_ONCE = Durable("process-kill", patience=0)
"""Whoever finds the lock taken is refused at once, so that no test waits."""


class Transcript(ReferenceTranscript):
    """Several turns may be open on one agent; between two pieces of a reply another turn goes on."""

    overlaps = True

    def open(self, world):
        """As usual, and who finds the lock taken is refused at once."""
        agent = super().open(world)
        agent.disk = Durable(patience=0)
        return agent


class Tasks(ReferenceSession):
    """The store in an event loop: it never waits with the lock held, and whoever calls it does, before and after."""

    overlaps = True

    async def append(self, session, message):
        """One message."""
        await asyncio.sleep(0)
        session.add_message(draft(message))
        await asyncio.sleep(0)

    async def append_many(self, session, messages):
        """One batch."""
        await asyncio.sleep(0)
        session.add_messages([draft(message) for message in messages])
        await asyncio.sleep(0)

    async def commit(self, session, keep):
        """A commit, and its summary."""
        await session.commit_async(keep)
        session.run_pending()


@pytest.mark.parametrize("adapter", [Tasks, Transcript])
def test_every_simple_order_of_calls_serialises_or_refuses(adapter):
    """Calls at once, on one store object and on two, in all orders with one preemption, and cancelled at each suspension."""
    with Arena(0) as arena:
        runner = Runner(adapter, arena)
        search = Search(runner, resolve(["process-kill"]), fatal(Promise(), None), 50, turns=("ReorderTurns", "CancelTurn"))
        strike_orders(search, "dev")
        assert search.distinct() == []
        assert {text.partition("(")[0] for text in search.struck} == {"ReorderTurns", "CancelTurn"}


def opened(folder, disk=AT_ONCE):
    """A store object of its own, loaded now, so that it is stale when another one has written."""
    session = Session(folder, disk=disk, clock=lambda: MOMENT)
    session.load()
    return session


def drafts(texts):
    """A turn as one batch; a message has its text for an id."""
    return [Draft.text(role, text, text) for role, text in zip(("user", "assistant"), texts, strict=True)]


def ended(error):
    """How a turn ended, for its judge."""
    refused = isinstance(error, LockedError) or "LockedError" in str(error)  # from another process only its text may come
    return DONE if error is None else REFUSED if refused else RAISED


def left(folder):
    """Everything that the session holds, archives first."""
    session = opened(folder)
    assert not session.last_report, "there was nothing to heal"
    return [message.text for message in (*session.archived_messages(), *session.messages)]


@pytest.mark.parametrize("commits", [False, True])
def test_stale_objects_in_threads(commits):
    """Two objects that were loaded before write in two threads, which change places at each operation: both turns are there, or one was refused."""
    refused = []
    with open_world() as world:

        def program():
            for number in count():
                folder = world.root / f"session-{number}"
                if not folder.exists():
                    break
            opened(folder).add_messages(drafts(("u0", "a0")))
            one, two = opened(folder), opened(folder)
            second = (lambda: two.commit(1)) if commits else (lambda: two.add_messages(drafts(SAID[1])))
            found = world.turns.overlap(lambda: one.add_messages(drafts(SAID[0])), second, how="threads")
            said = (("u0", "a0"), SAID[0], () if commits else SAID[1])
            errors = (None, *(turn.error for turn in found.ended))
            spans = ((0, 0), *((turn.began, turn.over) for turn in found.ended))
            turns = [Whole(f"turn {at}", said[at], *spans[at], ended(errors[at])) for at in range(3) if said[at]]
            refused.append(any(isinstance(error, LockedError) for error in errors))
            anomaly = judge_overlap(turns, left(folder), promised="refuse")
            if anomaly is not None:
                raise anomaly

        explored = world.turns.explore(program, preemptions=1, limit=24, rare=4)
    assert explored.runs == 24
    assert {True, False} == set(refused), "some orders are refused, and some are not"


@pytest.mark.parametrize("patience", [0.0, 10.0])
def test_stale_objects_in_processes(tmp_path, patience):
    """Stopped before each of its operations in turn, a process never loses another one's turn: that one waits, or is refused."""
    waited = False
    stops = [f"{kind}:*:{nth}" for kind in ("open", "write", "rename", "lock") for nth in (1, 2)]
    for number, until in enumerate([*stops, ""]):
        folder = tmp_path / str(number)
        disk = Durable("process-kill", patience=patience)
        opened(folder).add_messages(drafts(("u0", "a0")))
        handles = [opened(folder, disk), opened(folder, disk)]
        with Processes(
            folder,
            *(
                lambda one=one, texts=texts: bool(one.add_messages(drafts(texts)))
                for one, texts in zip(handles, SAID, strict=True)
            ),
        ) as both:
            both.run(0, until=until)
            other = both.run(1)
            waited |= other.blocked
            first = both.run(0)
            while not other.over:
                other = both.run(1)
        turns = [Whole("before", ("u0", "a0"), 0, 0)]
        turns += [Whole(f"process {at}", SAID[at], 1, 9, ended(stood.error)) for at, stood in enumerate((first, other))]
        assert judge_overlap(turns, left(folder), promised="serialise" if patience else "refuse") is None, until
    assert waited or not patience


def test_many_sessions_on_one_disk():
    """Sessions that lie side by side do not see each other: in threads that change places at random, each keeps its own messages."""
    with open_world() as world:
        folders = [world.root / f"session-{number}" for number in range(5)]

        def life(folder):
            def run():
                session = opened(folder)
                for turn in range(3):
                    session.add_messages(drafts((f"u{turn}", f"a{turn}")))
                session.commit(2)

            return run

        world.turns.overlap(*map(life, folders), how="threads").raise_errors()
        assert world.turns.last is not None
        assert world.turns.last.preemptions > 20
        for folder in folders:
            assert left(folder) == [f"{letter}{turn}" for turn in range(3) for letter in "ua"]
