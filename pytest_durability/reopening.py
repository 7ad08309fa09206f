"""Opens a store on a given disk content and reports what it showed, without judging it.

Rule: equal bytes are opened once (the answer is remembered); what an open wrote is recorded like everything else, so
that a crash during healing can be explored from the same log.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import cast

from pytest_durability.capabilities import Capabilities
from pytest_durability.errors import AdapterError, DurabilityError
from pytest_durability.faults import role_of
from pytest_durability.history import History, Lane, Op
from pytest_durability.incarnation import FAILURES, AdapterFactory, Incarnation, failure
from pytest_durability.observation import Asked, Failure, Observation, Row
from pytest_durability.tokens import mark
from pytest_durability.workload import SESSION
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

REMEMBERED = 50_000
"""How many contents an opener remembers the answer to; then it forgets all of them and opens again."""


Rows = tuple[Row, ...] | None


@dataclass(frozen=True, slots=True)
class Look:
    """What one open showed, and what it did to the disk.

    `after`: the disk afterwards (None: the open wrote nothing). `healing`: the operations of the open, numbered from 1.
    `asked`: the next request, if the adapter can show it.
    """

    rows: tuple[Row, ...] | None
    archived: tuple[Row, ...] | None = None
    failure: Failure | None = None
    after: Image | None = None
    healing: tuple[Op, ...] = ()
    asked: Asked | None = None


class Reopener:
    """Opens states in one arena with one adapter; `opened` counts real opens, `seconds` the CPU time inside the store."""

    def __init__(self, factory: AdapterFactory, able: Capabilities, arena: Arena, run: Run = run_here) -> None:
        self._factory, self._able, self._arena, self._run = factory, able, arena, run
        self._looks: dict[str, Look] = {}
        self._twins: dict[str, Observation] = {}
        self.opened = 0
        self.seconds = 0.0

    def look(self, image: Image, key: str | None = None, session: str = SESSION) -> Look:
        """What an open of `image` shows; remembered by content (`key`: the image's key, if known) and session."""
        key = (key or image.key()) + _shared(image) + (f"@{session}" if session != SESSION else "")
        found = self._looks.get(key)
        if found is None:
            if len(self._looks) >= REMEMBERED:
                self._looks.clear()
            found = self._looks[key] = self.open_now(image, session=session)
        return found

    def twin(self, image: Image, key: str | None = None, session: str = SESSION) -> Observation | None:
        """What another open of the same content shows, which draws other random numbers; None if enough were tried."""
        key = f"{key or image.key()}@{session}"
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
        self._arena.mount(image)
        self._arena.entropy.reseed(number)
        history = History()
        recorder = Recorder(self._arena.root, history, image)
        life = Incarnation(self._factory, World(self._arena, history, session=session))
        recorder.start()
        start = time.process_time()
        try:
            rows, archived, asked, failed = self._read(life, healthy=healthy)
        finally:
            self.seconds += time.process_time() - start
            recorder.kill()
            recorder.stop()
            self._arena.bury(life)
        failed = failed or _damaged(recorder)
        healing = tuple(op for op in history if op.lane is Lane.DISK)
        wrote = any(op.effect is not None for op in healing)
        return Look(rows, archived, failed, recorder.tree.image() if wrote else None, healing if wrote else (), asked)

    def _read(self, life: Incarnation, *, healthy: bool) -> tuple[Rows, Rows, Asked | None, Failure | None]:
        during, refuses, root = "open", self._able.refuses, str(self._arena.root)
        try:
            life.open()
            if "heal" in self._able.members:
                during = "heal"
                life.call("heal")
            during = "transcript"
            rows = life.rows()
            archived = None
            if "archived" in self._able.members:
                during = "archived"
                archived = life.rows("archived")
            asked = None
            if "request" in self._able.members:
                from pytest_durability.next_request import next_request

                asked = next_request(life, refuses, root)
            if healthy and "close" in self._able.members:
                during = "close"
                life.call("close")
        except AdapterError as error:
            if healthy:
                raise
            return None, None, None, Failure(during, WRONG_TYPE, f"{error.what}; without a crash the type is right", "")
        except DurabilityError:
            raise
        except FAILURES as error:  # whatever leaves the store is what we came to see
            return None, None, None, failure(during, error, refuses, root)
        return rows, archived, asked, None

    def observe(self, image: Image, key: str | None = None, volatile: Iterable[str] = (), session: str = SESSION) -> Observation:
        """Two opens of one state, as an observation.

        What the first open changed is not asked here (after a crash it may heal), and `present` is filled in by the judge.
        """
        key = key or image.key()
        first = self.look(image, key, session)
        if first.failure is not None:
            return Observation(first.rows, first.failure, first.archived)
        twin = self.twin(image, key, session)
        if first.after is None:
            return Observation(first.rows, archived=first.archived, asked=first.asked, twin=twin)
        second = self.look(first.after, session=session)
        return Observation(
            rows=first.rows,
            archived=first.archived,
            asked=first.asked,
            twin=twin,
            again=second.rows,
            again_failure=second.failure,
            regrown=changes(first.after, second.after, volatile, _sites(second.healing)) if second.after is not None else (),
        )


def _damaged(recorder: Recorder) -> Failure | None:
    """What SQLite's own check says of the databases that an open left, if it is not "ok": what was read may be half of it."""
    if CALLS.sqlite is None or "sqlite3" not in sys.modules:  # nobody used it, and importing it costs every run
        return None
    from pytest_durability.world.disk.sqlite.databases import damage_of

    found = damage_of(recorder.tree.image())
    return Failure("integrity_check", "DatabaseDamaged", "; ".join(found)[:200], "") if found else None


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
