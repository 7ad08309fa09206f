"""The second phase turns an archive into a summary. It is slow, it fails, and it is repeated: nothing may depend on once.

Rule: the archive is the queue entry. Finished steps are recorded, so that a second run skips them; the completion marker
is written last; a failed archive blocks no other, because its messages are shown as they are until it is done.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import TypeVar

from reference_impl.durable import Durable, StorageError
from reference_impl.store.archive import Archive, Completion, Failure, as_json, completion, contents, load_archives, marker
from reference_impl.store.errors import TransientError
from reference_impl.store.layout import ABSTRACT, DONE, FAILED, META, OVERVIEW, Layout
from reference_impl.store.message import Message
from reference_impl.store.meta import SessionMeta
from reference_impl.store.workers import Workers

_T = TypeVar("_T")
_PASSING = (TransientError, ConnectionError, TimeoutError)
SUMMARY, EXTRACT = "summary", "extract"


@dataclass(frozen=True, slots=True)
class PhaseTwo:
    """The second phase of the archives of one session. Only its writes are under the lock, never the work."""

    disk: Durable
    layout: Layout
    clock: Callable[[], str]
    workers: Workers
    locked: Callable[[], AbstractContextManager[None]]

    def run(self, number: int) -> bool:
        """Complete one archive; False if it failed, which its failure marker then tells.

        Raises:
            StorageError: the result could not be written; the archive is as far as it was.
        """
        archive, held = self._look(number)
        if archive.state not in ("ready", "unrecorded"):
            return False
        if completion(self.disk, archive, held) is not None:
            return True
        if not held:
            return self._fail(archive, "its content cannot be read", retryable=False)
        try:
            start = self._summarise(archive, held)
            self._count(archive, held)
        except StorageError:
            raise
        except Exception as error:  # a worker may raise anything, and none of it may leave the archive unmarked
            return self._fail(archive, repr(error), retryable=isinstance(error, _PASSING))
        self._finish(archive, held, start)
        return True

    def _look(self, number: int) -> tuple[Archive, tuple[Message, ...]]:
        with self.locked():
            archive = self._find(number)
            return archive, contents(self.disk, archive)

    def _find(self, number: int) -> Archive:
        found = [archive for archive in load_archives(self.disk, self.layout.history) if archive.number == number]
        return found[0] if found else Archive(number, self.layout.archive(number), frozenset())

    def _summarise(self, archive: Archive, held: Sequence[Message]) -> int:
        """Write the overview, unless an earlier run did; returns the first archive that it covers."""
        covered = f"{SUMMARY}-from-"
        earlier_run = next((step for step in archive.steps if step.startswith(covered)), None)
        if earlier_run is not None:
            return int(earlier_run.removeprefix(covered))
        start, overviews = self._before(archive)
        summary = self._attempt(lambda: self.workers.summarise(held, overviews))
        with self.locked():
            self.disk.replace(f"{archive.folder}/{OVERVIEW}", summary.overview.encode())
            self.disk.replace(f"{archive.folder}/{ABSTRACT}", summary.abstract.encode())
            self._step(archive.number, f"{covered}{start}")
        return start

    def _before(self, archive: Archive) -> tuple[int, list[str]]:
        """The overview that this one continues, and the first archive it then covers.

        Only an unbroken row counts: an overview must not claim to cover an archive that is still to be summarised.
        """
        with self.locked():
            older = [other for other in load_archives(self.disk, self.layout.history) if other.number < archive.number]
            counted = [other for other in older if other.state in ("ready", "unrecorded")]
            last = counted[-1] if counted else None
            done = completion(self.disk, last, contents(self.disk, last)) if last else None
            overview = self.disk.read(f"{last.folder}/{OVERVIEW}") if last and done else None
        if done is None or overview is None:
            return archive.number, []
        return done.coverage_start, [overview.decode("utf-8", "replace")]

    def _count(self, archive: Archive, held: Sequence[Message]) -> None:
        """Merge what the extractor counted, under the number of the archive: the same number again changes nothing."""
        if EXTRACT in archive.steps:
            return
        counted = dict(self._attempt(lambda: self.workers.extract(archive.number, held)))
        with self.locked():
            meta = SessionMeta.parse(self.disk.read(self.layout.meta) or b"")
            if meta is not None:
                usage = {**meta.usage, f"{archive.number:03d}": counted}
                if usage != meta.usage:
                    self.disk.replace(self.layout.meta, replace(meta, usage=usage).render())
            self._step(archive.number, EXTRACT)

    def _attempt(self, work: Callable[[], _T]) -> _T:
        for _ in range(self.workers.attempts - 1):
            try:
                return work()
            except _PASSING:
                continue
        return work()

    def _step(self, number: int, step: str) -> None:
        """Record a finished step, on the archive as it is now: a load may have changed its record meanwhile."""
        archive = self._find(number)
        if step not in archive.steps:
            self.disk.replace(f"{archive.folder}/{META}", replace(archive, steps=(*archive.steps, step)).record())

    def _finish(self, archive: Archive, held: Sequence[Message], start: int) -> None:
        with self.locked():
            if FAILED in archive.names:
                self.disk.remove(f"{archive.folder}/{FAILED}")
            done: Completion = marker(held, start, archive.number, self._find(archive.number).steps)
            self.disk.replace(f"{archive.folder}/{DONE}", as_json(done))

    def _fail(self, archive: Archive, error: str, *, retryable: bool) -> bool:
        failure = Failure("phase2", error, self.clock(), retryable)
        with self.locked():
            self.disk.replace(f"{archive.folder}/{FAILED}", as_json(failure))
        return False
