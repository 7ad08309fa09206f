"""Real processes that really die: at every file operation and every statement of a story, and between any two pieces of text."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from reference_impl.transcript.repair import provider_view
from tests.reference_impl.transcript.helpers import dump, opened, rows, said, talk
from tests.reference_impl.transcript.killing import KILLED
from tests.reference_impl.transcript.test_message_sequence_repair import strict

ROOT = str(Path(__file__).parent.parent.parent.parent)
START = f"""import os, sys
sys.path.insert(0, {ROOT!r})
from reference_impl.transcript import Agent
from tests.reference_impl.transcript.helpers import MOMENT, ids, opened, says
from tests.reference_impl.transcript.killing import all_stories
"""


def run(code, *args):
    """Run a program in an interpreter of its own."""
    return subprocess.run([sys.executable, "-c", START + code, *map(str, args)], capture_output=True, text=True, check=False)


def noted(home):
    """What the outside world knows: inputs that were accepted, pieces that were shown."""
    path = Path(f"{home}.notes")
    found = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [one["accepted"] for one in found if "accepted" in one], [one["shown"] for one in found if "shown" in one]


def judge(home):
    """A new process finds every accepted input and every shown piece, once, in whole turns; looking again changes nothing."""
    accepted, pieces = noted(home)
    with closing(opened(home)) as agent:
        everything = [*agent.archived(), *agent.messages]
        inputs = [m["content"] for m in everything if m["role"] == "user" and m.get("_synthetic") != "summary"]
        assert [text for text in inputs if text in accepted] == accepted
        assert len(inputs) - len(accepted) in (0, 1)  # one that was saved and not yet answered as accepted
        said_text = "".join(m["content"] for m in everything if m["role"] == "assistant")
        assert [said_text.count(piece) for piece in pieces] == [1] * len(pieces)
        strict([{**m, "content": m["content"] or "-"} for m in provider_view(agent.messages)])
        assert said(agent.messages) == said(agent.transcript())
    before = dump(home)
    with closing(opened(home)) as agent:
        assert not agent.report
    assert dump(home) == before
    assert rows(home, "SELECT 1 FROM messages WHERE active = 1 GROUP BY message_id HAVING count(*) > 1") == []
    with closing(opened(home)) as agent:
        assert talk(agent, "go on", "gladly") == "gladly"
    assert rows(home, "SELECT content FROM messages ORDER BY id DESC LIMIT 2") == [("gladly",), ("go on",)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a story is told in a forked process")
def test_no_kill_loses_or_doubles_anything(tmp_path):
    """Whatever the process was doing when it died: see `judge`."""
    ended = run("print(all_stories(sys.argv[1]))", tmp_path)
    assert ended.returncode == 0, ended.stderr
    points = int(ended.stdout)
    assert points > 80
    for number in range(1, points + 1):
        judge(tmp_path / str(number))


@pytest.mark.parametrize("pieces", [1, 2, 3])
def test_text_survives_the_death_of_the_process_that_showed_it(tmp_path, pieces):
    """What came out of a pipe is in the transcript; this needs no fork, and syncs as for a power cut."""
    code = f"""
agent = Agent(sys.argv[1], "s", clock=lambda: MOMENT, ids=ids)
agent.resume()
for n, piece in enumerate(agent.begin("hello").run(says("<1>", "<2>", "<3>", "<4>")), 1):
    print(piece, end="", flush=True)
    if n == {pieces}:
        os._exit({KILLED})
"""
    ended = run(code, tmp_path)
    assert ended.returncode == KILLED, ended.stderr
    assert ended.stdout == "<1><2><3><4>"[: 3 * pieces]
    with closing(opened(tmp_path)) as agent:
        assert said(agent.messages) == [("user", "hello"), ("assistant", ended.stdout)]
        assert agent.messages[1]["_interrupted"]


def test_the_lock_of_a_dead_process_is_free(tmp_path):
    """Nobody has to wait for it, and no clock decides."""
    ended = run(f'agent = opened(sys.argv[1])\nagent.begin("hello")\nos._exit({KILLED})', tmp_path)
    assert ended.returncode == KILLED, ended.stderr
    with closing(opened(tmp_path)) as agent:
        assert said(agent.messages) == [("user", "hello")]
