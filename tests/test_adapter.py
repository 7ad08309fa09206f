"""The contract: what a promise may say, and what an adapter must have."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields

import pytest

from pytest_durability.adapter import Message, Promise, SessionAdapter, check_members, promise_of
from pytest_durability.errors import AdapterError, UsageError


class Plain:
    """The smallest adapter."""

    def open(self, world): ...
    def append(self, store, message): ...
    def transcript(self, store): ...


def changed(**members):
    """A plain adapter with other members."""
    return type("Changed", (Plain,), members)()


@pytest.mark.parametrize("field", [field.name for field in fields(Promise) if field.name != "filesystems"])
@pytest.mark.parametrize("value", ["always", "", None, 1, True, [], ("process-kill",), "Process-Kill"])
def test_a_promise_that_means_nothing_is_refused(field, value):
    """A value that is not listed is misuse, and the listed ones are named."""
    with pytest.raises(UsageError, match="choose from: '") as caught:
        Promise(**{field: value})
    assert f"{field}={value!r}" in str(caught.value)


def test_a_promise_names_file_systems_in_a_tuple():
    """One string instead of a tuple would be taken letter by letter."""
    with pytest.raises(UsageError, match="tuple"):
        Promise(filesystems="posix")
    assert Promise(filesystems=("posix",)).filesystems == ("posix",)


def test_the_default_promise():
    """A store that declares nothing promises to survive a process kill."""
    assert promise_of(Plain()) == Promise()
    assert (Promise().acknowledged, Promise().delivered, Promise().filesystems) == ("process-kill", "turn-end", None)


def test_a_declared_promise_is_used():
    """The promise of the adapter holds."""
    assert promise_of(changed(promise=Promise("power-loss"))).acknowledged == "power-loss"


def test_a_plain_class_is_an_adapter():
    """Nothing has to be inherited."""
    check_members(Plain())
    assert isinstance(Plain(), SessionAdapter)


def test_a_turn_takes_the_place_of_append():
    """An adapter with `turn` only is complete."""
    check_members(changed(append=None, turn=lambda self, store, turn: None))


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ({"open": None}, "lacks open"),
        ({"transcript": 3}, "lacks transcript"),
        ({"append": None}, "lacks append"),
        ({"commit": 3}, "commit is not callable"),
        ({"promise": "power-loss"}, "not a Promise"),
        ({"promise": Promise}, "not a Promise"),
        ({"refuses": ValueError}, "refuses is"),
        ({"refuses": (ValueError("x"),)}, "refuses is"),
        ({"refuses": ("ValueError",)}, "refuses is"),
        ({"after_error": "retry"}, "after_error is 'retry'"),
        ({"volatile": "*.log"}, "volatile is"),
        ({"volatile": (b"*.log",)}, "volatile is"),
        ({"handles": 0}, "handles is 0"),
        ({"handles": "one"}, "handles is .one."),
    ],
)
def test_a_wrong_member_is_told(members, told):
    """What is missing or of the wrong type is named before anything runs."""
    with pytest.raises(AdapterError, match=told):
        check_members(changed(**members))


def test_everything_that_is_wrong_is_told_at_once():
    """One message holds all of it."""
    with pytest.raises(AdapterError) as caught:
        check_members(changed(open=None, transcript=None, append=None, promise=1, refuses=1, after_error=1, volatile=1))
    assert all(
        word in str(caught.value) for word in ("open", "transcript", "append", "promise", "refuses", "after_error", "volatile")
    )


def test_a_message_is_frozen():
    """A store that changes the message it was given would change what is expected of it."""
    with pytest.raises(FrozenInstanceError):
        Message("user", "hello").text = "bye"
