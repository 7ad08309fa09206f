"""After a crash several files may disagree; here they are made to agree again, by what they prove and never by counts.

Rule: a message leaves the live file only for an archive that was read and holds it. What cannot be explained is set
aside and told, not deleted. A healthy session is not written to.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from reference_impl.durable import Durable
from reference_impl.store.archive import Archive, Failure, as_json, completion, contents
from reference_impl.store.layout import FAILED, LIVE, META, Layout, name_of
from reference_impl.store.lines import render
from reference_impl.store.message import Message
from reference_impl.store.meta import SessionMeta, tokens_in
from reference_impl.store.receipts import HealReport
from reference_impl.store.snapshot import Found, Snapshot, claims


@dataclass(slots=True)
class Healer:
    """The steps of one load, and the report they fill."""

    disk: Durable
    layout: Layout
    clock: Callable[[], str]
    dropped_stale: list[str] = field(default_factory=list)
    set_aside: list[str] = field(default_factory=list)
    rolled_back: list[int] = field(default_factory=list)
    rolled_forward: list[int] = field(default_factory=list)
    rewrote: list[str] = field(default_factory=list)
    unreadable: list[int] = field(default_factory=list)
    holes: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)

    def report(self) -> HealReport:
        """What was found and done."""
        return HealReport(
            dropped_stale=tuple(self.dropped_stale),
            set_aside=tuple(self.set_aside),
            rolled_back=tuple(self.rolled_back),
            rolled_forward=tuple(self.rolled_forward),
            rewrote=tuple(self.rewrote),
            unreadable=tuple(dict.fromkeys(self.unreadable)),
            holes=tuple(self.holes),
            absent=tuple(self.absent),
        )

    def tidy(self, found: Found) -> None:
        """Remove what writers that died left behind, and put damaged bytes where nothing reads them by itself."""
        for path in found.leftovers:
            self.disk.remove(path)
        for damaged in [*found.lines.damaged, found.lines.tail]:
            self._put_aside(LIVE, damaged)
        if found.live is None and (found.meta is not None or found.archives):
            self.absent.append(LIVE)

    def _put_aside(self, source: str, damaged: bytes) -> None:
        """Keep damaged bytes under a name made of them: a load that is repeated after a crash makes no second copy."""
        if not damaged:
            return
        digest = hashlib.blake2s(damaged, digest_size=8).hexdigest()
        path = f"{self.layout.damaged}/{source.lstrip('.')}.{digest}"
        if self.disk.read(path) is None:
            self.disk.make_dir(self.layout.damaged)
            self.disk.replace(path, damaged)
        self.set_aside.append(name_of(path))

    def settle(self, archives: Sequence[Archive], live: Sequence[Message]) -> tuple[Archive, ...]:
        """Finish or undo every commit that was interrupted; tell which archives are damaged."""
        settled = {archive.number: archive for archive in archives}
        for archive in archives:
            if archive.state == "preparing":
                settled[archive.number] = self._settle_one(archive, list(settled.values()), live)
            elif archive.state == "ready" and archive.claims and LIVE not in archive.names:
                self._tell_lost(archive, live)
        return tuple(settled.values())

    def _settle_one(self, archive: Archive, archives: Sequence[Archive], live: Sequence[Message]) -> Archive:
        """Roll forward if the archive holds anything that stands nowhere else, so the commit point was passed; else back."""
        assert archive.phase1 is not None
        held = {message.id for message in contents(self.disk, archive)}
        elsewhere = {name for other in archives for name in other.claims}
        here = {message.id for message in live}
        self.holes += [name for name in archive.phase1.archived_message_ids if name not in held | here | elsewhere]
        if held - here - elsewhere:
            own = tuple([name for name in archive.phase1.archived_message_ids if name in held - elsewhere])
            self.rolled_forward.append(archive.number)
            return self._record(archive.with_phase1(status="ready", ready_at=self.clock(), archived_message_ids=own))
        failure = Failure("phase1", "interrupted before its commit point", self.clock(), retryable=False)
        self.disk.replace(f"{archive.folder}/{FAILED}", as_json(failure))
        self.rolled_back.append(archive.number)
        return replace(archive, names=archive.names | {FAILED}, failure=failure)

    def _tell_lost(self, archive: Archive, live: Sequence[Message]) -> None:
        here = {message.id for message in live}
        self.unreadable.append(archive.number)
        self.holes += [name for name in archive.claims if name not in here]

    def _record(self, archive: Archive) -> Archive:
        self.disk.replace(f"{archive.folder}/{META}", archive.record())
        return archive

    def without_stale(
        self, archives: Sequence[Archive], live: tuple[Message, ...]
    ) -> tuple[tuple[Archive, ...], tuple[Message, ...]]:
        """The lost-clear heal: drop from the live messages exactly those that an archive was read to hold.

        An archive that claims a live message and does not hold it is damaged: the live copy stays, the claim goes.
        """
        here = {message.id for message in live}
        stale: set[str] = set()
        kept: list[Archive] = []
        for archive in archives:
            claimed = self._claimed_and_live(archive, here)
            held = {message.id for message in contents(self.disk, archive)} if claimed else set()
            stale |= claimed & held
            kept.append(self._give_up(archive, claimed - held) if claimed - held else archive)
        if not stale:
            return tuple(kept), live
        self.dropped_stale += [message.id for message in live if message.id in stale]
        return tuple(kept), tuple([message for message in live if message.id not in stale])

    def _claimed_and_live(self, archive: Archive, here: set[str]) -> set[str]:
        if archive.state == "unrecorded":
            held = contents(self.disk, archive)
            return here & {message.id for message in held} if completion(self.disk, archive, held) else set()
        return here.intersection(archive.claims)

    def _give_up(self, archive: Archive, lost: set[str]) -> Archive:
        """Take back the claim of an archive to ids that it does not hold."""
        assert archive.phase1 is not None
        self.unreadable.append(archive.number)
        return self._record(
            archive.with_phase1(
                archived_message_ids=tuple([name for name in archive.claims if name not in lost]),
                unreadable_message_ids=(*archive.phase1.unreadable_message_ids, *sorted(lost)),
            )
        )

    def conclude(self, found: Found, archives: tuple[Archive, ...], live: tuple[Message, ...]) -> Snapshot:
        """Write what has to change, the live file before the counters, and return the session as it is now."""
        data = found.live
        if found.lines.damaged or found.lines.tail or self.dropped_stale:
            data = self._rewrite(self.layout.live, render(live))
        claimed = claims(self.disk, archives, live)
        last_seq = max([found.archived_seq, *[message.seq for message in found.lines.messages]])
        if found.is_legacy:
            return Snapshot(data, None, live, None, archives, claimed, last_seq)
        meta = SessionMeta.parse(found.meta) if found.meta is not None else None
        if found.meta is not None and meta is None:
            self._put_aside(META, found.meta)
        base = meta or SessionMeta(self.layout.session_id, created_at=self.clock(), pending_tokens=tokens_in(live))
        commits = sum([archive.state == "ready" for archive in archives])
        base = base if base.session_id else replace(base, session_id=self.layout.session_id)
        right = base.counting(live, archived=len(claimed), commits=commits, last_seq=last_seq)
        if meta is not None and meta.message_count == len(live):  # other counters are lower bounds, and can wait
            return Snapshot(data, found.meta, live, right, archives, claimed, right.next_seq - 1)
        right = replace(right, updated_at=self.clock())
        meta_bytes = self._rewrite(self.layout.meta, right.render())
        return Snapshot(data, meta_bytes, live, right, archives, claimed, right.next_seq - 1)

    def _rewrite(self, path: str, data: bytes) -> bytes:
        self.disk.replace(path, data)
        self.rewrote.append(name_of(path))
        return data
