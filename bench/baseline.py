"""What a competent user would write by hand for one store, with Hypothesis and pyfakefs: the measure of what the gate adds.

Rule: nothing of this package is used. The crash is the usual idea of one: the store is stopped at a file operation, what
was not synced is cut short, and names may be those of the last sync of their directory.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from pyfakefs.fake_filesystem_unittest import Patcher

from tests.planted import stores

KILL = {"at": st.integers(0, 6), "cut": st.integers(0, 200), "old": st.booleans()}
"""At which file operation the process ends (0: it does not), how much unsynced data survives, whether names fall back."""


OWN = settings(deadline=None, database=None, derandomize=True, stateful_step_count=20, suppress_health_check=list(HealthCheck))
"""Hypothesis's number of examples; with its 50 steps each a search of the sound store takes twenty seconds."""


class Killed(BaseException):
    """The process ends here; no `Exception`, so that a store cannot swallow it."""


class Disk:
    """A fake disk that knows what is durable: bytes by fsync of the file, names by fsync of the directory."""

    def __init__(self) -> None:
        self.patcher = Patcher()
        self.patcher.setUp()
        self.fs, self.left = self.patcher.fs, 0
        self.fs.create_dir("/data")
        stores.os.fsync = partial(self._before, stores.os.fsync, self._synced)  # type: ignore[assignment]
        stores.os.replace = partial(self._before, stores.os.replace, lambda *_: None)

    def _before(self, call: Any, after: Any, *arguments: Any) -> None:
        self.left -= 1
        if self.left == 0:
            raise Killed
        call(*arguments)
        after(*arguments)

    def _synced(self, fd: int) -> None:
        found = self.fs.get_open_file(fd).get_object()
        found.safe = dict(found.entries) if hasattr(found, "entries") else found.byte_contents or b""

    def crash(self, cut: int, *, old: bool) -> None:
        """Lose what was not durable: all bytes after `cut` unsynced ones and, with `old`, all names since their last sync."""
        self.left = 0
        kept = dict(self._kept("/data", self.fs.get_object("/data"), cut, old=old))
        self.fs.remove_object("/data")
        for path, data in kept.items():
            found = self.fs.create_dir(path) if data is None else self.fs.create_file(path, contents=data)
            found.safe = {} if data is None else data
            if path != "/data":
                folder, _, name = path.rpartition("/")
                self.fs.get_object(folder).safe[name] = found

    def _kept(self, path: str, found: Any, cut: int, *, old: bool) -> Iterator[tuple[str, bytes | None]]:
        safe = found.__dict__.get("safe")
        if hasattr(found, "entries"):
            yield path, None
            for name, entry in ((safe or {}) if old else found.entries).items():
                yield from self._kept(f"{path}/{name}", entry, cut, old=old)
        else:
            now = found.byte_contents or b""
            yield path, now[: (len(safe) if safe and now.startswith(safe) else 0) + cut]


class StoreMachine(RuleBasedStateMachine):
    """Appends, batches, commits and reopens, each with a kill somewhere; what was acknowledged must be there, once, in order."""

    store: type[stores.Sound] = stores.Sound
    examples = steps = crashes = 0

    def __init__(self) -> None:
        super().__init__()
        self.disk, self.must, self.number = Disk(), list[str](), 0
        kind = type(self)
        kind.examples, kind.steps, kind.crashes = kind.examples + 1, 0, 0
        self.session = self.store(stores.Path("/data/session"))

    def teardown(self) -> None:
        """Give the real file system back."""
        self.disk.patcher.tearDown()

    def attempt(self, action: Any, added: list[str], at: int, cut: int, *, old: bool) -> None:
        """Do something, perhaps until a kill; then reopen and compare."""
        type(self).steps += 1
        self.disk.left, may = at, []
        try:
            action()
            self.must += added
        except Killed:
            may = added
        if at:
            type(self).crashes += 1
            self.disk.crash(cut, old=old)
            self.reopened(may)
        self.disk.left = 0

    def reopened(self, may: list[str]) -> None:
        """All that was acknowledged, then the batch in flight as a whole or not at all; a second open changes nothing."""
        self.session = self.store(stores.Path("/data/session"))
        found = [m["text"] for m in [*self.session.archived(), *self.session.messages]]
        assert found in (self.must, self.must + may), f"{self.must} + {may} came back as {found}"
        before = self.files()
        self.store(stores.Path("/data/session"))
        assert self.files() == before, "the second open changed files"
        self.must = found

    def files(self) -> dict[str, bytes]:
        """The session as it lies on the disk."""
        folder = stores.Path("/data/session")
        return {path.name: path.read_bytes() for path in folder.iterdir()}

    @rule(size=st.integers(1, 3), **KILL)
    def append(self, size: int, at: int, cut: int, old: bool) -> None:  # noqa: FBT001  Hypothesis gives keywords
        """One message, or several as a batch."""
        texts = [f"message {self.number + n}" for n in range(size)]
        self.number += size
        self.attempt(lambda: self.session.append_many([("user", text) for text in texts]), texts, at, cut, old=old)

    @precondition(lambda self: self.must)
    @rule(keep=st.integers(0, 3), **KILL)
    def commit(self, keep: int, at: int, cut: int, old: bool) -> None:  # noqa: FBT001  the same
        """Archive all but the last messages."""
        self.attempt(lambda: self.session.commit(keep), [], at, cut, old=old)

    @rule()
    def reopen(self) -> None:
        """End the process between two operations."""
        type(self).steps += 1
        self.reopened([])


def searched(name: str) -> tuple[str, float, type[StoreMachine]]:
    """What a search by hand of this variant of the planted store found, in which CPU time, and its counters."""
    machine = type(name, (StoreMachine,), {"store": getattr(stores, name)})
    start, found = time.process_time(), ""
    try:
        run_state_machine_as_test(machine, settings=OWN)
    except Exception as error:  # noqa: BLE001  whatever the store raises is what was found
        found = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"[:40]
    return found, time.process_time() - start, machine


def told(name: str) -> tuple[float, str]:
    """CPU seconds of a search that found something (else 0), and its row of the table; one process, one search."""
    found, seconds, machine = searched(name)
    counts = f"{machine.examples:8}  {seconds:6.2f}  " + (f"{machine.steps:5}  {machine.crashes:6}" if found else "")
    return seconds if found else 0.0, f"      {name:20}  {found or 'nothing found':40}  {counts}".rstrip()


def compared(names: Sequence[str]) -> None:
    """Search each of these variants by hand, and print what that took."""
    print("hand-written baseline: store  found by                                  examples   CPU s  steps  faults")
    with ProcessPoolExecutor(max_tasks_per_child=1, mp_context=get_context("spawn")) as pool:
        rows = list(pool.map(told, names))
    for _, text in rows:
        print(text)
    times = sorted(seconds for seconds, _ in rows if seconds) or [0.0]
    print(
        f"      found {sum(seconds > 0 for seconds, _ in rows)} of {len(names)}: median {median(times):.2f} CPU s, slowest {times[-1]:.2f}"
    )


if __name__ == "__main__":
    kinds = [name for name, kind in vars(stores).items() if isinstance(kind, type) and issubclass(kind, stores.Sound)]
    compared(sys.argv[1:] or kinds)
