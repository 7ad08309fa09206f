"""The whole of a session as it lies on disk at one moment, read under the lock and never written to.

Rule: everything that decides, decides on a snapshot; one that was taken before the lock is worth nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from reference_impl.durable import Durable, is_temporary
from reference_impl.store.archive import Archive, completion, contents, last_seq, load_archives
from reference_impl.store.layout import DAMAGED, HISTORY, LIVE, META, Layout
from reference_impl.store.lines import Lines, parse_live
from reference_impl.store.message import Message
from reference_impl.store.meta import SessionMeta


@dataclass(frozen=True, slots=True)
class Found:
    """What lies on disk, before anything is healed.

    `archived_seq`: the highest number in the order that the archives account for. `leftovers`: temporary files of
    writers that died.
    """

    live: bytes | None
    meta: bytes | None
    lines: Lines
    archives: tuple[Archive, ...]
    archived_seq: int
    leftovers: tuple[str, ...]

    @property
    def is_legacy(self) -> bool:
        """Whether an older layout wrote this, of which counters and commits cannot be asked for."""
        return self.meta is None and not any(archive.phase1 for archive in self.archives)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A consistent session. `claimed`: for every archived id the number of its archive; `last_seq`: the highest given.

    `live`, `meta_bytes`: the exact files, so that a later look can tell whether anybody changed them. `meta` is None for
    a session that has no counters yet.
    """

    live: bytes | None = None
    meta_bytes: bytes | None = None
    messages: tuple[Message, ...] = ()
    meta: SessionMeta | None = None
    archives: tuple[Archive, ...] = ()
    claimed: Mapping[str, int] | None = None
    last_seq: int = 0

    def archived_in(self, message_id: str) -> int | None:
        """The number of the archive that claims an id."""
        return self.claimed.get(message_id) if self.claimed else None


def look(disk: Durable, layout: Layout) -> Found:
    """Read everything that a load needs."""
    names = disk.names(layout.root) or []
    live = disk.read(layout.live) if LIVE in names else None
    meta = disk.read(layout.meta) if META in names else None
    archives = load_archives(disk, layout.history) if HISTORY in names else ()
    follows = max([last_seq(disk, archive) for archive in archives], default=0)
    leftovers = [f"{layout.root}/{name}" for name in names if is_temporary(name)]
    if DAMAGED in names:
        leftovers += [f"{layout.damaged}/{name}" for name in disk.names(layout.damaged) or () if is_temporary(name)]
    leftovers += [f"{archive.folder}/{name}" for archive in archives for name in archive.names if is_temporary(name)]
    return Found(live, meta, parse_live(live or b"", follows), archives, follows, tuple(sorted(leftovers)))


def claims(disk: Durable, archives: tuple[Archive, ...], live: tuple[Message, ...]) -> dict[str, int]:
    """Which archive each archived id is in.

    A ready archive claims by its record. One without a record claims what it was completed with, and whatever stands
    nowhere else: if its record is lost, its messages must not be.
    """
    found = {name: archive.number for archive in archives for name in archive.claims}
    here = {message.id for message in live}
    for archive in archives:
        if archive.state == "unrecorded":
            held = contents(disk, archive)
            done = completion(disk, archive, held) is not None
            found.update({m.id: archive.number for m in held if m.id not in found and (done or m.id not in here)})
    return found
