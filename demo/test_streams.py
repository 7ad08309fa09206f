"""A store that runs turns, as it is often written and as repaired, under replies that break and users who stop them.

Rule: these are tests as a user writes them; `demo/streams.py` runs them as pytest would and shows the output.
"""

from __future__ import annotations

from stores import SoundStore

from pytest_durability import Message


class SavesAtTheEnd:
    """The adapter of a chat that saves a reply when it is whole."""

    def open(self, world):
        return SoundStore(world.root / world.session)

    def turn(self, store, turn):
        store.add("user", turn.text)
        said = ""
        for piece in turn.chunks():
            said += piece
            yield piece  # the user sees it now
        store.add("assistant", said)

    def transcript(self, store):
        return [Message(m["role"], m["text"]) for m in store.messages]


class SavesInAnyCase(SavesAtTheEnd):
    """The repair: whatever ends the turn, what the user saw is saved."""

    def turn(self, store, turn):
        store.add("user", turn.text)
        said = ""
        try:
            for piece in turn.chunks():
                said += piece
                yield piece
        finally:
            if said:
                store.add("assistant", said)


def test_saves_at_the_end(durability):
    """The connection breaks in the middle of a reply."""
    durability.check(SavesAtTheEnd, max_examples=20)


def test_saves_in_any_case(durability):
    """The same search on the repaired store."""
    durability.check(SavesInAnyCase, max_examples=20)
