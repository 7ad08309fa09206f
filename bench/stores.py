"""The stores that are measured: one file, append only, with and without fsync.

Rule: as little of its own work as possible, so that what is measured is the harness.
"""

from __future__ import annotations

import json
import os
from typing import Any

from pytest_durability import Message, Promise


class Log:
    """JSON Lines; `synced` says whether every append is followed by an fsync."""

    synced = True

    def __init__(self, path: str) -> None:
        self.path = path
        self.messages = []
        if os.path.exists(path):
            with open(path, "rb") as file:
                for line in file.read().split(b"\n")[:-1]:
                    try:
                        self.messages.append(json.loads(line))
                    except ValueError:
                        break

    def add(self, role: str, text: str) -> None:
        """Append one line."""
        with open(self.path, "ab") as file:
            file.write(json.dumps({"role": role, "text": text}).encode() + b"\n")
            file.flush()
            if self.synced:
                os.fsync(file.fileno())
        self.messages.append({"role": role, "text": text})


class LazyLog(Log):
    """The same without fsync."""

    synced = False


class LogAdapter:
    """Drives `Log`."""

    promise = Promise(acknowledged="process-kill")
    store = Log

    def open(self, world: Any) -> Log:
        """Open the one file."""
        return self.store(f"{world.root}/log.jsonl")

    def append(self, store: Log, message: Message) -> None:
        """Append one message."""
        store.add(message.role, message.text)

    def transcript(self, store: Log) -> list[Message]:
        """All messages."""
        return [Message(m["role"], m["text"]) for m in store.messages]


class LazyLogAdapter(LogAdapter):
    """Drives `LazyLog`."""

    store = LazyLog
