"""What the tests of the reference system share: sessions without chance or clock, and disks that fail on demand."""

from __future__ import annotations

from itertools import count
from pathlib import Path

from reference_impl.durable import Durable, StorageError
from reference_impl.store import Draft, Session

MOMENT = "2026-01-01T00:00:00.000+00:00"


class Killed(BaseException):
    """The process ends here; nothing of the store may catch it."""


class Faulty:
    """A disk on which `strike(operation, path)` may raise, or answer True: acknowledged and never done."""

    def __init__(self, strike):
        self.real = Durable()
        self.strike = strike
        self.struck = 0

    def __getattr__(self, name):
        method = getattr(self.real, name)

        def call(path, *args):
            try:
                lost = self.strike(name, path)
            except BaseException:
                self.struck += 1
                raise
            self.struck += bool(lost)
            return None if lost else method(path, *args)

        return call


def failing(operation, part, error=None, times=1):
    """Fail an operation on paths with this part, so many times."""
    left = [times]

    def strike(name, path):
        if name == operation and part in path and left[0]:
            left[0] -= 1
            raise error or StorageError(operation, path, "injected")

    return Faulty(strike)


def losing(operation, part):
    """Lose every such operation: it answers success and does nothing."""
    return Faulty(lambda name, path: name == operation and path.endswith(part))


def say(text, name=None, role="user"):
    """One message of text."""
    return Draft.text(role, text, name)


def call(call_id, name=None):
    """A message of the assistant with one tool call."""
    return Draft("assistant", ({"type": "tool_call", "call_id": call_id, "name": "look", "arguments": {}},), name)


def result(call_id, name=None):
    """The answer to a tool call."""
    return Draft("tool", ({"type": "tool_result", "call_id": call_id, "content": "found"},), name)


def opened(path, **options):
    """A loaded session whose ids and times are fixed."""
    numbers = count(1)
    session = Session(path, **{"clock": lambda: MOMENT, "ids": lambda: f"given-{next(numbers)}", **options})
    session.load()
    return session


def filled(path, *texts, **options):
    """A session with these messages; their ids are their texts."""
    session = opened(path, **options)
    for text in texts:
        session.add_message(say(text, text))
    return session


def texts(messages):
    """The texts of messages."""
    return [message.text for message in messages]


def live(path):
    """The texts of the live messages that a new process would see."""
    return texts(opened(path).messages)


def tree(path):
    """Every file below a directory with its bytes; the lock file has no content that counts."""
    files = [item for item in Path(path).rglob("*") if item.is_file() and item.name != ".lock"]
    return {item.relative_to(path).as_posix(): item.read_bytes() for item in files}
