"""`SessionDB` of hermes-agent 0.19.0, unaided: the control group among the stores in SQLite.

Source: https://github.com/NousResearch/hermes-agent, `hermes_state.py`. A finding here would be a false alarm.
"""

from __future__ import annotations

import pytest

from pytest_durability import Append, Message, Promise, Reload, Workload

pytest.importorskip("hermes_state")

from hermes_state import SessionDB

SAYS = Workload((Append("user", "first zmq1z"), Reload(), Append("assistant", "second zmq2z"), Append("user", "third zmq3z")))


class Hermes:
    """One session in state.db; a message is acknowledged when `append_message` returns."""

    promise = Promise(acknowledged="process-kill")

    def open(self, world):
        store = SessionDB(world.root / "state.db")
        store.ensure_session("s", source="cli")
        return store

    def append(self, store, message):
        store.append_message("s", message.role, message.text)

    def transcript(self, store):
        rows = store.get_messages_as_conversation("s", repair_alternation=True)
        return [Message(row["role"], row["content"]) for row in rows]


def test_session_db_holds(durability):
    """No kill takes an acknowledged message or leaves a database that does not open."""
    report = durability.sweep(Hermes, SAYS, models="process-kill", depth=1)
    assert report.portability == ()
    assert report.models[0].states > 30
