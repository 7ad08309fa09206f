"""Drives the reference transcript for the harness: the only place where the two meet."""

from __future__ import annotations

import json
from itertools import count

from pytest_durability import Message, Promise
from reference_impl.durable import Durable, LockedError
from reference_impl.transcript import Agent, Call, Done, Text
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
    tools = False
    kind = Agent

    def open(self, world):
        """Open and recover; an empty root is a new session."""
        ids = Numbers()
        agent = self.kind(world.root, world.session, clock=lambda: MOMENT, ids=ids, disk=Durable(patience=0.2))
        ids.agent, agent.sent = agent, []
        agent.resume()
        return agent

    def turn(self, agent, turn):
        """One turn; each piece is yielded when it is in the log of what was shown."""

        def model(request):
            agent.sent = request
            return replied(turn, tools=self.tools)

        yield from agent.begin(turn.text).run(model, lambda call: turn.effect(call.id))

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


class ReferenceTools(ReferenceTranscript):
    """The same, whose turns call tools. Open calls are answered in the request, so that is shown too."""

    tools = True

    def request(self, agent):
        """What the last request of this life sent, as Chat Completions would be given it."""
        return {"model": "m", "messages": [as_sent(message) for message in agent.sent]}


def replied(turn, *, tools):
    """A reply as the events of a stream."""
    yield from map(Text, turn.chunks())
    yield from (Call(call.id, call.name, json.loads(call.arguments)) for call in (turn.calls if tools else ()))
    yield Done()


def as_sent(message):
    """A message of a request in the form of Chat Completions."""
    calls = [
        {"id": call["id"], "type": "function", "function": {"name": call["name"], "arguments": json.dumps(call["arguments"])}}
        for call in message.get("tool_calls") or ()
    ]
    return {**message, "tool_calls": calls} if calls else message


def given(message):
    """A message of the harness as the transcript takes it."""
    row = {"role": message.role, "content": message.text}
    return row if message.id is None else {**row, MESSAGE_ID: message.id}


def as_said(row):
    """A row as the harness compares it."""
    calls, answers = tuple(row.get("tool_calls") or ()), row.get("tool_call_id")
    return Message(row["role"], visible_text(row), row[MESSAGE_ID], calls, answers, not row.get(INTERRUPTED))
