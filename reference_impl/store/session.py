"""A conversation that survives: what `add_message` acknowledged is in the live file or in exactly one archive, always.

Rule: every operation takes the lock, looks at the disk again, and only then decides. What is kept in memory is a copy
that is compared with the files before it is believed. No lock is held across an `await`.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from os import PathLike
from os.path import abspath

from reference_impl.durable import Durable, StorageError, TornAppendError
from reference_impl.store import context as views
from reference_impl.store.archive import Archive, completion, contents
from reference_impl.store.commit import PhaseOne
from reference_impl.store.errors import ConflictError, SessionError, UnusableError
from reference_impl.store.heal import Healer
from reference_impl.store.layout import Layout
from reference_impl.store.message import Batch, Draft, Message, written
from reference_impl.store.meta import SessionMeta, tokens_in
from reference_impl.store.phase2 import PhaseTwo
from reference_impl.store.receipts import CommitReceipt, HealReport
from reference_impl.store.snapshot import Snapshot, look
from reference_impl.store.workers import Workers

_DURABLE, _WORKERS = Durable(), Workers()


def now() -> str:
    """The time as ISO text in UTC; informative only, nothing is ordered by it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def new_id() -> str:
    """A random message id."""
    return uuid.uuid4().hex


class Session:
    """One session below the directory `path`, which is made with the first message. Call `load` before anything else.

    Several objects, in one process or in several, may use one directory. `clock` gives ISO times, `ids` new message ids.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        *,
        disk: Durable = _DURABLE,
        workers: Workers = _WORKERS,
        clock: Callable[[], str] = now,
        ids: Callable[[], str] = new_id,
    ) -> None:
        self.layout = Layout(abspath(path))
        self.disk, self.workers, self.clock, self.ids = disk, workers, clock, ids
        self.last_report = HealReport()
        self._now = Snapshot()
        self._settled = False
        self._unusable = ""

    @property
    def messages(self) -> tuple[Message, ...]:
        """The live messages as of the last operation of this object, record lines included."""
        return self._now.messages

    # Loading

    def load(self) -> HealReport:
        """Restore one consistent session from whatever a crash left, and say what that took (nothing, if it is healthy).

        Raises:
            StorageError: a file cannot be read, or a repair cannot be written; the session is then not healed.
        """
        self._unusable, self._settled = "", False
        try:
            with self.disk.lock(self.layout.lock):
                return self._restore()
        except FileNotFoundError:  # no directory: nobody has said anything yet
            self._now, self.last_report = Snapshot(), HealReport()
            return self.last_report

    def _restore(self) -> HealReport:
        """Load, under the lock."""
        found = look(self.disk, self.layout)
        healer = Healer(self.disk, self.layout, self.clock)
        healer.tidy(found)
        archives, live = found.archives, found.lines.messages
        if not found.is_legacy:
            archives = healer.settle(archives, live)
            archives, live = self._reconcile_stale_live_messages(healer, archives, live)
        self._now = healer.conclude(found, archives, live)
        self.last_report = healer.report()
        return self.last_report

    def _reconcile_stale_live_messages(
        self, healer: Healer, archives: tuple[Archive, ...], live: tuple[Message, ...]
    ) -> tuple[tuple[Archive, ...], tuple[Message, ...]]:
        """Undo a lost clear: messages that an archive holds are not live any more."""
        return healer.without_stale(archives, live)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self.disk.lock(self.layout.lock):
            yield

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Hold the lock, in a directory that is there and durable."""
        if self._unusable:
            raise UnusableError(f"{self.layout.root}: an append could not be taken back ({self._unusable}); load again first")
        if not self._settled:
            self.disk.make_dir(self.layout.root)
        with self._locked():
            yield

    def _exists(self) -> bool:
        return self.disk.names(self.layout.root) is not None

    def _look_again(self) -> None:
        """Another process may have written since the last operation; if it did, everything is loaded anew."""
        live, meta = self.disk.read(self.layout.live), self.disk.read(self.layout.meta)
        if (live, meta) != (self._now.live, self._now.meta_bytes):
            self._settled = False
            self._restore()

    # Appending

    def add_message(self, draft: Draft) -> Message:
        """Append one message; when this returns, it is durable. The same id again adds nothing and returns the first one.

        Raises:
            ConflictError: the id is taken by another content.
            StorageError: the message is not in the session.
            UnusableError: an earlier append could not be taken back.
        """
        return self.add_messages([draft])[0]

    def add_messages(self, drafts: Sequence[Draft]) -> tuple[Message, ...]:
        """Append several messages as one batch: after a crash all of them are there or none.

        Raises:
            See `add_message`.
        """
        with self._writing():
            self._look_again()
            known = {draft.id: self._known(draft) for draft in drafts}
            fresh = _once([draft for draft in drafts if known[draft.id] is None])
            if not self._settled:
                self._make_durable()
            added = iter(self._append_messages(fresh) if fresh else ())
            answer: list[Message] = []
            for draft in drafts:
                message = known[draft.id] or next(added)
                if draft.id is not None:
                    known[draft.id] = message
                answer.append(message)
            return tuple(answer)

    def _known(self, draft: Draft) -> Message | None:
        """The message that is in the session under the id of a draft."""
        if draft.id is None:
            return None
        found = next((message for message in self._now.messages if message.id == draft.id), None)
        number = self._now.archived_in(draft.id) if found is None else None
        if number is not None:
            archive = next(archive for archive in self._now.archives if archive.number == number)
            found = next((message for message in contents(self.disk, archive) if message.id == draft.id), None)
        if found is not None and found.content() != draft.content():
            raise ConflictError(f"message {draft.id} is in {self.layout.root} already, with another content")
        return found

    def _make_durable(self) -> None:
        """What a killed process left is visible but perhaps not durable; what is built on it would not be either."""
        if self._now.live is not None:
            self.disk.sync_file(self.layout.live)
        self._settled = True

    def _append_messages(self, drafts: Sequence[Draft]) -> tuple[Message, ...]:
        """Number the drafts and append their lines with one write; the counters follow."""
        moment, batch = self.clock(), self.ids() if len(drafts) > 1 else ""
        added = tuple(
            [
                written(
                    draft,
                    id=draft.id if draft.id is not None else self.ids(),
                    seq=self._now.last_seq + n,
                    created_at=moment,
                    batch=Batch(batch, n, len(drafts)) if batch else None,
                )
                for n, draft in enumerate(drafts, start=1)
            ]
        )
        data = b"".join([message.line + b"\n" for message in added])
        before = self._now.live or b""
        if before and not before.endswith(b"\n"):  # a whole line without its end, as other writers leave them
            data = b"\n" + data
        try:
            self.disk.append(self.layout.live, data)
        except StorageError as error:
            self._settled = False  # a failed sync leaves everything unknown: look again, sync again
            if isinstance(error, TornAppendError):
                self._unusable = str(error)
            raise
        messages = (*self._now.messages, *added)
        self._now = replace(self._now, live=before + data, messages=messages, last_seq=added[-1].seq)
        with suppress(StorageError):  # the messages are durable; the next operation writes the counters
            self._save_meta_sync(added)
        return added

    def _save_meta_sync(self, added: Sequence[Message]) -> None:
        """Bring the counters into lockstep with the live file."""
        session, moment = self._now, self.clock()
        claimed = len(session.claimed or ())
        old = session.meta or SessionMeta(
            self.layout.session_id,
            created_at=moment,
            total_message_count=len(session.messages) - len(added) + claimed,
            pending_tokens=tokens_in(session.messages) - tokens_in(added),
        )
        meta = replace(
            old,
            updated_at=moment,
            message_count=len(session.messages),
            total_message_count=old.total_message_count + len(added),
            pending_tokens=old.pending_tokens + tokens_in(added),
            next_seq=session.last_seq + 1,
        )
        data = meta.render()
        self.disk.replace(self.layout.meta, data)
        self._now = replace(session, meta=meta, meta_bytes=data)

    # Committing

    async def commit_async(self, keep_recent_count: int = 0) -> CommitReceipt:
        """`commit`, for callers in an event loop; it does not yield, so no other task sees a commit half done."""
        return self.commit(keep_recent_count)

    def commit(self, keep_recent_count: int = 0) -> CommitReceipt:
        """Move all but the last `keep_recent_count` messages into a new archive: the first phase of a commit.

        Raises:
            CommitError: it failed before its commit point; nothing has moved.
            StorageError: the session could not be read.
        """
        if keep_recent_count < 0:
            raise ValueError(f"keep_recent_count={keep_recent_count!r}: give 0 or more")
        if not self._exists():
            return CommitReceipt("skipped", "no_messages")
        with self._writing():
            self._restore()  # so that no id is archived twice, whatever happened since
            receipt = PhaseOne(self.disk, self.layout, self.clock, self._now, keep_recent_count).run()
            if receipt.status == "accepted":
                self._follow(receipt)
            return receipt

    def _follow(self, receipt: CommitReceipt) -> None:
        """See what a commit made of the session. The commit stands, whatever happens here."""
        try:
            self._restore()
        except StorageError:  # `live` None is never what is on disk, so that the next operation loads anew
            self._now = replace(self._now, live=None, messages=self._now.messages[receipt.archived :])

    def pending_archives(self) -> tuple[int, ...]:
        """The archives whose second phase is due. The archives are the queue: no entry can be lost."""
        if not self._exists():
            return ()
        with self._locked():
            self._restore()
            return tuple([archive.number for archive in self._now.archives if self._is_due(archive)])

    def _is_due(self, archive: Archive) -> bool:
        if archive.state not in ("ready", "unrecorded") or (archive.failure is not None and not archive.failure.retryable):
            return False
        return completion(self.disk, archive, contents(self.disk, archive)) is None

    def run_pending(self) -> tuple[int, ...]:
        """Run the second phase of every archive that is due, once each; returns those that are complete now."""
        return tuple([number for number in self.pending_archives() if self._phase_two().run(number)])

    def retry_commit(self, archive: int) -> bool:
        """Run the second phase of one archive again, also after a failure that was final; whether it is complete now.

        Raises:
            SessionError: there is no such archive, or its commit never took effect.
        """
        if self._exists():
            with self._locked():
                self._restore()
        found = next((item for item in self._now.archives if item.number == archive), None)
        if found is None or found.state not in ("ready", "unrecorded"):
            raise SessionError(f"archive {archive} of {self.layout.root} has nothing to complete")
        return self._phase_two().run(archive)

    def _phase_two(self) -> PhaseTwo:
        return PhaseTwo(self.disk, self.layout, self.clock, self.workers, self._locked)

    # Reading

    def archived_messages(self) -> tuple[Message, ...]:
        """The messages that commits moved out, each once, in the order of the archives; as of the last operation."""
        found: list[Message] = []
        for archive in self._now.archives:
            if archive.state in ("ready", "unrecorded"):
                mine = contents(self.disk, archive)
                found += [message for message in mine if self._now.archived_in(message.id) == archive.number]
        return tuple(found)

    def context(self, budget: int | None = None, count: Callable[[Message], int] | None = None) -> views.Context:
        """What a model is shown next. `budget`: tokens for messages; `count`: tokens of one (default: a rough guess)."""
        chosen, messages = self._collect_session_context_components()
        kept = views.within(messages, budget, count or (lambda message: len(message.text) // 4 + 1))
        ids = {message.id for message in kept}
        left_out = tuple([message.id for message in messages if message.id not in ids])
        return views.Context(tuple([ref.overview for ref in chosen]), kept, left_out)

    def _get_completed_archive_refs(self) -> tuple[views.ArchiveRef, ...]:
        """The archives that a summary may stand for; the completion marker alone is not believed."""
        return views.completed_refs(self.disk, self._now.archives)

    def _collect_session_context_components(self) -> tuple[list[views.ArchiveRef], list[Message]]:
        """The overviews to show and the messages that none of them covers, looked up anew and under the lock."""
        if not self._exists():
            return [], []
        with self._locked():
            self._restore()
            return views.collect(self.disk, self._now, self._get_completed_archive_refs())


def _once(drafts: Sequence[Draft]) -> list[Draft]:
    """The drafts without those that repeat an id of the same call.

    Raises:
        ConflictError: a repeated id with another content.
    """
    first: dict[str, Draft] = {}
    fresh: list[Draft] = []
    for draft in drafts:
        if draft.id is not None and draft.id in first:
            if first[draft.id].content() != draft.content():
                raise ConflictError(f"message {draft.id} is given twice, with different contents")
            continue
        if draft.id is not None:
            first[draft.id] = draft
        fresh.append(draft)
    return fresh
