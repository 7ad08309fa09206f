"""One directory in which a store lives, dies and is resurrected at the same path, thousands of times.

Rule: every mount makes new inodes, so that nothing a dead life of the store still holds reaches the living; objects of
dead lives are kept, and finalised with the root gated shut; everything that was changed in the process is put back.
"""

from __future__ import annotations

import atexit
import gc
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pytest_durability.errors import UsageError
from pytest_durability.world.disk.image import EMPTY, Image
from pytest_durability.world.disk.interpose import Interposition, interposed
from pytest_durability.world.entropy import Entropy

if TYPE_CHECKING:
    from pytest_durability.world.disk.fake.kernel import Kernel
    from pytest_durability.world.turns.clock import Clock

GRAVES = 1024
"""How many dead lives are kept before they are finalised together."""

FROZEN_AT_START = 1000
"""Python 3.12 itself starts with a few hundred objects that are frozen."""

_occupied: list[Arena] = []


class Arena:
    """A root directory plus everything process-wide that a world needs: patches, chance, environment, graveyard.

    `root` is what is recorded and mounted, `home` the directory for the store. They are the same unless `disk` is `"fake"`: there the
    root is `/` of a file system that pyfakefs holds, and `kept` are directories of the harness that stay real all the same.
    `blank` is what the root holds before a store was ever opened. `disk` is `"files"` or `"fake"`. `clock` is set while the wall clock can be.
    """

    def __init__(self, seed: int = 0, disk: str = "files", kept: Iterable[str] = ()) -> None:
        self.entropy = Entropy(seed)
        self.clock: Clock | None = None
        self.base = Path()
        self.root = Path()
        self.home = Path()
        self.blank = EMPTY
        self.disk, self._kept = disk, tuple(kept)
        self._kernel: Kernel | None = None
        self.interposition: Interposition
        self._graves: list[Any] = []
        self._stack = ExitStack()
        self._environment: dict[str, str | None] = {}
        self.process = os.getpid()

    def __enter__(self) -> Self:
        _leave_inherited()
        if _occupied:
            raise UsageError(
                "a second world was opened inside the first",
                why="a world takes over the file functions of the whole process",
                fix="leave the first `with` block before opening another world",
            )
        with ExitStack() as stack:
            if self.disk == "fake":
                self._enter_fake(stack)
            else:
                self.base = _fresh_base()
                stack.callback(self._remove_own)
                self.home = self.root = self.base / "root"
                self.root.mkdir()
                self.interposition = stack.enter_context(interposed())
            stack.enter_context(self.entropy.installed())
            stack.enter_context(_frozen_garbage())
            stack.enter_context(_nothing_is_unclosed())
            stack.callback(self._restore_environment)
            stack.callback(self.bury_all)
            _occupied.append(self)
            stack.callback(_occupied.remove, self)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def _enter_fake(self, stack: ExitStack) -> None:
        from pytest_durability.world.disk.fake.install import faked
        from pytest_durability.world.disk.fake.kernel import HOME, load

        load()  # its modules must not be loaded while the functions that they bind are exchanged
        self.interposition = stack.enter_context(interposed())
        self._kernel = stack.enter_context(faked(self._kept))
        self.root, self.home, self.blank = Path("/"), Path(HOME), self._kernel.blank

    def abandon(self) -> None:
        """Undo in this process what a parent process had set up, without touching the parent's files."""
        self._graves.clear()
        self._stack.close()

    def setenv(self, name: str, value: str) -> None:
        """Set an environment variable until the arena closes."""
        self._environment.setdefault(name, os.environ.get(name))
        os.environ[name] = value

    def mount(self, image: Image) -> None:
        """Make the root hold exactly `image`, in new inodes."""
        if self._kernel is not None:
            self._kernel.mount(image)
            return
        _empty(str(self.root))
        base = f"{self.root}/"
        for name in image.dirs:
            os.mkdir(base + name)
        first: dict[int, str] = {}
        for file in image.files:
            path = base + file.path
            if file.ino in first:
                os.link(first[file.ino], path)
                continue
            first[file.ino] = path
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
            try:
                _write_all(fd, file.data)
            finally:
                os.close(fd)
        for name, target in image.links:
            os.symlink(target, base + name)

    def clear(self) -> None:
        """Make the root hold what it held before a store was ever opened: nothing, or the bare directories of a fake system."""
        self.mount(self.blank)
        if self.clock is not None:
            self.clock.restart()

    @property
    def scratch(self) -> tuple[str, ...]:
        """Patterns of what programs leave in the directory for temporary files, where that is recorded: it is no part of a store."""
        return (os.path.join(tempfile.gettempdir(), "tmp*").strip("/"),) if self._kernel is not None else ()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Put the present root out of sight, an empty one in its place, and the present one back at the end."""
        if self._kernel is not None:
            with self._kernel.aside():
                yield
            return
        hidden = self.base / "aside"
        self.root.rename(hidden)
        self.root.mkdir()
        try:
            yield
        finally:
            _remove(self.root)
            hidden.rename(self.root)

    def bury(self, life: Any) -> None:
        """Keep a dead life: dropping it now would run its finalisers against the living root."""
        if len(self._graves) >= GRAVES:
            self.bury_all()  # the others: the caller still holds this one, which must not outlive the gate
        self._graves.append(life)

    def bury_all(self) -> None:
        """Finalise all dead lives with the root gated shut; what their finalisers raise is of no interest."""
        if not self._graves:
            return
        hook, sys.unraisablehook = sys.unraisablehook, _ignore
        try:
            with warnings.catch_warnings(), self.interposition.gated(self.root):
                warnings.simplefilter("ignore")  # the dead could not close what they held
                while self._graves:
                    _finalise(self._graves.pop())
                gc.collect()
        finally:
            sys.unraisablehook = hook

    def _remove_own(self) -> None:
        if self.process == os.getpid():
            _remove(self.base)

    def _restore_environment(self) -> None:
        for name, value in self._environment.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        self._environment.clear()


def _finalise(life: Any) -> None:
    """In a function of its own, so that no variable keeps the life beyond the gate."""
    end: Callable[[], None] | None = getattr(life, "finalise", None)
    if end is not None:
        end()


@contextmanager
def _frozen_garbage() -> Iterator[None]:
    """Keep what exists now out of the collector's way: the graveyard is collected often and must stay cheap."""
    if gc.get_freeze_count() > FROZEN_AT_START:  # somebody else froze something, and thawing would thaw theirs
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@contextmanager
def _nothing_is_unclosed() -> Iterator[None]:
    """A call that is made to fail cannot close what it held, and a dead process does not: that is no leak to warn of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        yield


def _leave_inherited() -> None:
    """A forked worker inherits the arena of its parent, patches and all; it is not the worker's, so it is put down here.

    The directory stays: it belongs to the parent.
    """
    while _occupied and _occupied[-1].process != os.getpid():
        _occupied[-1].abandon()


def _ignore(unraisable: object) -> None:
    del unraisable


def memory_directory() -> str | None:
    """A directory in memory (tmpfs) if this system has one that can be written to, else None."""
    shm = "/dev/shm"  # noqa: S108  the system's tmpfs, used below a directory of our own
    return shm if sys.platform == "linux" and os.access(shm, os.W_OK | os.X_OK) else None


def _fresh_base() -> Path:
    """A new directory whose path has the same length in every process, because stores may write their path to disk."""
    parent = Path(memory_directory() or tempfile.gettempdir())
    for attempt in range(1000):
        base = parent / f"durability-{os.getpid():08d}-{attempt:03d}"
        try:
            base.mkdir(mode=0o700)
        except FileExistsError:
            continue
        atexit.register(_remove_at_exit, base, os.getpid())
        return base.resolve()
    raise UsageError(f"no free directory below {parent}", fix=f"remove old directories {parent}/durability-*")


def _remove_at_exit(base: Path, process: int) -> None:
    if process == os.getpid():  # a forked child must not take the directory away from its parent
        _remove(base)


def _remove(base: Path) -> None:
    shutil.rmtree(base, ignore_errors=True)


def _write_all(fd: int, data: bytes) -> None:
    done = 0
    while done < len(data):
        done += os.write(fd, data[done:] if done else data)


def _empty(path: str) -> None:
    with os.scandir(path) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                _empty(entry.path)
                os.rmdir(entry.path)
            else:
                os.unlink(entry.path)
