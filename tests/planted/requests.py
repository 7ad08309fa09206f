"""Stores whose sessions load well and still break the next request, one flaw each, and the store that none of them happens to.

Rule: all of them keep one JSON record a line; an answer is a call, its result and a text, or a reasoning item and its message.
"""

from __future__ import annotations

import json
import random

from pytest_durability import Message


class Toolbox:
    """Each answer looks something up first: call, result and text are one write. A commit keeps whole answers."""

    def open(self, world):
        path = world.root / "session.jsonl"
        path.touch()
        return path

    def append(self, path, message):
        records = [{"role": message.role, "text": message.text}]
        if message.role == "assistant":
            name = f"call_{len(self._load(path))}"
            records = [{"call": name}, {"result": name}, *records]
        self._write(path, records)

    def commit(self, path, keep):
        records = self._load(path)
        path.with_suffix(".new").write_text(_lines(records[self._boundary(records, keep) :]))
        path.with_suffix(".new").replace(path)

    def transcript(self, path):
        return [Message(one["role"], one["text"]) for one in self._load(path) if "role" in one]

    def request(self, path):
        return {"model": "m", "input": [_item(one) for one in self._load(path)]}

    def _write(self, path, records):
        with open(path, "a") as file:
            file.write(_lines(records))

    def _boundary(self, records, keep):
        """The place before the newest `keep` messages, and before what belongs to the first of them."""
        said = [at for at, one in enumerate(records) if "role" in one]
        at = said[-keep] if 0 < keep <= len(said) else len(records) if not keep else 0
        while at and "role" not in records[at - 1]:
            at -= 1
        return at

    def _load(self, path):
        """What can be read; the end of a write that a crash cut short is no line."""
        return [one for line in path.read_text().split("\n")[:-1] for one in json.loads(line)]


def _lines(records):
    """One line a write."""
    return json.dumps(records) + "\n" if records else ""


def _item(record):
    if "call" in record:
        return {"type": "function_call", "call_id": record["call"], "name": "look", "arguments": "{}"}
    if "result" in record:
        return {"type": "function_call_output", "call_id": record["result"], "output": "seen"}
    return {"role": record["role"], "content": record["text"]}


class CallFirst(Toolbox):
    """The call is written when it is made, and the result when it is there: a kill in the tool leaves the call alone."""

    def _write(self, path, records):
        for record in records:
            super()._write(path, [record])


class CutsByCount(Toolbox):
    """A commit keeps the text and the result of an answer, and cuts off its call."""

    def _boundary(self, records, keep):
        at = super()._boundary(records, keep)
        return at + ("call" in records[at] if at < len(records) else 0)


class OldestWindow(Toolbox):
    """The model is given two messages, and they are the first ones."""

    def request(self, path):
        records = self._load(path)
        said = [at for at, one in enumerate(records) if "role" in one]
        return {"model": "m", "input": [_item(one) for one in records[: said[1] + 1 if len(said) > 1 else None]]}


class Shuffles(Toolbox):
    """Messages come back in the order of numbers that are drawn at each load."""

    def transcript(self, path):
        rows = super().transcript(path)
        return sorted(rows, key=lambda _: random.random())


class CannotAsk(CallFirst):
    """The next request is refused by the store itself while a call is open, in each turn."""

    def request(self, path):
        records = self._load(path)
        calls, results = ({one[kind] for one in records if kind in one} for kind in ("call", "result"))
        if calls - results:
            raise ValueError(f"calls without a result: {calls - results}")
        return super().request(path)


class Thinker:
    """Each answer has a reasoning item, which is replayed before its message; both are one write."""

    def open(self, world):
        path = world.root / "session.jsonl"
        path.touch()
        return path

    def append(self, path, message):
        said = {"role": message.role, "content": message.text}
        if message.role == "assistant":
            number = len(path.read_text().split("\n"))
            thought = {"type": "reasoning", "id": f"rs_{number}", "summary": [], "encrypted_content": "sealed"}
            said = {"type": "message", "id": f"msg_{number}", **said}
            self._write(path, [thought, said])
        else:
            self._write(path, [said])

    def transcript(self, path):
        return [Message(one["role"], one["content"]) for one in self._load(path) if "role" in one]

    def request(self, path):
        return {"model": "m", "store": False, "input": self._load(path)}

    def _write(self, path, records):
        with open(path, "a") as file:
            file.write(_lines(records))

    def _load(self, path):
        return [one for line in path.read_text().split("\n")[:-1] for one in json.loads(line)]


class ThoughtFirst(Thinker):
    """The item is written when it is there, and the message later: a kill between them leaves an item that stands before nothing."""

    def _write(self, path, records):
        for record in records:
            super()._write(path, [record])


FLAWS = {
    CallFirst: "UnansweredCall",
    CutsByCount: "WindowBroken",
    OldestWindow: "WindowBroken",
    Shuffles: "NotDeterministic",
    CannotAsk: "Wedged",
    ThoughtFirst: "ForeignReasoning",
}
"""Each flaw and the anomaly that tells it."""
SOUND = (Toolbox, Thinker)
