"""Real processes: what they answer, how they end, and that nothing of the parent runs in them."""

from __future__ import annotations

import os
import signal
from functools import partial

import pytest

from pytest_durability.errors import UnsupportedError, UsageError
from pytest_durability.verdict import Duplicate
from pytest_durability.world.process import KILLED, in_child, kill_now, run_apart, run_here

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def fails(error):
    """Raise the error."""
    raise error


class Unsendable(Exception):
    """An exception that pickles and does not load."""

    def __init__(self, one, two):
        super().__init__(f"{one}{two}")


@pytest.mark.parametrize("run", [run_here, run_apart])
def test_the_value_comes_back(run):
    """Here and apart the answer is the same, of any size."""
    assert run(divmod, 7, 2) == (3, 1)
    assert run(partial(bytes, 3_000_000)) == bytes(3_000_000)
    assert run(lambda: None) is None


@pytest.mark.parametrize("run", [run_here, run_apart])
@pytest.mark.parametrize(
    "error",
    [ValueError("x"), UsageError("what", why="why", fix="fix"), Duplicate("u1 twice", witnesses=[3]), SystemExit(3)],
    ids=repr,
)
def test_the_exception_comes_back(run, error):
    """With type, text and attributes, also those that end a program."""
    with pytest.raises(type(error)) as caught:
        run(fails, error)
    assert str(caught.value) == str(error)
    assert getattr(caught.value, "witnesses", ()) == getattr(error, "witnesses", ())


def test_what_cannot_travel_is_told_by_its_text():
    """An exception that does not load, and a value that does not pickle, name themselves."""
    with pytest.raises(RuntimeError, match="Unsendable: ab"):
        run_apart(lambda: fails(Unsendable("a", "b")))
    with pytest.raises(RuntimeError, match=r"(?i)pickle"):
        run_apart(lambda: (_ for _ in ()))


def test_memory_is_not_shared():
    """What the child changes stays in the child."""
    seen = []
    assert run_apart(lambda: seen.append(1) or len(seen)) == 1
    assert seen == []


def test_a_kill_runs_nothing(tmp_path):
    """No `finally`, no flush: what sits in a buffer is lost."""

    def work():
        try:
            file = open(tmp_path / "f", "w")
            file.write("buffered")
            kill_now()
        finally:
            (tmp_path / "finally").touch()

    ended = in_child(work)
    assert (ended.status, ended.killed, ended.value, ended.error) == (KILLED, True, None, None)
    assert (tmp_path / "f").read_text() == ""
    assert not (tmp_path / "finally").exists()


@pytest.mark.parametrize(("end", "status"), [(lambda: os._exit(7), 7), (lambda: os.kill(os.getpid(), signal.SIGKILL), -9)])
def test_a_death_without_an_answer_is_told(end, status):
    """By its status; as a value it would be taken for `None`."""
    ended = in_child(end)
    assert (ended.status, ended.killed) == (status, False)
    with pytest.raises(UnsupportedError, match=f"status {status} "):
        run_apart(end)


def test_an_answer_that_was_cut_off_is_no_answer():
    """Killed in the middle of sending: half a pickle is not read."""
    real = os.write

    def work():
        os.write = lambda fd, data: real(fd, data[: len(data) // 2]) and os.kill(os.getpid(), signal.SIGKILL)
        return "a long answer"

    ended = in_child(work)
    assert (ended.status, ended.value, ended.error) == (-9, None, None)


def test_a_child_that_hangs_is_ended():
    """After its time the alarm of the system ends it."""
    assert in_child(signal.pause, seconds=1).status == -signal.SIGALRM


def test_no_descriptors_are_left(tmp_path):
    """Thousands of children are started from one process."""
    before = os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else []
    for _ in range(3):
        in_child(kill_now)
        run_apart(int)
    assert (os.listdir("/proc/self/fd") if before else []) == before
