"""A crash can only be computed from what a program really did, so one recorder watches everything below one root.

Rule: an operation and its op are one step under one lock; nothing outside of the root is touched, slowed down much or
recorded; and after `kill` nothing of the dead process reaches the root any more.
"""

from __future__ import annotations

import errno as _errno
import os
import weakref
from _thread import RLock
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

from pytest_durability.errors import RecorderError
from pytest_durability.history import History, Lane, Outcome
from pytest_durability.world.disk import effects as fx
from pytest_durability.world.disk.calls import CALLS
from pytest_durability.world.disk.contents import Contents
from pytest_durability.world.disk.descriptors import Descriptors
from pytest_durability.world.disk.gate import Decision, Fail, Gate, Mark
from pytest_durability.world.disk.image import Image
from pytest_durability.world.disk.names import Names
from pytest_durability.world.disk.paths import Paths
from pytest_durability.world.disk.rawfile import RecordedFile, bury
from pytest_durability.world.disk.reads import Reads
from pytest_durability.world.disk.shut import Shut
from pytest_durability.world.disk.site import here
from pytest_durability.world.disk.tree import Tree

_REAL_ROOTS: dict[str, str] = {}
_MANY = 64


class Recorder:
    """Records what happens below `root` into `history`, one op per operation, with its effect.

    `initial` is what `root` holds now. `tree` is the live mirror. With `record=False` nothing is logged, but the gate
    is asked, the mirror kept and `kill` works. Use it as a context manager (`start`, `stop`) while `interposed()` is entered.
    """

    def __init__(
        self, root: str | os.PathLike[str], history: History, initial: Image, *, gate: Gate | None = None, record: bool = True
    ) -> None:
        self.root = _real_root(os.fspath(root))
        self.history = history
        self.gate = gate
        self.recording = record
        self.running = False
        self.lock = RLock()
        self.tree = Tree.from_image(initial)
        self.paths = Paths(self.root, self.tree)
        self.descriptors = Descriptors(self.paths, self.tree)
        self.escapes: list[str] = []
        self.contents = Contents(self)
        self.names = Names(self)
        self.reads = Reads(self)
        self._held: list[weakref.ref[Any]] = []

    def start(self) -> None:
        """Watch from now on.

        Raises:
            RecorderError: nothing is interposed, or another recorder is running.
        """
        if not CALLS.installed or CALLS.handler is not None:
            state = "another recorder is running" if CALLS.installed else "the file functions are not interposed"
            raise RecorderError(
                f"the recorder of {self.root} cannot start: {state}",
                why="operations would go unseen",
                fix="enter interposed() first, and stop one recorder before the next starts",
            )
        self.running = True
        CALLS.handler = self
        CALLS.reader = self if self.gate is not None else None
        if CALLS.sqlite is not None:
            CALLS.sqlite.begin()

    def stop(self) -> None:
        """Watch no longer; files that are open stay open and write unseen. Stopping twice is harmless."""
        with self.lock:
            self.running = False
            if CALLS.handler is self:
                CALLS.handler = CALLS.reader = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def kill(self) -> None:
        """The process dies: buffers are lost, descriptors are closed, and its objects can do no harm any more.

        Stops the recorder. Nothing is recorded for it: the closing is the kernel's, not the program's.
        """
        with self.lock:
            self.stop()
            for fd, reference in self.descriptors.owned.items():
                file = reference()
                if file is not None:
                    bury(file)
                    del self.descriptors.open[fd]
                    CALLS.dead.add(fd)
            self.descriptors.owned.clear()
            CALLS.dead.update(self.descriptors.close_all())
            for kept in self._held:
                other = kept()
                if isinstance(other, RecordedFile):
                    bury(other)
                elif other is not None:
                    other.close()
            self._held.clear()
            if CALLS.sqlite is not None:
                CALLS.sqlite.kill(self)

    def shut(self) -> bool:
        """Whether the root is gated shut at this moment."""
        handler = CALLS.handler
        return isinstance(handler, Shut) and handler.covers(self.root)

    def holds(self, file: Any) -> None:
        """Remember a file that only reads, or that has a number of another's, so that `kill` can end it too."""
        held = self._held
        if len(held) >= _MANY:
            held[:] = [kept for kept in held if (one := kept()) is not None and not one.closed]
        held.append(weakref.ref(file))

    def record(self, kind: str, ino: int, effect: fx.Effect, size: int = 0, note: str = "", depth: int = 3) -> None:
        """Log an op on file or directory `ino` and take its effect over into the tree. `depth`: see `site.here`."""
        tree = self.tree
        if self.recording:
            self.history.add(Lane.DISK, kind, tree.path_of(ino), size=size, site=here(depth), note=note, effect=effect)
        tree.apply(effect)

    def note(
        self, kind: str, ino: int, effect: fx.Sync | fx.SyncDir | fx.SyncAll | fx.Close, note: str = "", depth: int = 3
    ) -> None:
        """Log an op that changes nothing a program can read, so that the tree need not be told. `depth`: see `site.here`."""
        if self.recording:
            self.history.add(Lane.DISK, kind, self.tree.path_of(ino), site=here(depth), note=note, effect=effect)

    def record_at(self, kind: str, path: str, effect: fx.Effect, size: int = 0, note: str = "") -> None:
        """Log an op whose target is `path` and take its effect over into the tree."""
        if self.recording:
            self.history.add(Lane.DISK, kind, path, size=size, site=here(), note=note, effect=effect)
        self.tree.apply(effect)

    def failed(self, kind: str, path: str, error: OSError, size: int = 0) -> None:
        """Log an operation that the system, or the gate, refused."""
        if self.recording:
            note = _errno.errorcode.get(error.errno or 0, str(error.errno))
            self.history.add(Lane.DISK, kind, path, size=size, outcome=Outcome.FAILED, site=here(), note=note)

    def ask(self, kind: str, path: str, size: int, *names: Any) -> Decision | None:
        """Ask the gate about an operation; `names` are the path arguments as the program gave them, for the message.

        Raises:
            OSError: the gate decided so; the failed op is logged.
        """
        if self.gate is None:
            return None
        decision = self.gate.before(kind, path, size, self)
        if type(decision) is Fail:
            number = getattr(_errno, decision.error)
            extra = [names[0], None, names[1]] if len(names) > 1 else list(names)
            error = OSError(number, os.strerror(number), *extra)
            self.failed(kind, path, error, size)
            raise error
        return decision

    def wants(self, kind: str) -> bool:
        """Whether the gate is to be asked about reads of this kind."""
        return self.gate is not None and kind in getattr(self.gate, "reads", ())

    def ask_read(self, kind: str, path: str, *names: Any) -> None:
        """As `ask`, for an operation that changes nothing; if it passes, nothing is logged."""
        if self.wants(kind):
            self.ask(kind, path, 0, *names)

    @contextmanager
    def unasked(self) -> Iterator[None]:
        """While this lasts, the gate is left alone: what reads below the root is the harness."""
        with self.lock:
            gate, self.gate = self.gate, None
            try:
                yield
            finally:
                self.gate = gate

    def ask_note(self, kind: str, path: str, size: int = 0, *names: Any) -> str:
        """As `ask`, for operations that cannot be short: the note that the gate wants on the op."""
        decision = self.ask(kind, path, size, *names)
        return decision.note if type(decision) is Mark else ""


def _real_root(root: str) -> str:
    """The resolved root; kept, because thousands of recorders are started on the same path."""
    found = _REAL_ROOTS.get(root)
    if found is None:
        found = os.path.realpath(root)
        if os.path.isabs(root):
            _REAL_ROOTS[root] = found
    return found


__all__ = ["Decision", "Gate", "Recorder"]
