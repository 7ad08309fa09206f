"""The reference session store, and one bug that was reported: after a lost clear, archived messages are live again.

Rule: the broken variant differs from the reference store in one method, the one that heals a lost clear.
"""

from __future__ import annotations

from itertools import count

from pytest_durability import Append, Commit, Message, Promise, Workload
from reference_impl.store import Draft, Session

STORY = Workload(
    (
        Append("user", "zu1z one"),
        Append("assistant", "za1z two"),
        Commit(0),
        Append("user", "zu2z three"),
    )
)
"""Two messages, a commit that archives them and clears the live file, and a message after it."""


class Reference:
    """The adapter; the store is given its clock and its ids, so that equal steps give equal bytes."""

    promise = Promise(acknowledged="power-loss", lost_writes="consistent")
    store = Session

    def open(self, world):
        numbers = count(1)
        session = self.store(world.root / world.session, clock=lambda: "2026-01-01T00:00:00Z", ids=lambda: f"id-{next(numbers)}")
        session.load()
        return session

    def append(self, session, message):
        session.add_message(Draft.text(message.role, message.text, message.id))

    def commit(self, session, keep):
        session.commit(keep)

    def transcript(self, session):
        return [Message(message.role, message.text) for message in session.messages]


class TrustsTheLiveFile(Session):
    """Does not compare the live file with the archives when it loads."""

    def _reconcile_stale_live_messages(self, healer, archives, live):
        del healer
        return archives, live


class Trusting(Reference):
    """The adapter of the broken variant."""

    store = TrustsTheLiveFile


def test_before(durability):
    """The write that clears the live file is acknowledged and never stored; later writes are: archived messages are live again."""
    durability.sweep(Trusting, STORY, models=["netput"])


def test_after(durability):
    """The same faults on the reference store: the lost clear is healed, and healing twice changes nothing."""
    durability.sweep(Reference, STORY)
