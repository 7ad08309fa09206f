"""A real process is the last word on what a kill does, and the only cell for stores that keep state in modules.

Rule: a child is forked, runs one function, sends its result back and ends by `os._exit`, so no `finally` of the parent
runs in it. POSIX only; the parent must not run threads of its own that hold locks.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pytest_durability.errors import UnsupportedError

KILLED = 137
"""Exit status of a child that was killed at an operation (128 + SIGKILL, as a shell would show it)."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child ended: its exit status, and the value or the exception it sent (None if it was killed before)."""

    status: int
    value: Any = None
    error: BaseException | None = None

    @property
    def killed(self) -> bool:
        """Whether it ended by `kill_now`."""
        return self.status == KILLED


def kill_now() -> None:
    """End this process at once: no `finally`, no `atexit`, no flush."""
    os._exit(KILLED)


def supported() -> bool:
    """Whether this platform can fork."""
    return hasattr(os, "fork")


def in_child(function: Callable[..., Any], *args: Any, seconds: int = 60) -> Ended:
    """Run a function in a forked child and wait for it; a child that takes longer than `seconds` is ended.

    Raises:
        UnsupportedError: the platform cannot fork.
    """
    if not supported():
        raise UnsupportedError(
            f"process isolation needs fork, which {sys.platform} does not have",
            why="the store has to start from the same memory in every process",
            fix='use isolation="same", or run on Linux or macOS',
        )
    reader, writer = os.pipe()
    pid = _fork()
    if pid == 0:
        _child(reader, writer, function, args, seconds)
    os.close(writer)
    data = _read_all(reader)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if not data or status < 0:  # killed, perhaps in the middle of its answer
        return Ended(status)
    value, error = pickle.loads(data)  # noqa: S301  written by our own child
    return Ended(status, value, error)


def _fork() -> int:
    """Fork; Python's warning about threads is answered here: the child runs one function and ends by `os._exit`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


Run = Callable[..., Any]
"""How to run one life of a store: `run_here`, or `run_apart` in a process of its own."""


def run_here(function: Callable[..., Any], *args: Any) -> Any:
    """Call the function in this process."""
    return function(*args)


def run_apart(function: Callable[..., Any], *args: Any) -> Any:
    """Call the function in a forked child; its value or its exception comes back.

    Raises:
        UnsupportedError: the platform cannot fork, or the child died without an answer.
    """
    ended = in_child(function, *args)
    if ended.error is not None:
        raise ended.error
    if ended.status != 0:
        raise UnsupportedError(
            f"a process of the store ended with status {ended.status} and gave no answer",
            why="nothing is known about the state it was to open",
            fix="a negative status is a signal (-14: it took more than a minute); run the store by itself to see why",
        )
    return ended.value


def _child(reader: int, writer: int, function: Callable[..., Any], args: tuple[Any, ...], seconds: int) -> None:
    status = 0
    try:
        os.close(reader)
        with suppress(ValueError):
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(seconds)
        try:
            answer: tuple[Any, BaseException | None] = (function(*args), None)
        except BaseException as error:  # noqa: BLE001  everything that happened must reach the parent
            answer, status = (None, error), 1
        _send(writer, answer)
    finally:
        os._exit(status)


def _send(writer: int, answer: tuple[Any, BaseException | None]) -> None:
    try:
        data = pickle.dumps(answer)
        pickle.loads(data)  # noqa: S301  an exception may pickle and yet not load
    except Exception as error:  # noqa: BLE001  what cannot travel is told by its text
        told = error if answer[1] is None else answer[1]
        data = pickle.dumps((None, RuntimeError(f"{type(told).__name__}: {told}")))
    done = 0
    while done < len(data):
        done += os.write(writer, data[done:])


def _read_all(reader: int) -> bytes:
    chunks = []
    while chunk := os.read(reader, 1 << 20):
        chunks.append(chunk)
    os.close(reader)
    return b"".join(chunks)
