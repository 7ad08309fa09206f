"""Session stores that run turns: one that saves a reply when it is whole, as is often done, and repaired ones of every form.

Rule: they differ in the `turn` of their adapter only; the file is a plain JSON Lines file, each line one write.
"""

from __future__ import annotations

import json
import os

from pytest_durability import Message, Promise


class Log:
    """Messages as lines; half a line, of a write that was cut short, is no line and goes before the next one comes."""

    def __init__(self, folder):
        folder.mkdir(exist_ok=True)
        self.path = folder / "messages.jsonl"

    def add(self, role, text):
        """One more line."""
        data = self.path.read_bytes() if self.path.exists() else b""
        if not data.endswith(b"\n") and data:
            os.truncate(self.path, data.rfind(b"\n") + 1)
        with open(self.path, "a") as file:
            file.write(json.dumps([role, text]) + "\n")

    def rows(self):
        """All lines."""
        return [json.loads(line) for line in self.path.read_bytes().split(b"\n")[:-1]] if self.path.exists() else []


class SavesAtTheEnd:
    """Saves the reply when it is whole: what was shown of a reply that broke is lost."""

    def open(self, world):
        """The log of the session."""
        return Log(world.root / world.session)

    def turn(self, log, turn):
        """Show, then save."""
        log.add("user", turn.text)
        said = ""
        for piece in turn.chunks():
            said += piece
            yield piece
        log.add("assistant", said)

    def transcript(self, log):
        """Everything."""
        return [Message(*row) for row in log.rows()]


class SavesAlways(SavesAtTheEnd):
    """The repair: whatever ends the turn, what was shown is saved."""

    def turn(self, log, turn):
        """Show, and save in any case."""
        log.add("user", turn.text)
        said = ""
        try:
            for piece in turn.chunks():
                said += piece
                yield piece
        finally:
            if said:
                log.add("assistant", said)


class SavesAlwaysAsync(SavesAtTheEnd):
    """The same as an async generator."""

    async def turn(self, log, turn):
        """Show, and save in any case."""
        log.add("user", turn.text)
        said = ""
        try:
            async for piece in turn.achunks():
                said += piece
                yield piece
        finally:
            if said:
                log.add("assistant", said)


class SavesAlwaysCallback(SavesAtTheEnd):
    """The same as a function that shows text in a callback."""

    def turn(self, log, turn):
        """Show, and save in any case."""
        log.add("user", turn.text)
        said = ""
        try:
            for piece in turn.chunks():
                turn.deliver(piece)
                said += piece
        finally:
            if said:
                log.add("assistant", said)


class SavesAlwaysTask(SavesAtTheEnd):
    """The same as a coroutine, which is cancelled when the user stops it."""

    async def turn(self, log, turn):
        """Show, and save in any case."""
        log.add("user", turn.text)
        said = ""
        try:
            async for piece in turn.achunks():
                turn.deliver(piece)
                said += piece
        finally:
            if said:
                log.add("assistant", said)


class SavesAtTheEndTask(SavesAtTheEnd):
    """The naive one as a coroutine: a cancelled task saves nothing."""

    async def turn(self, log, turn):
        """Show, then save."""
        log.add("user", turn.text)
        said = ""
        async for piece in turn.achunks():
            turn.deliver(piece)
            said += piece
        log.add("assistant", said)


class AsksOverHttp(SavesAlways):
    """The repaired one with a model that it reaches over HTTP."""

    def open(self, world):
        """The log, and a client."""
        log = super().open(world)
        log.client = world.provider.client("httpx")
        return log

    def turn(self, log, turn):
        """Ask, show, and save in any case."""
        log.add("user", turn.text)
        said = ""
        body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": turn.text}]}
        try:
            with log.client.stream("POST", "/chat/completions", json=body) as answer:
                for line in answer.iter_lines():
                    if line.startswith("data: {"):
                        choices = json.loads(line[6:])["choices"]
                        piece = choices[0]["delta"].get("content") if choices else None
                        if piece:
                            said += piece
                            yield piece
        finally:
            if said:
                log.add("assistant", said)


class SavesLate(SavesAtTheEnd):
    """Saves both messages when the reply is whole: a crash takes the input that was accepted."""

    def turn(self, log, turn):
        """Show, then save both."""
        said = ""
        try:
            for piece in turn.chunks():
                said += piece
                yield piece
        finally:
            log.add("user", turn.text)
            if said:
                log.add("assistant", said)


class SavesTwice(SavesAtTheEnd):
    """Saves what was shown, and the whole reply once more when it is there."""

    def turn(self, log, turn):
        """Save at each piece."""
        log.add("user", turn.text)
        said = ""
        for piece in turn.chunks():
            said += piece
            log.add("assistant", said)
            yield piece


class PromisesAtOnce(SavesAlways):
    """Claims that shown text survives a kill, and saves it at the end."""

    promise = Promise(delivered="process-kill")


class CannotBeStopped(SavesAlways):
    """Goes on talking when it is stopped."""

    def turn(self, log, turn):
        """Ignore the end."""
        pieces = super().turn(log, turn)
        for piece in pieces:
            try:
                yield piece
            except GeneratorExit:
                pieces.close()
                yield "and another thing"


class LeavesNotices(SavesAlways):
    """Leaves a row of its own about a turn that broke."""

    def turn(self, log, turn):
        """Show, save, and tell."""
        whole = False
        try:
            yield from super().turn(log, turn)
            whole = True
        finally:
            if not whole:
                log.add("user", "[the reply was interrupted]")


class YieldsBytes(SavesAlways):
    """A wrong adapter: what it yields is no text."""

    def turn(self, log, turn):
        """Yield bytes."""
        del log
        for piece in turn.chunks():
            yield piece.encode()
