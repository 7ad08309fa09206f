"""A conversation told by processes that die: at every file operation, at every statement, after every piece that was shown."""

from __future__ import annotations

import json
import os
from itertools import count
from pathlib import Path

from reference_impl.durable import Durable
from tests.reference_impl.transcript.helpers import calls, cut_after, opened, says

KILLED = 9


class Killer:
    """Counts what happens, and ends the process at a given count, without a goodbye."""

    def __init__(self, at):
        self.left = at

    def __call__(self):
        self.left -= 1
        if self.left == 0:
            os._exit(KILLED)


class Deadly:
    """A disk whose next operation may be the one that the process does not live to see."""

    level, patience = "process-kill", 0

    def __init__(self, kill):
        self.real, self.kill = Durable(self.level, self.patience), kill

    def __getattr__(self, name):
        method = getattr(self.real, name)

        def call(*args):
            self.kill()
            return method(*args)

        return call


def story(home, kill):
    """A conversation with everything in it; what was accepted and what was shown is noted outside, at once."""
    notes = os.open(f"{home}.notes", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def note(**what):
        os.write(notes, json.dumps(what).encode() + b"\n")

    def watch(stream, name):
        for piece in stream:
            note(shown=piece, turn=name)
            kill()
            yield piece

    def begin(text):
        turn = agent.begin(text)
        note(accepted=text)
        return turn

    numbers = count(1)
    agent = opened(home, disk=Deadly(kill), ids=lambda: f"dead-{next(numbers)}")
    with agent.database.reading() as sql:
        sql.set_trace_callback(lambda statement: None if statement.lstrip()[:6] in ("SELECT", "PRAGMA", "WITH R") else kill())
    list(watch(begin("<q1>").run(calls("c", before="<a1>", then=("<b1>", "<b2>"))), "<q1>"))
    list(watch(begin("<q2>").run(cut_after("<a2>", "<a3>")), "<q2>"))
    agent.split(2, lambda old: "before")
    one, two = [watch(begin(f"<q{n}>").run(says(f"<x{n}>", f"<y{n}>")), f"<q{n}>") for n in (3, 4)]
    next(one)
    list(two)
    one.close()
    agent.close()


def all_stories(folder):
    """Tell the story once per kill point, each time in a forked process; the number of kill points."""
    number = 0
    while True:
        number += 1
        child = os.fork()
        if not child:
            story(Path(folder, str(number)), Killer(number))
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code not in (0, KILLED):
            raise SystemExit(f"story {number} ended with {code}")
        if code == 0:
            return number
