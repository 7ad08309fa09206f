"""Two processes on one session share nothing but its files, so what goes wrong between them is tried with two real processes.

Rule: each process runs until it is about to do the operation that was named, and stands there until it is told to go on; who goes
first is said by the test and never left to luck. Nothing is patched: Python itself announces files, names, locks and databases
(audit events). What a process does between two of its stops, it does undisturbed.
"""

from __future__ import annotations

import os
import pickle
import select
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self

from pytest_durability.errors import UnsupportedError, UsageError
from pytest_durability.faults import Place, role_of
from pytest_durability.world.disk.calls import CALLS
from pytest_durability.world.process import supported

KINDS = ("open", "write", "rename", "unlink", "mkdir", "rmdir", "truncate", "lock", "connect", "mark")
"""Where a process can be stopped: `open` is one for reading, `write` one for writing (it may create the file), `mark` a call of `mark`."""

_SECONDS = 30
_STILL = 0.05
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_EVENTS = {
    "os.rename": "rename",
    "os.remove": "unlink",
    "os.mkdir": "mkdir",
    "os.rmdir": "rmdir",
    "os.truncate": "truncate",
    "fcntl.flock": "lock",
    "fcntl.lockf": "lock",
    "sqlite3.connect": "connect",
}


@dataclass(frozen=True, slots=True)
class Stood:
    """Why a process does not run: it is `at` a place, it is `blocked` (it waits for another one), or it is over.

    `value` and `error`: what its function returned or raised; `killed`: it was killed before.
    """

    at: str = ""
    blocked: bool = False
    over: bool = False
    value: Any = None
    error: BaseException | None = None
    killed: bool = False


class Processes:
    """Some functions, each in a forked process of its own; a context manager, which at its end kills who is left.

    `root`: operations below it are places to stop, named as in faults: `rename:session.json:1`.
    """

    def __init__(self, root: str | os.PathLike[str], *functions: Callable[[], Any]) -> None:
        self._root = os.path.realpath(root)
        self._functions = functions
        self._others: list[_Other] = []

    def __enter__(self) -> Self:
        if not supported():
            raise UnsupportedError(
                f"two processes need fork, which {sys.platform} does not have",
                why="both have to start with the same store, opened or not",
                fix="run on Linux or macOS",
            )
        for function in self._functions:
            self._others.append(_Other.start(self._root, function, self._others))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        while self._others:
            self._others.pop().end()

    def run(self, number: int, *, until: str = "") -> Stood:
        """Let a process go on until it is about to do what `until` names (counted from its start), else to its end.

        A process that stands still, because another one holds what it needs, is `blocked`; it goes on by itself when it can.

        Raises:
            UsageError: `until` is no place.
        """
        place = Place.parse(until) if until else None
        if place is not None and place.kind not in KINDS:
            raise UsageError(f"a process cannot be stopped at {until!r}", fix=f"choose a kind from: {', '.join(KINDS)}")
        return self._others[number].run(until)

    def kill(self, number: int) -> Stood:
        """Kill a process where it stands; it does nothing more, and its locks are gone."""
        return self._others[number].kill()


class _Other:
    """One process as the test sees it."""

    def __init__(self, pid: int, orders: int, answers: int) -> None:
        self.pid, self.orders, self.answers = pid, orders, answers
        self.stood = Stood()
        self._waiting = False

    @classmethod
    def start(cls, root: str, function: Callable[[], Any], others: Sequence[_Other]) -> _Other:
        theirs, orders = os.pipe()
        answers, mine = os.pipe()
        pid = os.fork()
        if pid == 0:
            for fd in (orders, answers, *(fd for other in others for fd in (other.orders, other.answers))):
                os.close(fd)
            _child(root, function, theirs, mine)
        os.close(theirs)
        os.close(mine)
        return cls(pid, orders, answers)

    def run(self, until: str) -> Stood:
        if self.stood.over:
            return self.stood
        if not self._waiting:
            _send(self.orders, until)
        self.stood = self._hear()
        self._waiting = self.stood.blocked
        return self.stood

    def kill(self) -> Stood:
        if not self.stood.over:
            os.kill(self.pid, signal.SIGKILL)
            self.stood = self._hear()
        return self.stood

    def end(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(self.pid, 0)
        os.close(self.orders)
        os.close(self.answers)

    def _hear(self) -> Stood:
        """Its next answer; it is blocked if it sleeps and uses no time, as often as it is looked at."""
        before = ""
        while not select.select([self.answers], [], [], _STILL)[0]:
            now = _asleep(self.pid)
            if now and now == before:
                return Stood(blocked=True)
            before = now
        told = _receive(self.answers)
        return Stood(over=True, killed=True) if told is None else told


def mark(name: str) -> None:
    """For stores and tests: a place to stop at, `mark:<name>:1`. Outside of `Processes` it does nothing."""
    if _stopper:
        _stopper[0].reached("mark", name)


class _Stopper:
    """In the process: counts its operations, and stands at the one that was named."""

    def __init__(self, root: str, orders: int, answers: int) -> None:
        self._root, self._orders, self._answers = root, orders, answers
        self._counts: dict[str, int] = {}
        self._until: Place | None = None
        self._busy = False

    def rest(self) -> None:
        """Listen no longer."""
        self._busy = True

    def obey(self) -> None:
        """Wait for the next order: a place to stop at, or none."""
        text = _receive(self._orders)
        if text is None:
            os._exit(1)  # the test is over
        self._until = Place.parse(text) if text else None

    def heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        """An audit event; must be quick, because it is every one of this process."""
        kind = _EVENTS.get(event)
        if self._busy or (kind is None and event != "open"):
            return
        path = arguments[0]
        if event == "open":
            flags = arguments[2] if len(arguments) > 2 and isinstance(arguments[2], int) else 0  # noqa: PLR2004
            kind = "write" if flags & _WRITING else "open"
        if kind == "lock" and isinstance(path, int):
            path = os.readlink(f"/proc/self/fd/{path}") if os.path.isdir("/proc/self/fd") else ""
        if kind is not None and isinstance(path, (str, bytes, os.PathLike)):
            full = os.path.abspath(os.fsdecode(path))
            if full.startswith(self._root + os.sep):
                self.reached(kind, os.path.relpath(full, self._root))

    def reached(self, kind: str, path: str) -> None:
        """About to do this."""
        self._busy = True
        try:
            for kinds, role in ((kind, role_of(path)), (kind, "*")):
                self._counts[f"{kinds}:{role}"] = self._counts.get(f"{kinds}:{role}", 0) + 1
            until = self._until
            if until is not None and until.covers(kind, role_of(path)):
                counted = self._counts[f"{kind}:{'*' if until.role == '*' else role_of(path)}"]
                if counted == until.nth:
                    _send(self._answers, Stood(at=f"{kind}:{path}:{until.nth}"))
                    self.obey()
        finally:
            self._busy = False


_stopper: list[_Stopper] = []


def _child(root: str, function: Callable[[], Any], orders: int, answers: int) -> NoReturn:
    status = 1
    try:
        CALLS.handler = CALLS.reader = None  # a recorder of the parent would record into a copy that nobody reads
        with suppress(ValueError):
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(_SECONDS)
        stopper = _Stopper(root, orders, answers)
        _stopper[:] = [stopper]
        stopper.obey()
        sys.addaudithook(stopper.heard)
        try:
            stood = Stood(over=True, value=function())
        except BaseException as error:  # noqa: BLE001  everything that happened must reach the test
            stood = Stood(over=True, error=error)
        stopper.rest()
        _send(answers, stood)
        status = 0
    finally:
        os._exit(status)


def _send(fd: int, value: Any) -> None:
    try:
        data = pickle.dumps(value)
        pickle.loads(data)  # noqa: S301  an exception may pickle and yet not load
    except Exception as error:  # noqa: BLE001  what cannot travel is told by its text
        told = getattr(value, "error", None) or error
        data = pickle.dumps(Stood(over=True, error=RuntimeError(f"{type(told).__name__}: {told}")))
    data = len(data).to_bytes(8, "big") + data
    while data:
        data = data[os.write(fd, data) :]


def _receive(fd: int) -> Any:
    """What the other side sent; None if it is gone."""
    size = _exactly(fd, 8)
    data = _exactly(fd, int.from_bytes(size, "big")) if size else b""
    return pickle.loads(data) if data else None  # noqa: S301  written by our own process


def _exactly(fd: int, count: int) -> bytes:
    parts: list[bytes] = []
    while count:
        part = os.read(fd, count)
        if not part:
            return b""
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def _asleep(pid: int) -> str:
    """A text that stays the same as long as a process sleeps without using time; "" if it does not sleep, or nobody can tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    except OSError:
        return ""
    return " ".join((fields[0], *fields[11:13])) if fields[0] == "S" else ""
