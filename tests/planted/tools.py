"""Session stores whose turns call tools: sound ones, and ones with the bugs that agents have when a turn dies in a tool.

Rule: they differ in one decision each; a line of the file is one message with its calls, or one result with the call it answers.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
from contextlib import closing

from pytest_durability import Message
from tests.planted.streams import Log

CLOSING = "[the process ended before the tool answered]"


class Calls(Log):
    """The log, with calls and results in its lines."""

    def add(self, role, text, calls=(), answers=None):
        """One more line, synced."""
        data = self.path.read_bytes() if self.path.exists() else b""
        if not data.endswith(b"\n") and data:
            os.truncate(self.path, data.rfind(b"\n") + 1)
        with open(self.path, "a") as file:
            file.write(json.dumps([role, text, list(calls), answers]) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def waiting(self):
        """The calls without a result."""
        rows = self.rows()
        answered = {row[3] for row in rows}
        return [call for row in rows for call in row[2] if call not in answered]


class RunsTools:
    """Saves each reply with its calls, then runs them, then saves each result; what a dead process left open is closed."""

    tools = True

    def open(self, world):
        """The log of the session."""
        return Calls(world.root / world.session)

    def begin(self, log, turn):
        """What comes before the user's message."""
        del turn
        for call in log.waiting():
            log.add("tool", CLOSING, answers=call)

    def save(self, log, said, calls):
        """One reply."""
        if said:
            log.add("assistant", said, [call.id for call in calls])

    def use(self, log, turn, call):
        """Run a tool."""
        log.add("tool", turn.effect(call.id), answers=call.id)

    def turn(self, log, turn):
        """Ask, show, run the tools, and ask again until the model calls none."""
        self.begin(log, turn)
        log.add("user", turn.text)
        while True:
            said = ""
            try:
                for piece in turn.chunks():
                    said += piece
                    yield piece
            finally:
                self.save(log, said, turn.calls)
            if not turn.calls:
                return
            for call in turn.calls:
                self.use(log, turn, call)

    def transcript(self, log):
        """Everything."""
        return [Message(role, text, None, tuple(calls), answers) for role, text, calls, answers in log.rows()]


class ClosesInRequest(RunsTools):
    """Keeps an open call open, and answers it in the request only."""

    def begin(self, log, turn):
        """Nothing is written."""

    def request(self, log):
        """The body that is sent, in which every call is answered behind the message that made it."""
        rows = log.rows()
        results = {row[3]: row[1] for row in rows}
        messages = []
        for role, text, calls, answers in rows:
            if answers is None:
                made = [{"id": c, "type": "function", "function": {"name": "act", "arguments": "{}"}} for c in calls]
                messages.append({"role": role, "content": text, **({"tool_calls": made} if made else {})})
                messages += [{"role": "tool", "tool_call_id": c, "content": results.get(c, CLOSING)} for c in calls]
        return {"model": "m", "messages": [*messages, {"role": "user", "content": "go on"}]}


class LeavesCallsOpen(RunsTools):
    """Goes on behind a call that nobody answered."""

    def begin(self, log, turn):
        """Nothing is closed."""


class SendsOpenCalls(ClosesInRequest):
    """Shows the request, which is the rows as they are."""

    def request(self, log):
        """The rows."""
        messages = []
        for role, text, calls, answers in log.rows():
            made = [{"id": c, "type": "function", "function": {"name": "act", "arguments": "{}"}} for c in calls]
            answer = {"tool_call_id": answers} if answers is not None else {}
            messages.append({"role": role, "content": text, **({"tool_calls": made} if made else {}), **answer})
        return {"model": "m", "messages": [*messages, {"role": "user", "content": "go on"}]}


class ForgetsCalls(RunsTools):
    """Saves the words of a reply and not its calls, so that results answer nothing."""

    def save(self, log, said, calls):
        """The words."""
        super().save(log, said, ())


class ForgetsResults(RunsTools):
    """Gives the result to the model and does not save it."""

    def use(self, log, turn, call):
        """Run a tool."""
        turn.effect(call.id)


class RunsUnfinished(RunsTools):
    """Takes a turn that ended with a result for one that never ran its tool, and runs it again."""

    def begin(self, log, turn):
        """Do again what was done last."""
        super().begin(log, turn)
        rows = log.rows()
        if rows and rows[-1][3] is not None and rows[-1][1] != CLOSING:
            turn.effect(rows[-1][3])


class RunsUnrecorded(RunsTools):
    """Runs a call again that has no result: nobody can know whether it had its effect, so that is no bug."""

    def begin(self, log, turn):
        """Do what was not done, or not recorded."""
        for call in log.waiting():
            log.add("tool", turn.effect(call) or CLOSING, answers=call)


class RunsAllAgain(RunsTools):
    """Replays the conversation into every turn, tools and all."""

    def begin(self, log, turn):
        """Everything once more."""
        super().begin(log, turn)
        for row in log.rows():
            for call in row[2]:
                turn.effect(call)


class NeedsAnswers(LeavesCallsOpen):
    """Refuses to go on behind an open call, and closes none: the session is stuck."""

    def turn(self, log, turn):
        """Look first."""
        if log.waiting():
            raise ValueError(f"call {log.waiting()[0]} has no result")
        yield from super().turn(log, turn)


class Both(Calls):
    """The log, and a database of the same messages."""

    def __init__(self, folder):
        super().__init__(folder)
        self.db = sqlite3.connect(folder / "messages.db", isolation_level=None)
        self.db.execute("PRAGMA journal_mode=WAL")
        self.db.execute("CREATE TABLE IF NOT EXISTS messages (id INTEGER PRIMARY KEY, role, text, calls, answers)")

    def __del__(self):
        self.db.close()

    def missing(self):
        """The lines of the log behind the last one that the database has."""
        return self.rows()[self.db.execute("SELECT count(*) FROM messages").fetchone()[0] :]

    def insert(self, role, text, calls, answers):
        """One row of the database."""
        values = (role, text, json.dumps(calls), answers)
        self.db.execute("INSERT INTO messages (role, text, calls, answers) VALUES (?, ?, ?, ?)", values)

    def add(self, role, text, calls=(), answers=None):
        """In both, or in neither: a database holds valid Unicode only."""
        text.encode()
        super().add(role, text, calls, answers)
        self.insert(role, text, list(calls), answers)


class TwoRecords(RunsTools):
    """A journal and a database of the same messages; what a crash between the two left out is added on the next open."""

    def open(self, world):
        """Both, in agreement."""
        log = Both(world.root / world.session)
        self.agree(log)
        return log

    def agree(self, log):
        """The journal is first, so the database may lack its end."""
        for row in log.missing():
            log.insert(*row)

    def transcript(self, log):
        """What the database has."""
        rows = log.db.execute("SELECT role, text, calls, answers FROM messages ORDER BY id")
        return [Message(role, text, None, tuple(json.loads(calls)), answers) for role, text, calls, answers in rows]

    def records(self, log):
        """What the journal has."""
        return {"journal": super().transcript(log)}


class NeverAgrees(TwoRecords):
    """Leaves the two as a crash between them left them."""

    def agree(self, log):
        """Nothing is compared."""


class AgreesOnCalls(TwoRecords):
    """Adds what the database lacks, without its calls."""

    def agree(self, log):
        """The words only."""
        for role, text, _, _ in log.missing():
            log.insert(role, text, [], None)


class TakesInput(RunsTools):
    """The user may say something while a tool runs: it is saved at once, and stands behind the results."""

    def append(self, log, message):
        """One more line."""
        log.add(message.role, message.text)

    def transcript(self, log):
        """Results stand right behind the message that called."""
        rows = super().transcript(log)
        for message in [row for row in rows if row.tool_call_id is not None]:
            call = next(at for at, row in enumerate(rows) if message.tool_call_id in row.tool_calls)
            rows.remove(message)
            rows.insert(call + 1, message)
        return rows


class TakesInputAsync(TakesInput):
    """The same with coroutines: the message comes in when the turn gives way."""

    async def append(self, log, message):
        """One more line."""
        super().append(log, message)

    async def turn(self, log, turn):
        """The same turn, piece by piece."""
        with closing(super().turn(log, turn)) as pieces:
            for piece in pieces:
                await asyncio.sleep(0)
                yield piece


class InterleavesInput(TakesInput):
    """What is said while a tool runs stands between the call and its result."""

    def transcript(self, log):
        """The lines as they came."""
        return RunsTools.transcript(self, log)


class QueuesInput(TakesInput):
    """What is said while a tool runs is in memory until the turn is over."""

    def open(self, world):
        """The log, and a queue."""
        log = super().open(world)
        log.busy, log.queue = False, []
        return log

    def append(self, log, message):
        """Now or later."""
        if log.busy:
            log.queue.append(message)
        else:
            super().append(log, message)

    def turn(self, log, turn):
        """The turn, then what waits."""
        log.busy = True
        yield from super().turn(log, turn)
        log.busy = False
        for message in log.queue:
            super().append(log, message)
        log.queue.clear()
