"""A page, a size or a name reaches the disk as some version it had, never as an arbitrary mix of the writes to it.

Rule: one chain of versions per page, per file size and per name (or one journal for all names); every version knows the op
that made it, the op that makes it impossible, and which versions of other chains it cannot be without. A crash state is one
version per chain (see `cuts`). All rules only raise lower bounds, so the newest versions together are always legal.

The rules of a journaled ("prefix") model, with their sources:

- Names, truncations and sizes travel in one journal, in order (jbd2 replays whole transactions only), so names at version n
  need all truncations before n, and a size needs all names and truncations that are older than it.
- `size_needs_pages`: data=ordered writes the data before the transaction that makes it readable commits (ext4(5)), so a size
  that a write extended needs the pages as they were then. A truncation writes nothing but the block it cuts: an overwrite
  in place may be lost although a later truncation is kept.
- A page that fills a hole is reached through the journal: it needs the names and truncations older than its first write.
- `replace_flushes`: rename over an existing name needs data and size of the new file. Close after a truncation to zero: no
  version between the two can be found any more, unless a journal commit that an fsync forced lies between them.

Where names are "entries" each name is a chain, and only two rules tie them: a renamed directory is in exactly one place, and
what a truncation cut off is never seen again under a later size.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from pytest_durability.errors import RecorderError
from pytest_durability.history import Lane, Op
from pytest_durability.persistence import PersistenceModel
from pytest_durability.world.disk import effects as fx
from pytest_durability.world.disk.image import Image, number

PAGE = 4096
"""Bytes that a page cache writes back as one."""

NEVER = 1 << 60
"""An op number that no log reaches."""


class Chain:
    """The versions of one thing, oldest first; version i of it is `values[i]`, made by op `born[i]`.

    `kind`: names, name, size or page. `owner`: inode of the file or directory. `part`: page number or name in the directory.
    `dies[i]`: from that op on version i cannot be on disk. `needs[i]`: lowest version of the names that it can be with.
    `marks` (pages only): (op, version) of truncations; a size of that op or later needs that version. `hole`: the newest
    version has no block. `gaps`: `dies` does not grow along the chain.
    """

    __slots__ = ("born", "dies", "gaps", "hole", "kind", "low", "marks", "needs", "owner", "part", "values")

    def __init__(self, kind: str, owner: int, part: int | str, value: Any, born: int, need: int = 0) -> None:
        self.kind, self.owner, self.part = kind, owner, part
        self.values, self.born, self.dies, self.needs = [value], [born], [NEVER], [need]
        self.low, self.hole, self.gaps = 0, False, False
        self.marks: list[tuple[int, int]] = []

    def add(self, value: Any, seq: int, need: int) -> None:
        """One more version; two changes by the same op are one."""
        if self.born[-1] == seq and len(self.born) > 1:
            self.values[-1], self.needs[-1] = value, need
            return
        self.values.append(value)
        self.born.append(seq)
        self.dies.append(NEVER)
        self.needs.append(need)

    def settle(self, seq: int, floor: int | None = None) -> bool:
        """From op `seq` on no version before `floor` (the newest one) is possible; True if that changed anything."""
        floor = len(self.born) - 1 if floor is None else floor
        if floor <= self.low:
            return False
        for index in range(self.low, floor):
            self.dies[index] = min(self.dies[index], seq)
        self.low = floor
        return True

    def at(self, seq: int) -> int:
        """The newest version right after op `seq`; -1 before the first."""
        return bisect_right(self.born, seq) - 1

    def alive(self, low: int, high: int, seq: int) -> Sequence[int]:
        """The versions low..high that may be on disk right after op `seq`, oldest first."""
        if self.gaps:
            return [index for index in range(low, high + 1) if self.dies[index] > seq]
        return range(max(low, bisect_right(self.dies, seq)), high + 1)


class FileChains:
    """Size and pages of one file.

    `wants[v]`: size v needs the pages as they were after that op (0: none). `cuts`: (op, size) of each shortening.
    `touched`: ops that changed the file. `opened`: (size version, names version, op) of a truncation to zero since the last
    close. `holds`: (names version, size version, op): those names need that size and the pages as of that op.
    """

    __slots__ = ("cuts", "holds", "ino", "opened", "pages", "size", "touched", "wants")

    def __init__(self, ino: int, size: int, born: int, need: int) -> None:
        self.ino = ino
        self.size = Chain("size", ino, 0, size, born, need)
        self.pages: dict[int, Chain] = {}
        self.wants = [0]
        self.cuts: list[tuple[int, int]] = []
        self.touched = [born]
        self.opened: tuple[int, int, int] | None = None
        self.holds: list[tuple[int, int, int]] = []

    def chains(self) -> Iterable[Chain]:
        """The size, then the pages."""
        yield self.size
        yield from self.pages.values()

    def touched_by(self, seq: int) -> int:
        """The last op up to `seq` that changed the file."""
        return self.touched[bisect_right(self.touched, seq) - 1]

    def held(self, names: int) -> tuple[int, int]:
        """What names at this version need: the lowest size version, and the op as of which the pages must be there."""
        at = bisect_right(self.holds, (names, NEVER, NEVER)) - 1
        return self.holds[at][1:] if at >= 0 else (0, 0)


@dataclass(slots=True)
class Step:
    """What one op changed.

    `names`, `pages`, `files`: what has a new version. `settled`: files of which only the newest versions are left. `bound`: files
    that a rename or a close bound otherwise. `names_settled`: whether old names cannot come back any more.
    """

    names: list[Chain] = field(default_factory=list)
    pages: list[Chain] = field(default_factory=list)
    files: list[int] = field(default_factory=list)
    settled: set[int] = field(default_factory=set)
    bound: set[int] = field(default_factory=set)
    names_settled: bool = False


class Chains:
    """Everything that may be on disk after a crash at any point of one log, under one model.

    `steps`: op number -> what it changed. `last`: number of the last op. `names` is the journal
    (a chain of op numbers), `entries` the chain of each (directory, name), `files` the chains of each file.
    """

    def __init__(self, initial: Image, model: PersistenceModel) -> None:
        self.model = model
        self.journaled = model.names != "entries"
        self.names = Chain("names", fx.ROOT, 0, 0, 0)
        self.entries: dict[tuple[int, str], Chain] = {}
        self.children: dict[int, list[Chain]] = {fx.ROOT: []}
        self.files: dict[int, FileChains] = {}
        self.targets: dict[int, str] = {}
        self.homes: dict[int, list[tuple[int, Chain]]] = {}
        self.ties: dict[Chain, list[tuple[int, Chain, int]]] = {}
        self.moved: dict[int, list[Chain]] = {}
        self.steps: dict[int, Step] = {}
        self.ops: dict[int, Op] = {}
        self.last = 0
        self.scratch: Any = None
        self._adopt(initial)

    @classmethod
    def build(cls, initial: Image, ops: Iterable[Op], model: PersistenceModel) -> Chains:
        """Read a whole log.

        `initial` is durable; inodes in the effects are numbered as `image.number(initial)` does. USER ops are moments only.

        Raises:
            RecorderError: an effect names a file or directory that neither `initial` nor the log made, or ops are not in order.
        """
        chains = cls(initial, model)
        live_names, live_data = model.names == "live", model.data == "live"
        for op in ops:
            chains._apply(op)
            step = chains.steps.get(op.seq)
            if step is not None and (live_names or live_data):
                chains._at_once(step, op.seq, live_names, live_data)
        return chains

    # -- what is there at the start

    def _adopt(self, image: Image) -> None:
        inos = number(image)
        folders = {"": fx.ROOT, **{path: inos[path] for path in image.dirs}}
        for ino in folders.values():
            self.children.setdefault(ino, [])
        self.targets.update((inos[path], target) for path, target in image.links)
        for file in image.files:
            ino = inos[file.path]
            if ino not in self.files:
                known = self.files[ino] = FileChains(ino, len(file.data), 0, 0)
                for page in range(-(-len(file.data) // PAGE)):
                    value = file.data[page * PAGE : (page + 1) * PAGE].rstrip(b"\0")
                    known.pages[page] = Chain("page", ino, page, value, 0)
        for path in sorted(inos):
            folder, _, name = path.rpartition("/")
            self._entry(folders[folder], name, inos[path])

    def _entry(self, folder: int, name: str, first: int | None = None) -> Chain:
        chain = self.entries.get((folder, name))
        if chain is None:
            if folder not in self.children:
                raise RecorderError(
                    f"an operation names {name!r} in directory {folder}, which nothing made",
                    why="crash states computed from an incomplete log would be wrong",
                    fix="record from before the directory exists, or keep it in the initial image",
                )
            chain = self.entries[folder, name] = Chain("name", folder, name, first, 0)
            self.children[folder].append(chain)
            if first is not None:
                self.homes.setdefault(first, []).append((0, chain))
        return chain

    # -- one op

    def _apply(self, op: Op) -> None:
        if op.seq <= self.last:
            raise RecorderError(f"op {op.seq} comes after op {self.last}", why="op numbers are the time axis of crash states")
        self.last = op.seq
        if op.lane is not Lane.DISK or op.effect is None:
            return
        self.ops[op.seq] = op
        apply = self._EFFECTS.get(type(op.effect))
        if apply is None:
            raise RecorderError(f"op {op.seq} has an effect of unknown type {type(op.effect).__name__}")
        apply(self, op.seq, op.effect)

    def _step(self, seq: int) -> Step:
        return self.steps.setdefault(seq, Step())

    def _file(self, ino: int) -> FileChains:
        known = self.files.get(ino)
        if known is None:
            raise RecorderError(
                f"an operation changes file {ino}, which nothing made",
                why="crash states computed from an incomplete log would be wrong",
                fix="record from before the file exists, or keep it in the initial image",
            )
        return known

    def _commit(self, seq: int) -> int:
        """One more version of the journal; 0 for ever where there is none."""
        if self.journaled:
            self.names.add(seq, seq, 0)
        return self.now

    @property
    def now(self) -> int:
        """The newest version of the journal."""
        return len(self.names.born) - 1

    def _name(self, seq: int, folder: int, name: str, ino: int | None) -> Chain:
        chain = self._entry(folder, name)
        chain.add(ino, seq, 0)
        self._step(seq).names.append(chain)
        if ino is not None:
            self.homes.setdefault(ino, []).append((seq, chain))
        return chain

    def _create(self, seq: int, effect: fx.Create) -> None:
        self.files[effect.ino] = FileChains(effect.ino, 0, seq, self._commit(seq))
        self._name(seq, effect.parent, effect.name, effect.ino)

    def _mkdir(self, seq: int, effect: fx.Mkdir) -> None:
        self.children.setdefault(effect.ino, [])
        self._commit(seq)
        self._name(seq, effect.parent, effect.name, effect.ino)

    def _symlink(self, seq: int, effect: fx.Symlink) -> None:
        self.targets[effect.ino] = effect.target
        self._commit(seq)
        self._name(seq, effect.parent, effect.name, effect.ino)

    def _link(self, seq: int, effect: fx.Link) -> None:
        self._commit(seq)
        self._name(seq, effect.parent, effect.name, effect.ino)

    def _unlink(self, seq: int, effect: fx.Unlink | fx.Rmdir) -> None:
        self._commit(seq)
        self._name(seq, effect.parent, effect.name, None)

    def _rename(self, seq: int, effect: fx.Rename) -> None:
        if effect.replaced == effect.ino:
            return  # rename(2): both names are the same file, nothing happens
        now = self._commit(seq)
        old = self._name(seq, effect.parent, effect.name, None)
        new = self._name(seq, effect.new_parent, effect.new_name, effect.ino)
        if effect.ino in self.children:
            self._tie(old, new, effect.ino)
        elif self.model.replace_flushes and effect.replaced is not None and effect.ino in self.files:
            known = self.files[effect.ino]
            known.holds.append((now, len(known.size.born) - 1, seq))
            self._step(seq).bound.add(effect.ino)

    def _tie(self, old: Chain, new: Chain, ino: int) -> None:
        if self.journaled:
            return
        here, there = len(old.born) - 1, len(new.born) - 1
        self.ties.setdefault(old, []).append((here, new, there))
        self.ties.setdefault(new, []).append((there, old, here))
        places = self.moved.setdefault(ino, [])
        places.extend(chain for chain in (old, new) if chain not in places)

    def _write(self, seq: int, effect: fx.Write) -> None:
        known, data, start = self._file(effect.ino), effect.data, effect.offset
        if not data:
            return
        end = start + len(data)
        for page in range(start // PAGE, (end - 1) // PAGE + 1):
            base = page * PAGE
            low, high = max(start, base), min(end, base + PAGE)
            self._splice(seq, known, page, low - base, data[low - start : high - start])
        if end > known.size.values[-1]:
            known.size.add(end, seq, self.now)
            known.wants.append(seq)
            self._touch(seq, known)

    def _splice(self, seq: int, known: FileChains, page: int, at: int, data: bytes) -> None:
        chain = known.pages.get(page)
        if chain is None:
            chain = known.pages[page] = Chain("page", known.ino, page, b"", known.size.born[0])
            chain.hole = True
        old: bytes = chain.values[-1]
        new = (old[:at].ljust(at, b"\0") + data + old[at + len(data) :]).rstrip(b"\0")
        if new == old:
            return
        chain.add(new, seq, self.now if chain.hole else chain.needs[-1])
        chain.hole = False
        self._step(seq).pages.append(chain)
        self._touch(seq, known)

    def _touch(self, seq: int, known: FileChains) -> None:
        if known.touched[-1] != seq:
            known.touched.append(seq)
        files = self._step(seq).files
        if known.ino not in files:
            files.append(known.ino)

    def _truncate(self, seq: int, effect: fx.Truncate) -> None:
        known, size = self._file(effect.ino), effect.size
        before = known.size.values[-1]
        if size == before:
            return
        now = self._commit(seq)
        known.size.add(size, seq, now)
        known.wants.append(known.wants[-1])
        version = len(known.size.born) - 1
        if size < before:
            known.cuts.append((seq, size))
            for page, chain in known.pages.items():
                self._cut(seq, chain, size - page * PAGE, now)
        if self.journaled:
            known.holds.append((now, version, known.holds[-1][2] if known.holds else 0))
            if size == 0 and known.opened is None:
                known.opened = (version, now, seq)
        self._touch(seq, known)

    def _cut(self, seq: int, chain: Chain, keep: int, now: int) -> None:
        if keep >= PAGE:
            return
        old: bytes = chain.values[-1]
        new = old[: max(0, keep)].rstrip(b"\0")
        dropped = keep <= 0
        if new != old:
            chain.add(new, seq, now if dropped else chain.needs[-1])
            self._step(seq).pages.append(chain)
        chain.hole = chain.hole or dropped
        chain.marks.append((seq, len(chain.born) - 1))

    # -- what becomes durable

    def _sync(self, seq: int, effect: fx.Sync) -> None:
        if effect.ino in self.children:
            self._sync_dir(seq, fx.SyncDir(effect.ino))
            return
        self._settle_file(seq, self._file(effect.ino))
        if self.model.sync_commits_names:
            self._settle_journal(seq)

    def _settle_file(self, seq: int, known: FileChains) -> None:
        if sum(chain.settle(seq) for chain in known.chains()):
            self._step(seq).settled.add(known.ino)

    def _settle_journal(self, seq: int) -> None:
        if self.names.settle(seq):
            self._step(seq).names_settled = True

    def _sync_dir(self, seq: int, effect: fx.SyncDir) -> None:
        if self.journaled:
            self._settle_journal(seq)
            return
        for chain in self.children.get(effect.ino, ()):
            self._settle_entry(seq, chain, len(chain.born) - 1)

    def _settle_entry(self, seq: int, chain: Chain, floor: int) -> None:
        """A name is durable; so is the other half of each directory rename that it is part of."""
        if not chain.settle(seq, floor):
            return
        self._step(seq).names_settled = True
        for here, other, there in self.ties.get(chain, ()):
            if here <= floor:
                self._settle_entry(seq, other, there)

    def _sync_all(self, seq: int, _effect: fx.SyncAll) -> None:
        for known in self.files.values():
            self._settle_file(seq, known)
        if self.journaled:
            self._settle_journal(seq)
        else:
            for chain in self.entries.values():
                self._settle_entry(seq, chain, len(chain.born) - 1)

    def _at_once(self, step: Step, seq: int, names: bool, data: bool) -> None:
        if names:
            self._settle_journal(seq)
        if data:
            for ino in step.files:
                self._settle_file(seq, self.files[ino])

    def _close(self, seq: int, effect: fx.Close) -> None:
        """ext4_release_file allocates what a truncation to zero left behind, so that it goes with the next commit."""
        known = self._file(effect.ino)
        opened, known.opened = known.opened, None
        if opened is None or not self.model.replace_flushes:
            return
        size, names, since = opened
        if self.names.low >= names or known.size.low >= size:
            return  # an fsync committed the truncation: the state before it is gone, so what came after it is possible
        newest = 0
        for chain in known.chains():
            first = size if chain is known.size else bisect_right(chain.born, since - 1)
            newest = max(newest, chain.needs[-1])
            self._forget(seq, chain, first, len(chain.born) - 1)
        self._forget(seq, self.names, names, newest)
        step = self._step(seq)
        step.bound.add(known.ino)
        step.names_settled = True

    @staticmethod
    def _forget(seq: int, chain: Chain, first: int, until: int) -> None:
        for index in range(first, until):
            chain.dies[index] = min(chain.dies[index], seq)
            chain.gaps = True

    _EFFECTS: ClassVar[dict[type, Callable[[Chains, int, Any], None]]] = {
        fx.Create: _create,
        fx.Mkdir: _mkdir,
        fx.Symlink: _symlink,
        fx.Link: _link,
        fx.Unlink: _unlink,
        fx.Rmdir: _unlink,
        fx.Rename: _rename,
        fx.Write: _write,
        fx.Truncate: _truncate,
        fx.Sync: _sync,
        fx.SyncDir: _sync_dir,
        fx.SyncAll: _sync_all,
        fx.Close: _close,
    }
