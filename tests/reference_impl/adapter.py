"""Drives the reference session store for the harness: the only place where the two meet."""

from __future__ import annotations

from itertools import count

from pytest_durability import Message, Promise
from reference_impl.durable import LockedError
from reference_impl.store import Draft, Session

MOMENT = "2026-01-01T00:00:00.000+00:00"


def draft(message: Message) -> Draft:
    """A message of the harness as the store takes it."""
    return Draft.text(message.role, message.text, message.id)


class ReferenceSession:
    """Nothing that it writes depends on chance or on a clock, so equal steps give equal bytes."""

    promise = Promise(acknowledged="power-loss", retry="idempotent", lost_writes="consistent")
    refuses = (LockedError,)
    sessions = True

    def open(self, world):
        """Open and heal; an empty root is a new session."""
        numbers = count(1)
        session = Session(world.root / world.session, clock=lambda: MOMENT, ids=lambda: f"given-{next(numbers)}")
        session.load()
        return session

    def append(self, session, message):
        """One message."""
        session.add_message(draft(message))

    def append_many(self, session, messages):
        """One batch."""
        session.add_messages([draft(message) for message in messages])

    def commit(self, session, keep):
        """The first phase of a commit."""
        session.commit(keep)

    def transcript(self, session):
        """The live messages."""
        return [Message(message.role, message.text, message.id) for message in session.messages]

    def archived(self, session):
        """What commits moved out."""
        return [Message(message.role, message.text, message.id) for message in session.archived_messages()]
