"""Two small session stores to show the difference: one that keeps its promise, and one as it is often written.

Rule: both are plain stores as one finds them in projects; they know nothing of the harness.
"""

from __future__ import annotations

import json
import os
from pathlib import Path


class SoundStore:
    """JSON Lines: append, fsync, and an fsync of the directory for the new name; a torn tail is cut off on load."""

    def __init__(self, folder: Path) -> None:
        if not folder.exists():
            folder.mkdir()
            _sync(folder.parent)
        self.path = folder / "messages.jsonl"
        if not self.path.exists():
            with open(self.path, "ab") as file:
                os.fsync(file.fileno())
            _sync(folder)
        self.messages = self._load()

    def add(self, role: str, text: str) -> None:
        """Durable when it returns."""
        message = {"role": role, "text": text}
        with open(self.path, "ab") as file:
            file.write(json.dumps(message).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self.messages.append(message)

    def _load(self) -> list[dict[str, str]]:
        data = self.path.read_bytes()
        messages, good = [], 0
        for line in data.split(b"\n")[:-1]:
            try:
                messages.append(json.loads(line))
            except ValueError:
                break
            good += len(line) + 1
        if good < len(data):
            with open(self.path, "r+b") as file:
                file.truncate(good)
                os.fsync(file.fileno())
        return messages


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class NaiveStore:
    """The same with `open("a")` and a `meta.json` that is written in place; nothing is synced, and the count is trusted."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.path = folder / "messages.jsonl"
        self.meta = folder / "meta.json"
        self.messages: list[dict[str, str]] = []
        if self.meta.exists():
            count = json.loads(self.meta.read_text())["count"]
            self.messages = [json.loads(line) for line in self.path.read_text().splitlines()[:count]]

    def add(self, role: str, text: str) -> None:
        """Durable when the system feels like it."""
        message = {"role": role, "text": text}
        with open(self.path, "a") as file:
            file.write(json.dumps(message) + "\n")
        self.messages.append(message)
        with open(self.meta, "w") as file:
            json.dump({"count": len(self.messages)}, file)
