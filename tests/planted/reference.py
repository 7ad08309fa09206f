"""The reference session store with one bug at a time, each of a kind that real session stores had.

Rule: a variant changes one decision of the store and nothing else. Where one layer alone would hide the bug because the
next one checks again, the variant lacks both, and its docstring says so with "and".
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import replace
from itertools import count

from pytest_durability import Message
from reference_impl.durable import Durable, StorageError
from reference_impl.store import Session, SessionError
from reference_impl.store import lines as reading
from reference_impl.store.archive import as_json as marked
from reference_impl.store.archive import completion, contents, load_archive, marker
from reference_impl.store.commit import PhaseOne
from reference_impl.store.context import ArchiveRef
from reference_impl.store.heal import Healer
from reference_impl.store.layout import DONE, LIVE, META, OVERVIEW
from reference_impl.store.meta import SessionMeta
from reference_impl.store.phase2 import PhaseTwo
from reference_impl.store.receipts import CommitReceipt
from reference_impl.store.snapshot import look
from tests.reference_impl.adapter import MOMENT, ReferenceSession


class Sound(Session):
    """The reference store with its collaborators where a variant can reach them; it has no bug of its own."""

    files = Durable()
    healer = Healer
    phase_one = PhaseOne
    phase_two = PhaseTwo

    def _look(self):
        return look(self.disk, self.layout)

    def _restore(self):
        found = self._look()
        healer = self.healer(self.disk, self.layout, self.clock)
        healer.tidy(found)
        archives, live = found.archives, found.lines.messages
        if not found.is_legacy:
            archives = healer.settle(archives, live)
            archives, live = self._reconcile_stale_live_messages(healer, archives, live)
        self._now = healer.conclude(found, archives, live)
        self.last_report = healer.report()
        return self.last_report

    def commit(self, keep_recent_count=0):
        if not self._exists():
            return CommitReceipt("skipped", "no_messages")
        with self._writing():
            self._restore()
            receipt = self.phase_one(self.disk, self.layout, self.clock, self._now, keep_recent_count).run()
            if receipt.status == "accepted":
                self._follow(receipt)
            return receipt

    def _phase_two(self):
        return self.phase_two(self.disk, self.layout, self.clock, self.workers, self._locked)

    def _count_on_disk(self):
        """What the counters say about the live file, or None."""
        meta = SessionMeta.parse(self.disk.read(self.layout.meta) or b"")
        return None if meta is None else meta.message_count


# The heal


class TrustsLive(Sound):
    """Believes the live file: messages of a lost clear are live again."""

    def _reconcile_stale_live_messages(self, healer, archives, live):
        return archives, live


class HealsByCount(Sound):
    """Takes more lines than the counter says for a lost clear, and drops the oldest: they may be in no archive."""

    def _reconcile_stale_live_messages(self, healer, archives, live):
        known = self._count_on_disk()
        if known is None or len(live) <= known:
            return archives, live
        healer.dropped_stale += [message.id for message in live[: len(live) - known]]
        return archives, live[len(live) - known :]


class AsksTheCount(Sound):
    """Looks for a lost clear only where the live file is longer than the counter; one more append hides it."""

    def _reconcile_stale_live_messages(self, healer, archives, live):
        known = self._count_on_disk()
        if known is not None and len(live) <= known:
            return archives, live
        return healer.without_stale(archives, live)


class LosesRetained(Sound):
    """Empties the live file after a lost clear, with the tail that was to be kept."""

    def _reconcile_stale_live_messages(self, healer, archives, live):
        archives, kept = healer.without_stale(archives, live)
        return archives, kept if len(kept) == len(live) else ()


class RollsBackAlways(Sound):
    """Undoes every unfinished commit, also one that had passed its commit point."""

    class healer(Healer):  # noqa: D106, N801  a hook
        def _settle_one(self, archive, archives, live):
            return super()._settle_one(archive, archives, (*live, *contents(self.disk, archive)))


class HealGrows(Sound):
    """Copies a torn tail aside at every load and leaves it where it is."""

    class healer(Healer):  # noqa: D106, N801  a hook
        def _put_aside(self, source, damaged):
            if damaged:
                self.disk.make_dir(self.layout.damaged)
                number = len(self.disk.names(self.layout.damaged))
                self.disk.replace(f"{self.layout.damaged}/{source}.{number}", damaged)

        def conclude(self, found, archives, live):
            whole = replace(found.lines, damaged=(), tail=b"")
            return super().conclude(replace(found, lines=whole), archives, live)


class RewritesHealthy(Sound):
    """Counts its loads in the session, so that a healthy one is rewritten."""

    class healer(Healer):  # noqa: D106, N801  a hook
        def conclude(self, found, archives, live):
            now = super().conclude(found, archives, live)
            if now.meta is None:
                return now
            meta = replace(now.meta, extra={"loads": now.meta.extra.get("loads", 0) + 1})
            return replace(now, meta=meta, meta_bytes=self._rewrite(self.layout.meta, meta.render()))


# Reading


class _Reads(Sound):
    """Reads the lines of the live file in its own way."""

    def _look(self):
        found = super()._look()
        return replace(found, lines=self.lines(found))


class DropsNeighbours(_Reads):
    """Skips a damaged line together with the lines next to it."""

    def lines(self, found):
        pieces = [message for _, message in reading._pieces(found.live or b"", found.archived_seq)]
        near = {message.id for i, message in enumerate(pieces) if message and None in pieces[max(0, i - 1) : i + 2]}
        return replace(found.lines, messages=tuple(m for m in found.lines.messages if m.id not in near))


class DamageIsEmpty(_Reads):
    """Takes a file that it cannot read in full for an empty one."""

    def lines(self, found):
        return replace(found.lines, messages=()) if found.lines.damaged or found.lines.tail else found.lines


class HealsLegacy(_Reads):
    """Takes a session without counters for one whose clear was lost, and drops what is in it."""

    def lines(self, found):
        return replace(found.lines, messages=()) if found.meta is None and not found.archives else found.lines


class ReadErrorIsEmpty(Sound):
    """Takes a file that it cannot read for one that is not there, and appends by a replace of the file that it read."""

    class files(Durable):  # noqa: D106, N801  a hook
        def read(self, path):
            with suppress(StorageError):
                return super().read(path)
            return None

        def append(self, path, data):
            self.replace(path, (self.read(path) or b"") + data)


class TornBatchCounts(_Reads):
    """Takes the first lines of a torn batch for messages."""

    def lines(self, found):
        return replace(found.lines, messages=reading.parse_archive(found.live or b"", found.archived_seq))


class CountFirst(Sound):
    """Writes the counter before the line, and refuses a file that is shorter than the counter says."""

    def _append_messages(self, drafts):
        meta = self._now.meta
        if meta is not None:
            ahead = replace(meta, message_count=len(self._now.messages) + len(drafts))
            self.disk.replace(self.layout.meta, ahead.render())
        return super()._append_messages(drafts)

    def _look(self):
        found, known = super()._look(), self._count_on_disk()
        if known is not None and len(found.lines.messages) < known:
            raise SessionError(f"{self.layout.live} is too short")
        return found


class SplitsUnicode(Sound):
    """Writes text as it is, and splits a file wherever Unicode sees the end of a line."""

    class files(Durable):  # noqa: D106, N801  a hook
        def read(self, path):
            data = super().read(path)
            return data and "".join([f"{line}\n" for line in data.decode("utf-8", "replace").splitlines()]).encode()

        def append(self, path, data):
            super().append(path, _as_text(data))

        def replace(self, path, data):
            super().replace(path, _as_text(data) if path.endswith(LIVE) else data)


def _as_text(data):
    """The same lines with every character as itself, and without a checksum."""
    records = [json.loads(line) for line in data.split(b"\n") if line]
    return b"".join([_plain({name: record[name] for name in record if name != "crc"}) for record in records])


def _plain(record):
    return json.dumps(record, ensure_ascii=False).encode() + b"\n"


# Writing


def _in_place(path, data):
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


class MetaInPlace(Sound):
    """Writes the counters in place, and cannot load without them."""

    class files(Durable):  # noqa: D106, N801  a hook
        def replace(self, path, data):
            if path.endswith(META) and os.path.exists(path):
                _in_place(path, data)
            else:
                super().replace(path, data)

    def _look(self):
        found = super()._look()
        if found.meta is not None and SessionMeta.parse(found.meta) is None:
            raise SessionError(f"{self.layout.meta} is damaged")
        return found


class LiveInPlace(Sound):
    """Clears the live file in place."""

    class files(Durable):  # noqa: D106, N801  a hook
        def replace(self, path, data):
            if path.endswith(LIVE) and os.path.exists(path):
                _in_place(path, data)
            else:
                super().replace(path, data)


class NoReplaceSync(Sound):
    """Renames a file that was not synced."""

    class files(Durable):  # noqa: D106, N801  a hook
        def replace(self, path, data):
            Durable("process-kill").replace(path, data)
            self._sync_folder(os.path.dirname(path))


class NoDirectorySync(Sound):
    """Syncs files and never the directories that name them."""

    class files(Durable):  # noqa: D106, N801  a hook
        def _sync_folder(self, folder):
            pass


class NoAppendSync(Sound):
    """Appends without a sync."""

    class files(Durable):  # noqa: D106, N801  a hook
        def append(self, path, data):
            Durable("process-kill").append(path, data)
            self._sync_folder(os.path.dirname(path))


class SwallowsSyncError(Sound):
    """Takes a failed sync for a sync."""

    class files(Durable):  # noqa: D106, N801  a hook
        def _sync(self, fd):
            with suppress(OSError):
                super()._sync(fd)


class IgnoresShortWrite(Sound):
    """Believes that a write took everything."""

    class files(Durable):  # noqa: D106, N801  a hook
        def append(self, path, data):
            if not os.path.exists(path):
                super().append(path, b"")
            with open(path, "ab", buffering=0) as file:
                file.write(data)
                os.fsync(file.fileno())


class GluesTornTail(Sound):
    """Ends a line by a second write that it does not take back, and appends behind whatever is there."""

    class files(Durable):  # noqa: D106, N801  a hook
        def append(self, path, data):
            super().append(path, data.strip(b"\n"))
            super().append(path, b"\n")


# Committing


class ClearsFirst(Sound):
    """Clears the live file before the archive is written."""

    class phase_one(PhaseOne):  # noqa: D106, N801  a hook
        def _prepare(self, archive, old):
            retained = self.before.messages[len(old) :]
            self.disk.replace(self.layout.live, reading.render(retained))
            super()._prepare(archive, old)


class ReadyFirst(Sound):
    """Marks an archive as ready before its messages are in it, and drops live messages by that mark alone."""

    class phase_one(PhaseOne):  # noqa: D106, N801  a hook
        def _plan(self, old, retained):
            return replace(super()._plan(old, retained), status="ready", ready_at=self.clock())

    class healer(Healer):  # noqa: D106, N801  a hook
        def without_stale(self, archives, live):
            stale = {name for archive in archives for name in archive.claims}
            self.dropped_stale += [message.id for message in live if message.id in stale]
            return archives, tuple([message for message in live if message.id not in stale])


class FailsAfterCommitPoint(Sound):
    """Marks a commit as failed when something goes wrong after its commit point; its messages are then nowhere."""

    class phase_one(PhaseOne):  # noqa: D106, N801  a hook
        def _move(self, old, retained):
            receipt = super()._move(old, retained)
            archive = load_archive(self.disk, self.layout.archive(receipt.archive), receipt.archive)
            if archive.state != "ready":
                raise self._undone(archive, OSError("the commit was not finished"))
            return receipt


class ArchiveReused(Sound):
    """Numbers archives by how many there are that took effect: the number of a failed one, with its mark, is used again."""

    class phase_one(PhaseOne):  # noqa: D106, N801  a hook
        def _next_number(self):
            return 1 + sum(archive.state == "ready" for archive in self.before.archives)


# Summaries


class DoneAlone(Sound):
    """Takes any completion marker for a summary of its archive, without a look at either."""

    def _get_completed_archive_refs(self):
        refs = []
        for archive in self._now.archives:
            if DONE in archive.names:
                done = completion(self.disk, archive, contents(self.disk, archive))
                overview = self.disk.read(f"{archive.folder}/{OVERVIEW}") or b""
                refs.append(ArchiveRef(archive.number, done.coverage_start if done else 1, overview.decode("utf-8", "replace")))
        return tuple(refs)


class DoneFirst(DoneAlone):
    """Marks an archive as complete before it is summarised, and takes the mark alone for the summary."""

    class phase_two(PhaseTwo):  # noqa: D106, N801  a hook
        def _summarise(self, archive, held):
            start, _ = self._before(archive)
            with self.locked():
                done = marker(held, start, archive.number, ())
                self.disk.replace(f"{archive.folder}/{DONE}", marked(done))
            return super()._summarise(archive, held)


def adapter(kind):
    """An adapter class for one of these stores."""

    class Adapter(ReferenceSession):
        def open(self, world):
            numbers = count(1)
            disk = kind.files() if isinstance(kind.files, type) else kind.files
            session = kind(world.root / world.session, disk=disk, clock=lambda: MOMENT, ids=lambda: f"given-{next(numbers)}")
            session.load()
            return session

    Adapter.__name__ = Adapter.__qualname__ = kind.__name__
    return Adapter


def in_context(kind):
    """An adapter that summarises every archive at once, and asks the context what is left of the archived messages."""

    class Adapter(adapter(kind)):
        def commit(self, session, keep):
            session.commit(keep)
            session.run_pending()

        def archived(self, session):
            context = session.context()
            live = {message.id for message in session.messages}
            raw = [Message(message.role, message.text, message.id) for message in context.messages if message.id not in live]
            return [Message("system", overview) for overview in context.overviews] + raw

    Adapter.__name__ = Adapter.__qualname__ = kind.__name__
    return Adapter


SUMMARISING = (DoneAlone, DoneFirst)

VARIANTS = {
    kind.__name__: (in_context if kind in SUMMARISING else adapter)(kind)
    for kind in list(vars().values())
    if isinstance(kind, type) and issubclass(kind, Sound) and kind not in (Sound, _Reads)
}
"""Adapters of the broken stores by name."""

OUT_OF_REACH = {
    "a snapshot taken before the lock": "no two operations of a workload overlap",
    "a lease by the wall clock": "no two operations of a workload overlap",
    "archived messages dropped from the live file unread": "takes two lost writes at once, and one is tried",
    "counters of the second phase doubled": "counters are in no transcript",
    "a cleared field that a merge brings back": "counters are in no transcript",
    "a repeated id stored twice": "no workload repeats an acknowledged call",
}
"""Bugs of this family that no row can stand for, and what is missing for one."""


def sound(name):
    """The adapter of the store without the bug, driven as the variant of this name is."""
    return in_context(Sound) if name in {kind.__name__ for kind in SUMMARISING} else ReferenceSession


UNSTAGED = {
    "MetaInPlace": "replaces the file, so there is no truncation to crash at",
    "LiveInPlace": "replaces the file, so there is no truncation to crash at",
    "NoReplaceSync": "syncs, so the crash can no longer take what was renamed",
    "NoDirectorySync": "syncs, so the crash can no longer take the name",
    "NoAppendSync": "syncs, so the crash can no longer take what was acknowledged",
    "ReadErrorIsEmpty": "raises, and appends to the file, so there is no replace to crash after",
    "SwallowsSyncError": "raises, so there is no acknowledgement to crash after",
    "FailsAfterCommitPoint": "lets the commit stand, so there is no failure marker to crash at",
}
"""Variants none of whose cases can be staged on the sound store, and what that one does instead."""
