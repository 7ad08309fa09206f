"""What a store, an adapter or a hand-written test sees of the simulated outside.

Rule: a world hands things out and keeps no opinion; it is cheap to make, because every reopen gets its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_durability.errors import UnsupportedError, UsageError
from pytest_durability.history import History
from pytest_durability.world.arena import Arena
from pytest_durability.world.disk.simdisk import SimDisk

if TYPE_CHECKING:
    from pytest_durability.world.provider.provider import Provider
    from pytest_durability.world.turns.clock import Clock
    from pytest_durability.world.turns.turns import Turns


class World:
    """`root`: the directory to keep the session in. `session`: the name of the session to open. `history`: the ops so far."""

    __slots__ = ("_arena", "_clock", "_disk", "_provider", "_turns", "history", "session")

    def __init__(
        self,
        arena: Arena,
        history: History,
        *,
        session: str = "session",
        disk: SimDisk | None = None,
        provider: Provider | None = None,
        turns: Turns | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._arena = arena
        self._disk = disk
        self._provider = provider
        self._turns = turns
        self._clock = clock
        self.history = history
        self.session = session

    @property
    def root(self) -> Path:
        """The directory for the store, the same path in every life of it.

        A real one, in memory where the system has such a place; with `disk="fake"` one of the fake file system.
        """
        return self._arena.home

    @property
    def disk(self) -> SimDisk:
        """The disk below `root`: crash states, faults, the recorded operations.

        Raises:
            UsageError: inside an adapter, where the harness drives the disk.
        """
        if self._disk is None:
            raise UsageError(
                "world.disk is not there for adapters",
                why="faults and crashes are chosen by the harness while an adapter runs",
                fix="use `with durability.world() as world:` for a hand-written test",
            )
        return self._disk

    @property
    def provider(self) -> Provider:
        """The model service: script its replies, cut them, look at the requests."""
        if self._provider is None:
            from pytest_durability.world.provider.provider import Provider

            self._provider = Provider(self.history)
        return self._provider

    @property
    def turns(self) -> Turns:
        """Overlapping turns: run several together in a chosen order, in every order, or cancel one in the middle."""
        if self._turns is None:
            from pytest_durability.world.turns.turns import Turns

            self._turns = Turns(self.history)
        return self._turns

    @property
    def clock(self) -> Clock:
        """The wall clock: let it stand still, or set it back.

        Raises:
            UsageError: the world was opened without `clock="frozen"`.
        """
        if self._clock is None:
            raise UsageError(
                "world.clock is the system's clock here, which nobody can set",
                why="replacing the clock of a process costs time, so it is done only for those who ask",
                fix='open the world with clock="frozen"',
            )
        return self._clock

    @contextmanager
    def _serving(self) -> Iterator[None]:
        """Stop the provider and the turns at the end, if they were used.

        Raises:
            VacuousRun: a cut or a rejection was asked for and never struck.
        """
        try:
            yield
        finally:
            if self._turns is not None:
                self._turns.close()
            if self._provider is not None:
                self._provider.close()
        if self._provider is not None:
            self._provider.check()

    def setenv(self, name: str, value: str) -> None:
        """Set an environment variable (HOME, XDG_DATA_HOME ...) until the world closes.

        The first choice for a store that keeps its files under `Path.home()`, `~` or an XDG directory: it then lies on the recorded
        real disk, where SQLite, mmap and locks work. `disk="fake"` is for paths that no variable can move.
        """
        self._arena.setenv(name, str(value))


@contextmanager
def open_world(
    *, disk: str = "files", isolation: str = "same", provider: Any = None, clock: Any = None, seed: int = 0
) -> Iterator[World]:
    """A world for a hand-written test; recording runs from the first line of the block to its end.

    `disk="files"`: a real directory, of which `world.disk` tells; a store that asks for its place is sent there, one that looks
    at HOME or XDG_* by `world.setenv`. `disk="fake"` (needs the extra `fakefs`): every absolute path is one of a fake file system,
    for stores whose paths are fixed, such as `/var/lib/agent`; the log, patterns and `crash_states` name files relative to `/`, and
    what existed there before the store was opened is durable. SQLite, mmap and child processes are refused in it.

    `clock="frozen"` (needs the extra `clock`): `world.clock` can be set, and stands still when told to.

    `provider`: a `dialects.strict.Strict`, for other rules than the usual ones; `world.provider` is there without it.

    Raises:
        UsageError: an argument with a value that is not one of the valid ones.
        UnsupportedError: a valid value that this version does not offer, or `disk="fake"` without pyfakefs, or
            `clock="frozen"` without freezegun.
    """
    _check("disk", disk, ("files", "fake"))
    _check("isolation", isolation, ("same", "process"))
    if clock is not None:
        _check("clock", clock, ("frozen",))
    for name, value, offered in (("isolation", isolation, "same"),):
        if value != offered:
            raise UnsupportedError(
                f"world({name}={value!r}) is not offered by this version",
                why="the test would pass without what it asks for",
                fix=f"leave {name} out" + ("; check and sweep take isolation='process'" if name == "isolation" else ""),
            )
    from pytest_durability.world.turns.locks import own_locks

    with Arena(seed, disk) as arena:
        history = History()
        simulated = SimDisk(arena, history)
        with _clock(clock) as ticking, simulated.recording():
            world = World(arena, history, disk=simulated, provider=_provider(provider, history), clock=ticking)
            with world._serving(), own_locks():  # noqa: SLF001  a world of an adapter does not end like this
                yield world


@contextmanager
def _clock(wanted: Any) -> Iterator[Clock | None]:
    """A clock that can be set, if one is wanted."""
    if wanted is None:
        yield None
        return
    from pytest_durability.world.turns.clock import frozen_clock

    with frozen_clock() as clock:
        yield clock


def _provider(strict: Any, history: History) -> Provider | None:
    """A provider that holds these rules against requests; None: one with the usual rules is made when it is first used."""
    if strict is None:
        return None
    from pytest_durability.dialects.strict import Strict
    from pytest_durability.world.provider.provider import Provider

    if not isinstance(strict, Strict):
        raise UsageError(
            f"world(provider={strict!r})",
            why="a provider differs from another one only in the rules that it holds against requests",
            fix="leave provider out, or give dialects.strict.Strict(enforce=...)",
        )
    return Provider(history, strict=strict)


def _check(name: str, value: str, valid: tuple[str, ...]) -> None:
    if value not in valid:
        raise UsageError(f"world({name}={value!r})", fix=f"choose from: {', '.join(map(repr, valid))}")
