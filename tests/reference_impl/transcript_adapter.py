"""Drives the reference transcript for the harness: the only place where the two meet."""

from __future__ import annotations

from itertools import count

from pytest_durability import Message, Promise
from reference_impl.durable import Durable, LockedError
from reference_impl.transcript import Agent, Done, Text
from reference_impl.transcript.rows import INTERRUPTED, MESSAGE_ID, SYNTHETIC, visible_text

MOMENT = "2026-01-01T00:00:00.000+00:00"


class Numbers:
    """Ids that no incarnation gives twice, and that equal steps give again: the names in use are asked, not remembered."""

    def __init__(self):
        self.agent = None
        self.next = count(1)

    def __call__(self):
        """The next id that is not in the database."""
        while True:
            name = f"given-{next(self.next)}"
            taken = "SELECT 1 FROM messages WHERE message_id = ? OR turn_id = ? OR session_id = ?"
            if not self.agent.database.rows(taken, name, name, name):
                return name


class ReferenceTranscript:
    """Nothing that it writes depends on chance or on a clock, so equal steps give equal rows."""

    promise = Promise(acknowledged="power-loss", delivered="power-loss", retry="idempotent")
    refuses = (LockedError,)
    sessions = True
    volatile = ("*-shm", "*-wal")
    kind = Agent

    def open(self, world):
        """Open and recover; an empty root is a new session."""
        ids = Numbers()
        agent = self.kind(world.root, world.session, clock=lambda: MOMENT, ids=ids, disk=Durable(patience=0.2))
        ids.agent = agent
        agent.resume()
        return agent

    def turn(self, agent, turn):
        """One turn; each piece is yielded when it is in the log of what was shown."""
        yield from agent.begin(turn.text).run(lambda request: replied(turn.chunks()))

    def append(self, agent, message):
        """One message."""
        self.append_many(agent, [message])

    def append_many(self, agent, messages):
        """One batch."""
        agent.append(*[given(message) for message in messages])

    def commit(self, agent, keep):
        """A split: the session goes on in a child."""
        receipt = agent.split(keep, lambda old: f"{len(old)} messages")
        if receipt.status == "failed":
            raise RuntimeError(receipt.reason)

    def close(self, agent):
        """A clean exit."""
        agent.close()

    def transcript(self, agent):
        """What is live in the database."""
        return [as_said(row) for row in agent.transcript() if row.get(SYNTHETIC) != "closing"]

    def archived(self, agent):
        """What splits left behind."""
        return [as_said(row) for row in agent.archived() if row.get(SYNTHETIC) != "closing"]


def replied(chunks):
    """A reply of bare text as the events of a stream."""
    yield from map(Text, chunks)
    yield Done()


def given(message):
    """A message of the harness as the transcript takes it."""
    row = {"role": message.role, "content": message.text}
    return row if message.id is None else {**row, MESSAGE_ID: message.id}


def as_said(row):
    """A row as the harness compares it."""
    return Message(row["role"], visible_text(row), row[MESSAGE_ID], complete=not row.get(INTERRUPTED))
