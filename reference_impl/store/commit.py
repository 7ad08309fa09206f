"""The first phase of a commit: messages move from the live file into an archive, so that no crash finds them in neither.

Rule: one rename decides. Before the live file is replaced everything can be undone and the live file is untouched; after
it nothing may be undone, and what is left to do can be finished by any later load.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from reference_impl.durable import Durable, StorageError
from reference_impl.store.archive import Archive, Failure, Phase1, as_json
from reference_impl.store.boundary import cut_index
from reference_impl.store.errors import CommitError
from reference_impl.store.layout import FAILED, LIVE, META, Layout
from reference_impl.store.lines import parse_archive, render
from reference_impl.store.message import Message
from reference_impl.store.meta import VERSION, SessionMeta, tokens_in
from reference_impl.store.receipts import CommitReceipt
from reference_impl.store.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class PhaseOne:
    """One commit on a snapshot that was read under the lock, which is still held."""

    disk: Durable
    layout: Layout
    clock: Callable[[], str]
    before: Snapshot
    keep: int

    def run(self) -> CommitReceipt:
        """Archive all but the last `keep` messages.

        Raises:
            CommitError: it failed before the commit point; the live messages are untouched.
        """
        messages = self.before.messages
        if all(message.is_record for message in messages):
            return CommitReceipt("skipped", "no_messages")
        cut = cut_index(messages, self.keep)
        if cut == 0:
            return CommitReceipt("skipped", "all_within_keep_window")
        return self._move(messages[:cut], messages[cut:])

    def _move(self, old: Sequence[Message], retained: Sequence[Message]) -> CommitReceipt:
        number = self._next_number()
        archive = Archive(number, self.layout.archive(number), frozenset({META, LIVE}), self._plan(old, retained))
        try:
            self._prepare(archive, old)
        except (StorageError, CommitError) as error:
            raise self._undone(archive, error) from error
        self._pass_commit_point(archive, render(retained))
        with suppress(StorageError):  # the commit stands; what is missing now is done by the next load
            self.disk.replace(self.layout.meta, self._counters(retained).render())
            ready = archive.with_phase1(status="ready", ready_at=self.clock())
            self.disk.replace(f"{archive.folder}/{META}", ready.record())
        return CommitReceipt("accepted", "", f"{self._meta().session_id}:{number:03d}", number, len(old))

    def _next_number(self) -> int:
        """Above every directory and above every commit: a number that was ever used is never used again."""
        return max([archive.number for archive in self.before.archives] + [self._meta().commit_count]) + 1

    def _meta(self) -> SessionMeta:
        return self.before.meta or SessionMeta(self.layout.session_id, created_at=self.clock())

    def _plan(self, old: Sequence[Message], retained: Sequence[Message]) -> Phase1:
        archived, kept = tuple([message.id for message in old]), tuple([message.id for message in retained])
        return Phase1(VERSION, "preparing", self.clock(), None, (*archived, *kept), archived, kept, self.before.last_seq)

    def _prepare(self, archive: Archive, old: Sequence[Message]) -> None:
        """Everything that can still be undone: the archive, complete, but not yet valid."""
        self.disk.make_dir(self.layout.history)  # also when it is there: it may have been made, but not yet durably
        self.disk.make_dir(archive.folder)
        self.disk.replace(f"{archive.folder}/{META}", archive.record())
        path = f"{archive.folder}/{LIVE}"
        self.disk.replace(path, render(old))
        back = parse_archive(self.disk.read(path) or b"")
        if [message.id for message in back] != [message.id for message in old]:
            raise CommitError(f"{path} was written and does not read back")

    def _pass_commit_point(self, archive: Archive, data: bytes) -> None:
        """Replace the live file. If the answer is an error, the file itself says on which side of the rename it struck."""
        try:
            self.disk.replace(self.layout.live, data)
        except StorageError as error:
            try:
                now = self.disk.read(self.layout.live)
            except StorageError as unknown:  # not marked as failed: if it did pass, the mark would hide its messages
                raise CommitError(f"archive {archive.number} may or may not have been made: {unknown}") from error
            if now != data:
                raise self._undone(archive, error) from error

    def _undone(self, archive: Archive, error: Exception) -> CommitError:
        """Mark the archive. If even that fails, the next load finds it unfinished and rolls it back by itself."""
        failure = Failure("phase1", str(error), self.clock(), retryable=True)
        with suppress(StorageError):
            self.disk.replace(f"{archive.folder}/{FAILED}", as_json(failure))
        return CommitError(f"archive {archive.number} was not made, nothing has moved: {error}")

    def _counters(self, retained: Sequence[Message]) -> SessionMeta:
        now = self.clock()
        return replace(
            self._meta(),
            updated_at=now,
            last_commit_at=now,
            message_count=len(retained),
            commit_count=self._meta().commit_count + 1,
            keep_recent_count=self.keep,
            pending_tokens=tokens_in(retained),
            next_seq=self.before.last_seq + 1,
            total_message_count=max(self._meta().total_message_count, len(self.before.messages) + len(self.before.claimed or ())),
        )
