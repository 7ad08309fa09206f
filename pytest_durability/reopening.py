"""Opens a store on a given disk content and reports what it showed, without judging it.

Rule: equal bytes are opened once (the answer is remembered); what an open wrote is recorded like everything else, so
that a crash during healing can be explored from the same log.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import cast

from pytest_durability.asking import converse, rounds
from pytest_durability.capabilities import Capabilities
from pytest_durability.errors import AdapterError, DurabilityError
from pytest_durability.faults import role_of
from pytest_durability.history import History, Lane, Op
from pytest_durability.incarnation import FAILURES, AdapterFactory, Incarnation, failure
from pytest_durability.observation import Asked, Failure, Observation, Onward, Row
from pytest_durability.tokens import mark
from pytest_durability.turn import EFFECT, Turn
from pytest_durability.workload import SESSION, Ask
from pytest_durability.world.arena import Arena
from pytest_durability.world.disk.calls import CALLS
from pytest_durability.world.disk.difference import HEADER, changes
from pytest_durability.world.disk.image import Image
from pytest_durability.world.disk.recorder import Recorder
from pytest_durability.world.process import Run, run_here
from pytest_durability.world.world import World

WRONG_TYPE = AdapterError.__name__
"""The kind of failure of a method that returns another type after a crash than without one."""
LIFE = 9_000
"""The number of the life that reopens: every reopen draws the same ids, and none that the recorded lives drew."""
TWIN = 9_001
"""The number of a life that reopens the same once more: it draws other ids."""
TWINS, ONE_IN = 24, 50
"""So many contents are opened by it, the first ones, and then one of so many: a store that comes back at random does so often."""

ONWARD = 9_000
"""The number of the turn that goes on after a reopen."""

REMEMBERED = 50_000
"""How many contents an opener remembers the answer to; then it forgets all of them and opens again."""


@dataclass(frozen=True, slots=True)
class Look:
    """What one open showed, and what it did to the disk.

    `after`: the disk afterwards (None: the open wrote nothing). `healing`: the operations of the open, numbered from 1.
    `asked`: the next request, if the adapter can show it. `records`: as in `Observation`.
    """

    rows: tuple[Row, ...] | None
    archived: tuple[Row, ...] | None = None
    failure: Failure | None = None
    after: Image | None = None
    healing: tuple[Op, ...] = ()
    asked: Asked | None = None
    records: tuple[tuple[str, tuple[Row, ...]], ...] = ()


@dataclass(slots=True)
class _Read:
    """What a life showed, as far as it came."""

    during: str = "open"
    rows: tuple[Row, ...] | None = None
    archived: tuple[Row, ...] | None = None
    records: tuple[tuple[str, tuple[Row, ...]], ...] = ()
    asked: Asked | None = None
    failure: Failure | None = None


class Reopener:
    """Opens states in one arena with one adapter; `opened` counts real opens, `seconds` the CPU time inside the store."""

    def __init__(self, factory: AdapterFactory, able: Capabilities, arena: Arena, run: Run = run_here) -> None:
        self._factory, self._able, self._arena, self._run = factory, able, arena, run
        self._looks: dict[str, Look] = {}
        self._twins: dict[str, Observation] = {}
        self._onward: dict[str, Onward] = {}
        self.opened = 0
        self.seconds = 0.0

    def look(self, image: Image, key: str | None = None, session: str = SESSION) -> Look:
        """What an open of `image` shows; remembered by content (`key`: the image's key, if known) and session."""
        key = _key(image, key, session)
        found = self._looks.get(key)
        if found is None:
            if len(self._looks) >= REMEMBERED:
                self._looks.clear()
            found = self._looks[key] = self.open_now(image, session=session)
        return found

    def twin(self, image: Image, key: str | None = None, session: str = SESSION) -> Observation | None:
        """What another open of the same content shows, which draws other random numbers; None if enough were tried."""
        key = _key(image, key, session)
        if key not in self._twins and len(self._twins) < TWINS + self.opened // ONE_IN:
            look = self.open_now(image, session=session, life=TWIN)
            self._twins[key] = Observation(look.rows, look.failure, look.archived, asked=look.asked)
        return self._twins.get(key)

    def open_now(self, image: Image, *, healthy: bool = False, session: str = SESSION, life: int = LIFE) -> Look:
        """Mount an image, open the session, read it, and let that life die.

        A `healthy` one, to which nothing bad happened, ends by a clean close, and there a wrong type is an `AdapterError`;
        after a crash it is a failure like any other.
        """
        self.opened += 1
        return cast("Look", self._run(self._open_here, image, healthy, session, life))

    def _open_here(self, image: Image, healthy: bool, session: str, number: int) -> Look:  # noqa: FBT001  passed on by position
        with self._living(image, session, number) as (life, recorder):
            found = self._read(life, healthy=healthy)
        failed = found.failure or _damaged(recorder)
        healing = tuple(recorder.history.lane(Lane.DISK))
        wrote = any(op.effect is not None for op in healing)
        after = recorder.tree.image() if wrote else None
        return Look(found.rows, found.archived, failed, after, healing if wrote else (), found.asked, found.records)

    @contextmanager
    def _living(self, image: Image, session: str, number: int) -> Iterator[tuple[Incarnation, Recorder]]:
        """A life on a disk content, recorded, which dies at the end of the block; the time in it is the store's."""
        self._arena.mount(image)
        self._arena.entropy.reseed(number)
        history = History()
        recorder = Recorder(self._arena.root, history, image)
        life = Incarnation(self._factory, World(self._arena, history, session=session))
        recorder.start()
        start = time.process_time()
        try:
            yield life, recorder
        finally:
            self.seconds += time.process_time() - start
            recorder.kill()
            recorder.stop()
            self._arena.bury(life)

    def _read(self, life: Incarnation, *, healthy: bool) -> _Read:
        found, has = _Read(), self._able.members.__contains__
        try:
            life.open()
            if has("heal"):
                found.during = "heal"
                life.call("heal")
            found.during = "transcript"
            found.rows = life.rows()
            for name in ("archived", "records", "request"):
                if has(name):
                    found.during = name
                    self._look_at(life, name, found)
            if healthy and has("close"):
                found.during = "close"
                life.call("close")
        except AdapterError as error:
            if healthy:
                raise
            return _Read(failure=Failure(found.during, WRONG_TYPE, f"{error.what}; without a crash the type is right", ""))
        except DurabilityError:
            raise
        except FAILURES as error:  # whatever leaves the store is what we came to see
            return _Read(failure=failure(found.during, error, self._able.refuses, str(self._arena.home)))
        return found

    def _look_at(self, life: Incarnation, name: str, found: _Read) -> None:
        """Ask the adapter for what it can show besides the transcript."""
        if name == "archived":
            found.archived = life.rows(name)
        elif name == "records":
            found.records = life.records()
        else:
            found.asked = self._asked(life)

    def _asked(self, life: Incarnation) -> Asked | None:
        if "request" not in self._able.members:
            return None
        from pytest_durability.next_request import next_request  # with all rules, which most adapters have no use for

        return next_request(life, self._able.refuses, str(self._arena.home))

    def onward(self, image: Image, session: str = SESSION) -> Onward | None:
        """One more turn on a disk content, for stores whose turns call tools; remembered by content."""
        if not self._able.tools or "turn" not in self._able.members:
            return None
        key = _key(image, None, session)
        found = self._onward.get(key)
        if found is None:
            if len(self._onward) >= REMEMBERED:
                self._onward.clear()
            found = self._onward[key] = cast("Onward", self._run(self._go_on, image, session))
        return found

    def _go_on(self, image: Image, session: str) -> Onward:
        rows: tuple[Row, ...] | None = None
        asked: Asked | None = None
        failed: Failure | None = None
        with self._living(image, session, LIFE) as (life, recorder):
            try:
                life.open()
                if "heal" in self._able.members:
                    life.call("heal")
                converse(life, asked_once_more(life.world))
                rows = life.rows()
                asked = self._asked(life)
            except DurabilityError:
                raise
            except FAILURES as error:  # whatever leaves the store is what we came to see
                failed = failure("turn", error, self._able.refuses, str(self._arena.home))
        effects = tuple(op.target for op in recorder.history.lane(Lane.STREAM) if op.kind == EFFECT)
        return Onward(effects, rows, asked, failed)

    def observe(self, image: Image, key: str | None = None, volatile: Iterable[str] = (), session: str = SESSION) -> Observation:
        """Two opens of one state, as an observation.

        What the first open changed is not asked here (after a crash it may heal), and `present` is filled in by the judge.
        """
        key = key or image.key()
        first = self.look(image, key, session)
        if first.failure is not None:
            return Observation(first.rows, first.failure, first.archived)
        onward, twin = self.onward(first.after or image, session), self.twin(image, key, session)
        shown = Observation(
            first.rows, archived=first.archived, asked=first.asked, twin=twin, records=first.records, onward=onward
        )
        if first.after is None:
            return shown
        second = self.look(first.after, session=session)
        return replace(
            shown,
            again=second.rows,
            again_failure=second.failure,
            regrown=changes(first.after, second.after, volatile, _sites(second.healing)) if second.after is not None else (),
        )


def asked_once_more(world: World) -> Turn:
    """A turn of a run that has no other: the model says a few words, and calls no tool."""
    replies = rounds(Ask(f"{mark('y9000001')} go on", f"{mark('y9000002')} as you wish"), ONWARD)
    world.provider.expect(replies)
    return Turn(f"{mark('y9000001')} go on", *replies[0], noting=world, number=ONWARD, provider=world.provider)


def _damaged(recorder: Recorder) -> Failure | None:
    """What SQLite's own check says of the databases that an open left, if it is not "ok": what was read may be half of it."""
    if CALLS.sqlite is None or "sqlite3" not in sys.modules:  # nobody used it, and importing it costs every run
        return None
    from pytest_durability.world.disk.sqlite.databases import damage_of

    found = damage_of(recorder.tree.image())
    return Failure("integrity_check", "DatabaseDamaged", "; ".join(found)[:200], "") if found else None


def _key(image: Image, key: str | None, session: str) -> str:
    """What an open of a session depends on; `key`: the image's key, if known."""
    return (key or image.key()) + _shared(image) + (f"@{session}" if session != SESSION else "")


def _shared(image: Image) -> str:
    """Which names are one file: equal contents that differ in this number their files differently, so their logs differ."""
    first: dict[int, int] = {}
    return "".join([f"={at}:{same}" for at, file in enumerate(image.files) if (same := first.setdefault(file.ino, at)) != at])


def present(image: Image, tokens: Iterable[str], published: frozenset[str]) -> frozenset[str]:
    """The tokens whose mark stands in a file whose role a healthy session has too (left-over files do not count)."""
    wanted = {token: mark(token).encode() for token in tokens}
    if not wanted:
        return frozenset()
    found: set[str] = set()
    for path, data in _contents(image).items():
        if published and role_of(path) not in published:
            continue
        found.update(token for token, needle in wanted.items() if needle in data)
    return frozenset(found)


def _contents(image: Image) -> Mapping[str, bytes]:
    """What a program finds in each file; the pages of a database still hold what SQLite took back."""
    if not any(file.data.startswith(HEADER) for file in image.files):
        return image.data()
    from pytest_durability.world.disk.sqlite.databases import contents

    return contents(image)


def _sites(healing: Iterable[Op]) -> dict[str, str]:
    return {op.target: op.site for op in healing if op.site}
