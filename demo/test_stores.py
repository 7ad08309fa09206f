"""The two demo stores under the harness: the sound one passes every model, the naive one shows what a report looks like.

Rule: these are tests as a user writes them; `demo/run.py` runs them as pytest would and shows the output.
"""

from __future__ import annotations

from stores import NaiveStore, SoundStore

from pytest_durability import Message, Promise


class Sound:
    """The adapter of the sound store; it claims to survive a power cut."""

    promise = Promise(acknowledged="power-loss")

    def open(self, world):
        return SoundStore(world.root / world.session)

    def append(self, store, message):
        store.add(message.role, message.text)

    def transcript(self, store):
        return [Message(m["role"], m["text"]) for m in store.messages]


class Naive:
    """The adapter of the naive store; it claims no more than to survive the death of its process."""

    def open(self, world):
        return NaiveStore(world.root / world.session)

    def append(self, store, message):
        store.add(message.role, message.text)

    def transcript(self, store):
        return [Message(m["role"], m["text"]) for m in store.messages]


def test_sound_store(durability):
    """Every crash state of every model: nothing acknowledged is lost."""
    durability.sweep(Sound)


def test_naive_store(durability):
    """A kill in the middle of a save."""
    durability.sweep(Naive)
