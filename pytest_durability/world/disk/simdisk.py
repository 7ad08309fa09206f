"""The disk of a hand-written test: what was recorded, what a crash may leave, and the faults to stage.

Rule: everything it mounts is a state that the named persistence model can really leave; it judges nothing.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_durability.errors import UsageError
from pytest_durability.history import History, Lane, Op
from pytest_durability.persistence import model as model_named
from pytest_durability.verdict import Loss, VacuousRun
from pytest_durability.world.disk.calls import CALLS
from pytest_durability.world.disk.image import Image
from pytest_durability.world.disk.injection import Injection, Injections, Match
from pytest_durability.world.disk.recorder import Recorder
from pytest_durability.world.disk.states import Log, State, build, walk
from pytest_durability.world.disk.verify import verify

if TYPE_CHECKING:
    from pytest_durability.world.arena import Arena


class CrashState:
    """One disk content that a crash may leave: `first` to `last` are the crash points (op numbers) at which it may.

    `losses` says which operations it lost, and why losing them is legal; `files` maps relative paths to bytes.
    """

    __slots__ = ("_cut", "_disk", "_point", "first", "last", "model")

    def __init__(self, disk: SimDisk, model: str, cut: State, point: int | None = None) -> None:
        self._disk, self._cut, self._point = disk, cut, point
        self.model, self.first, self.last = model, cut.first, cut.last

    @property
    def losses(self) -> tuple[Loss, ...]:
        """The operations whose effect is missing, compared with everything done by the crash."""
        return tuple(self._cut.losses(self._point))

    @property
    def files(self) -> dict[str, bytes]:
        """Relative path -> content."""
        return self._cut.image().data()

    @contextmanager
    def mounted(self) -> Iterator[Path]:
        """Put this state at the path of the world's root, in new inodes, until the block ends."""
        with self._disk.showing(self._cut.image()) as root:
            yield root

    def __repr__(self) -> str:
        lost = "; ".join(f"op {loss.seq} {loss.what}" for loss in self.losses) or "nothing"
        return f"<CrashState {self.model}, crash after op {self.first}..{self.last}, lost: {lost}>"


class SimDisk:
    """`world.disk`."""

    def __init__(self, arena: Arena, history: History) -> None:
        self._arena, self._history = arena, history
        self._injections = Injections()
        self._initial: Image = arena.blank
        self._base = 0
        self._recorder = self._recorder_for(arena.blank)

    @property
    def ops(self) -> list[Op]:
        """The recorded disk operations, in order."""
        return self._history.lane(Lane.DISK)

    @property
    def sqlite(self) -> str:
        """How SQLite's own writes are seen (`patch` or `register`, and its version), or why they are not."""
        tap = CALLS.sqlite
        return f"not seen: {CALLS.sqlite_unseen}" if tap is None else tap.describe()

    def lock(self, name: str, *, begin: str = "IMMEDIATE") -> AbstractContextManager[None]:
        """Hold the write lock of the SQLite database `name` by a second connection, until the block ends; waiting takes no time."""
        from pytest_durability.world.disk.sqlite.locks import holding

        return holding(self._arena.root / name, begin=begin)

    def verify(self) -> None:
        """Check that replaying the log gives the live directory.

        Raises:
            RecorderError: something wrote past the recorder; the message names the files.
        """
        verify(self._recorder)

    def crash_states(self, model: str, *, limit: int | None = None) -> Iterator[CrashState]:
        """The distinct contents that a crash at any moment so far may leave, fewest losses first within each moment.

        Raises:
            UsageError: there is no such model.
        """
        seen: set[object] = set()
        for cut in walk(self._log(model), lagging=2, versions=4):
            if cut.content not in seen:
                seen.add(cut.content)
                yield CrashState(self, model, cut)
                if limit is not None and len(seen) >= limit:
                    return

    def crash(self, model: str = "process-kill", *, lose: str | Sequence[str] | None = None) -> CrashState:
        """Crash now and mount one surviving state; what the test still holds of the store is dead from here on.

        `lose`: patterns of files whose unsynced operations are lost, nothing else; None: the most that the model can take.

        Raises:
            UsageError: the model cannot lose anything of these files at this moment.
        """
        self._recorder.kill()
        self._recorder.stop()
        now = len(self._history)
        cut = self._surviving(model, now, lose)
        state = CrashState(self, model, cut, now)
        image = cut.image()
        lost = state.losses
        self._arena.mount(image)
        note = "; ".join(f"op {loss.seq} {loss.what}" for loss in lost)
        self._history.add(Lane.DISK, "crash", model, note=f"lost: {note}" if note else "")
        self._initial, self._base = image, len(self._history)
        self._recorder = self._recorder_for(image)
        self._recorder.start()
        return state

    def lose_write(self, match: Match, *, whole_save: bool = True) -> Injection:
        """The next write to a matching file is acknowledged and never stored (by default its whole save)."""
        return self._injections.lose(match, whole_save=whole_save)

    def tear_write(self, match: Match, *, keep: int = 0) -> Injection:
        """A crash keeps only the first `keep` bytes of the next write to a matching file."""
        return self._injections.tear(match, keep)

    def fail(self, op: str, match: Match = "*", error: str = "EIO") -> Injection:
        """The next `op` (write, fsync, rename, create ..., or open, read, list, lock) on a matching file raises OSError with this errno name.

        An `open`, `read` or `list` is one of what is there; what is absent is answered by the system and goes on waiting.
        """
        return self._injections.fail(op, match, error)

    def fill(self, bytes_left: int | None = 0) -> None:
        """Make the disk full after so many more bytes: a short write, then ENOSPC. None: room again."""
        self._injections.fill(bytes_left)

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Record until the block ends; then the store is dead.

        Raises:
            VacuousRun: a fault was asked for and never struck.
        """
        self._recorder.start()
        try:
            yield
        finally:
            self._recorder.kill()
            self._recorder.stop()
        idle = self._injections.idle()
        if idle:
            raise VacuousRun(
                f"{idle[0]} never struck",
                because=(*(f"{what} waited for an operation that the store never did" for what in idle),),
            )

    @contextmanager
    def showing(self, image: Image) -> Iterator[Path]:
        """Show another image at the root's path for a while; what is opened there dies at the end."""
        self._recorder.stop()
        guest = Recorder(self._arena.root, History(), image)
        try:
            with self._arena.aside():
                self._arena.mount(image)
                guest.start()
                try:
                    yield self._arena.home
                finally:
                    guest.kill()
                    guest.stop()
        finally:
            self._recorder.start()

    def _recorder_for(self, image: Image) -> Recorder:
        return Recorder(self._arena.root, self._history, image, gate=self._injections)

    def _log(self, name: str) -> Log:
        ops = self._injections.overlay(self._history[self._base :])
        return build(self._initial, ops, model_named(name))

    def _surviving(self, model: str, now: int, lose: str | Sequence[str] | None) -> State:
        patterns = (lose,) if isinstance(lose, str) else tuple(lose or ())
        best: tuple[int, State] | None = None
        for cut in walk(self._log(model), lagging=2, versions=4):
            if not cut.first <= now <= cut.last:
                continue
            lost = list(cut.losses(now))
            if patterns and not (lost and all(_matches(loss, patterns) for loss in lost)):
                continue
            if best is None or len(lost) > best[0]:
                best = (len(lost), cut)
        if best is None:
            raise UsageError(
                f"a crash under {model} cannot lose {', '.join(patterns)} here",
                why="everything on these files is durable already, or cannot be lost without losing something else",
                fix="look at world.disk.crash_states(model) for what can be lost",
            )
        return best[1]


def _matches(loss: Loss, patterns: Sequence[str]) -> bool:
    words = loss.what.split()
    return any(
        fnmatch.fnmatchcase(word, pattern) or fnmatch.fnmatchcase(word.rpartition("/")[2], pattern)
        for word in words
        for pattern in patterns
    )
