"""Two real processes on one session: serialised, never interleaved, and a dead one holds nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from reference_impl.durable import Durable, LockedError
from reference_impl.store import Session
from tests.reference_impl.helpers import filled, opened

ROOT = str(Path(__file__).parent.parent.parent)
START = f"import sys; sys.path.append({ROOT!r})\nfrom reference_impl.store import Draft, Session\nfrom reference_impl.durable import Durable\n"
APPEND = """
session = Session(sys.argv[1])
session.load()
print("ready", flush=True)
sys.stdin.readline()
for n in range(30):
    session.add_message(Draft.text("user", f"{sys.argv[2]}{n}", f"{sys.argv[2]}{n}"))
"""
COMMIT = """
session = Session(sys.argv[1])
session.load()
print("ready", flush=True)
sys.stdin.readline()
for n in range(15):
    session.add_message(Draft.text("user", f"{sys.argv[2]}{n}", f"{sys.argv[2]}{n}"))
    session.commit(n % 3)
"""
HOLD = """
with Durable().lock(sys.argv[1] + "/.lock"):
    print("ready", flush=True)
    sys.stdin.read()
"""


def start(code, path, name=""):
    """Run a program on the session, up to the line where it says that it is ready."""
    command = [sys.executable, "-c", START + code, str(path), name]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "ready\n"
    return child


def test_appends_and_commits_of_two_processes_lose_nothing(path):
    """Each message is there exactly once, each number was given once, and each process' own order is kept."""
    filled(path, "first")
    children = [start(APPEND, path, "a"), start(COMMIT, path, "c")]
    for child in children:
        child.stdin.write("go\n")
        child.stdin.flush()
    for child in children:
        child.communicate(timeout=60)
        assert child.returncode == 0
    session = opened(path)
    assert not session.last_report
    everything = sorted([*session.archived_messages(), *session.messages], key=lambda message: message.seq)
    assert sorted(m.id for m in everything) == sorted(["first", *[f"a{n}" for n in range(30)], *[f"c{n}" for n in range(15)]])
    assert [message.seq for message in everything] == list(range(1, 47))
    assert [m.id for m in everything if m.id.startswith("a")] == [f"a{n}" for n in range(30)]


def test_a_live_holder_is_never_robbed_and_a_dead_one_holds_nothing(path):
    """The lock is the kernel's: no clock frees it while its holder lives, and nothing keeps it when the holder is gone."""
    filled(path, "m1")
    child = start(HOLD, path)
    session = Session(path, disk=Durable(patience=0))
    with pytest.raises(LockedError, match=str(child.pid) if sys.platform == "linux" else "process"):
        session.load()
    child.kill()
    child.communicate(timeout=60)
    assert not session.load()
