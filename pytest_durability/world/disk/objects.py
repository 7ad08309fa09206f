"""A mount that PUTs whole files knows no pages and no journal: what it has sent is a list of whole objects, in order.

Rule: everything is sent in program order, as whole objects by path. A file that was changed is sent when it is closed (or
synced, or renamed); a rename is a copy and a delete, that of a directory one of each for every file below it. A copy carries
what the client holds. Nothing here is lost: `netput` says what may be.

The rules are those that such mounts document (s3fs, goofys, rclone, mountpoint-s3 and the like: upload on close or fsync, no
atomic rename); where they differ, the one that loses less is taken: a file that is renamed or whose process ends is sent, and
directories are objects of their own.
"""

from __future__ import annotations

import os
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

from pytest_durability.errors import RecorderError
from pytest_durability.history import Lane, Op
from pytest_durability.persistence import Mount, PersistenceModel
from pytest_durability.world.disk import effects as fx
from pytest_durability.world.disk.chains import NEVER, PAGE
from pytest_durability.world.disk.copies import Holders, Keepers, count, keepers, said
from pytest_durability.world.disk.image import Image
from pytest_durability.world.disk.materialise import MASK, token
from pytest_durability.world.disk.tree import Tree

_SYNCS = (fx.Sync, fx.SyncDir, fx.SyncAll)


class Version:
    """What is at one path from a moment on.

    `kind`: file, dir, link or absent; `data`: its bytes, or where the link points to. `key`: its part of an image's key.
    `nth`: which PUT of this path made it, counted from 1 (0: it was there before, or no PUT made it).
    """

    __slots__ = ("_tokens", "data", "key", "kind", "moment", "nth")

    def __init__(self, path: str, kind: str, data: bytes = b"", *, moment: int = 0, nth: int = 0) -> None:
        self.kind, self.data, self.moment, self.nth = kind, data, moment, nth
        self.key = _key(path, kind, data)
        self._tokens: Counter[str] | None = None

    @property
    def tokens(self) -> Counter[str]:
        """How often each token stands in it."""
        if self._tokens is None:
            self._tokens = count(self.data) if self.kind == "file" else Counter()
        return self._tokens


@dataclass(frozen=True, slots=True)
class Sent:
    """One object sent or deleted on behalf of op `seq`: after it, `path` holds version number `index`."""

    seq: int
    path: str
    index: int
    what: str


@dataclass(slots=True)
class Change:
    """One operation of the program as people read it, and the moment from which on it is stored (NEVER: it is not).

    `gone`: the op from which on nothing of it is wanted any more, because the file was removed before it was sent.
    """

    seq: int
    what: str
    moment: int = NEVER
    gone: int = NEVER


class Objects:
    """Everything that one log sent; moment m is when the first m objects have arrived.

    `versions`: path -> what was there, oldest first. `sent[m - 1]` made moment m, `contents[m]` is the key of the image then.
    `syncs`: the ops at which the program waited for everything. `last`: number of the last op. `acknowledged`: at which moment
    which messages were, each with the files that held it and were not sent then.
    """

    def __init__(self, initial: Image, model: PersistenceModel) -> None:
        self.model = model
        self.mount = model.mount or Mount()
        self.versions: dict[str, list[Version]] = {}
        self.sent: list[Sent] = []
        self.contents = [0]
        self.changes: list[Change] = []
        self.sites: dict[int, str] = {}
        self.syncs: list[int] = []
        self.last = 0
        self.acknowledged: list[tuple[int, Holders]] = []
        self._said: Counter[str] = Counter()
        self._keepers: dict[frozenset[str], Keepers] = {}
        self._open: Counter[str] = Counter()
        for path in initial.dirs:
            self._adopt(path, Version(path, "dir"))
        for path, target in initial.links:
            self._adopt(path, Version(path, "link", os.fsencode(target)))
        for file in initial.files:
            self._adopt(file.path, Version(file.path, "file", file.data))

    @classmethod
    def build(cls, initial: Image, ops: Iterable[Op], model: PersistenceModel) -> Self:
        """Read a whole log, on top of `initial`, which is stored.

        Raises:
            RecorderError: an effect names a file or directory that neither `initial` nor the log made.
        """
        objects, log = cls(initial, model), list(ops)
        objects._said = said(log)
        client = _Client(objects, initial)
        for op in log:
            if op.seq <= objects.last:
                raise RecorderError(
                    f"op {op.seq} comes after op {objects.last}", why="op numbers are the time axis of crash states"
                )
            objects.last = op.seq
            client.see(op)
        objects._open = client.unsent()
        return objects

    def _adopt(self, path: str, version: Version) -> None:
        self.versions[path] = [version]
        self.contents[0] ^= version.key

    # -- making it

    def send(self, seq: int, path: str, kind: str, data: bytes = b"") -> None:
        """The next object arrives: a PUT (`file`), a link, a directory, or the end of one (`absent`)."""
        held = self.versions.setdefault(path, [Version(path, "absent")])
        before, moment = held[-1], len(self.contents)
        nth = 1 + next((version.nth for version in reversed(held) if version.nth), 0) if kind == "file" else 0
        version = Version(path, kind, data, moment=moment, nth=nth)
        held.append(version)
        self.contents.append(self.contents[-1] ^ before.key ^ version.key)
        what = f"PUT {path} {len(data)} B" if kind == "file" else f"delete {path}" if kind == "absent" else f"create {path}"
        self.sent.append(Sent(seq, path, len(held) - 1, what))

    # -- asking it

    @property
    def moments(self) -> int:
        """How many moments there are after the first."""
        return len(self.sent)

    def index(self, path: str, moment: int) -> int:
        """Which version of a path is there at a moment; 0 also before the first."""
        held = self.versions[path]
        return max(0, bisect_right(held, moment, key=_moment) - 1)

    def at(self, path: str, moment: int) -> Version:
        """What is at a path at a moment."""
        return self.versions[path][self.index(path, moment)]

    def holds(self, path: str, kind: str, moment: int) -> bool:
        """Whether a path holds a thing of this kind at a moment; the root is a directory."""
        return (not path and kind == "dir") or (path in self.versions and self.at(path, moment).kind == kind)

    def made_by(self, moment: int) -> int:
        """The op that made a moment (0: it was there before the first)."""
        return self.sent[moment - 1].seq if moment else 0

    def until(self, moment: int) -> int:
        """The last op after which a crash may leave this moment."""
        if moment == self.moments:
            return self.last
        seq = self.sent[moment].seq
        if self.mount.ack_loss == "until_fsync":
            at = bisect_left(self.syncs, seq)
            if at == len(self.syncs):
                return self.last
            seq = self.syncs[at]
        return max(self.made_by(moment), seq - 1)

    def waited(self, seq: int) -> int:
        """The last op up to `seq` at which the program waited for everything; 0: none."""
        at = bisect_right(self.syncs, seq)
        return self.syncs[at - 1] if at else 0

    def waits(self, seq: int) -> int:
        """The first op after `seq` at which the program waits for everything; NEVER: none."""
        at = bisect_right(self.syncs, seq)
        return self.syncs[at] if at < len(self.syncs) else NEVER

    @cached_property
    def unseen(self) -> frozenset[str]:
        """The messages that were said and never stood in plain text in any file."""
        return frozenset(self._said.keys() - self._holders.keys() - self._open.keys())

    def keepers(self, published: frozenset[str]) -> Keepers:
        """Who keeps messages, see `copies`."""
        found = self._keepers.get(published)
        if found is None:
            acknowledged = [self._held_by(moment, unsent) for moment, unsent in self.acknowledged]
            found = self._keepers[published] = keepers(acknowledged, self._changes(), published)
        return found

    def _held_by(self, moment: int, unsent: Holders) -> Holders:
        """The files that hold these tokens: at a moment, and as the program changed them since."""
        return {
            token: {*paths, *(path for path in self.holders(token) if token in self.at(path, moment).tokens)}
            for token, paths in unsent.items()
        }

    def _changes(self) -> Iterator[Holders]:
        """For each moment the tokens that came to a file or left one, with the files that hold them then."""
        yield self._held_by(0, dict.fromkeys(self._holders, ()))
        for moment, sent in enumerate(self.sent, start=1):
            held = self.versions[sent.path]
            changed = held[sent.index].tokens.keys() ^ held[sent.index - 1].tokens.keys()
            if changed:
                yield self._held_by(moment, dict.fromkeys(changed, ()))

    def holders(self, token: str) -> list[str]:
        """The paths that ever held a token."""
        return self._holders.get(token, [])

    @cached_property
    def _holders(self) -> dict[str, list[str]]:
        found: dict[str, dict[str, None]] = {}
        for path, held in self.versions.items():
            for version in held:
                for name in version.tokens:
                    found.setdefault(name, {})[path] = None
        return {name: list(paths) for name, paths in found.items()}

    def newest_of(self, seq: int) -> int | None:
        """The moment at which all that op `seq` sent has arrived; None if it sent nothing."""
        moment = bisect_right(self.sent, seq, key=_seq)
        return moment if self.made_by(moment) == seq else None


class _Client:
    """The side of the mount that the program sees: it knows what is open and changed, and sends it when its time comes."""

    def __init__(self, objects: Objects, initial: Image) -> None:
        self._objects, self._tree = objects, Tree.from_image(initial)
        self._dirty: dict[int, list[Change]] = {}

    def see(self, op: Op) -> None:
        """Take one op of the log over."""
        if op.lane is Lane.USER and op.kind == "open":
            self._send_all(op.seq)  # the process before this one has ended, and the system closed its files
        if op.lane is Lane.USER and op.kind == "ack":
            dirty = [(count(self._tree.data(ino)), self._tree.paths(ino)) for ino in self._dirty]
            held = {
                token: [path for counted, paths in dirty if token in counted for path in paths] for token in op.target.split(",")
            }
            self._objects.acknowledged.append((self._objects.moments, held))
        if op.lane is not Lane.DISK or op.effect is None:
            return
        self._objects.sites[op.seq] = op.site
        try:
            self._apply(op.seq, op.effect)
        except KeyError:
            raise RecorderError(
                f"op {op.seq} ({op.kind} {op.target}) changes something that nothing made",
                why="crash states computed from an incomplete log would be wrong",
                fix="record from before the file exists, or keep it in the initial image",
            ) from None

    def unsent(self) -> Counter[str]:
        """The tokens in files that were changed and not sent."""
        return sum((count(self._tree.data(ino)) for ino in self._dirty), Counter())

    def _apply(self, seq: int, effect: Any) -> None:
        tree = self._tree
        match effect:
            case fx.Create() | fx.Write() | fx.Truncate():
                tree.apply(effect)
                self._changed(seq, effect)
            case fx.Close():
                self._send_file(seq, effect.ino)
            case fx.Sync() | fx.SyncDir() | fx.SyncAll():
                self._synced(seq, effect)
            case fx.Rename():
                self._rename(seq, effect)
            case fx.Unlink() | fx.Rmdir():
                path = _joined(tree.path_of(effect.parent), effect.name)
                tree.apply(effect)
                self._forget(seq, effect.ino)
                self._namespace(seq, f"{'unlink' if isinstance(effect, fx.Unlink) else 'rmdir'} {path}", [(path, "absent", b"")])
            case fx.Link():
                self._send_file(seq, effect.ino)
                tree.apply(effect)
                path = _joined(tree.path_of(effect.parent), effect.name)
                self._namespace(seq, f"link {path}", [(path, "file", tree.data(effect.ino))])
            case fx.Mkdir() | fx.Symlink():
                tree.apply(effect)
                path = _joined(tree.path_of(effect.parent), effect.name)
                made = ("dir", b"") if isinstance(effect, fx.Mkdir) else ("link", os.fsencode(effect.target))
                self._namespace(seq, f"{type(effect).__name__.lower()} {path}", [(path, *made)])

    def _changed(self, seq: int, effect: fx.Create | fx.Write | fx.Truncate) -> None:
        paths = self._tree.paths(effect.ino)
        if not paths:
            return
        what = {fx.Create: "create", fx.Write: "write", fx.Truncate: "truncate"}[type(effect)]
        size = f" {len(effect.data)} B" if isinstance(effect, fx.Write) else ""
        to = f" to {effect.size} B" if isinstance(effect, fx.Truncate) else ""
        change = Change(seq, f"{what} {paths[0]}{size}{to}")
        self._objects.changes.append(change)
        self._dirty.setdefault(effect.ino, []).append(change)
        if self._objects.mount.ack_loss == "never":
            self._send_file(seq, effect.ino)

    def _synced(self, seq: int, effect: fx.Sync | fx.SyncDir | fx.SyncAll) -> None:
        if self._objects.mount.fsync == "no-op":
            return
        if isinstance(effect, fx.Sync):
            self._send_file(seq, effect.ino)
        elif isinstance(effect, fx.SyncAll):
            self._send_all(seq)
        self._objects.syncs.append(seq)

    def _send_all(self, seq: int) -> None:
        for ino in list(self._dirty):
            self._send_file(seq, ino)

    def _send_file(self, seq: int, ino: int) -> None:
        changes, paths = self._dirty.pop(ino, None), self._tree.paths(ino)
        if not changes or not paths:
            return
        data = self._tree.data(ino)
        for path in paths:
            self._objects.send(seq, path, "file", data)
        for change in changes:
            change.moment = self._objects.moments

    def _forget(self, seq: int, ino: int) -> None:
        """A file without a name is never sent."""
        if not self._tree.paths(ino):
            for change in self._dirty.pop(ino, ()):
                change.gone = seq

    def _namespace(self, seq: int, what: str, sends: list[tuple[str, str, bytes]]) -> None:
        objects = self._objects
        change = Change(seq, what)
        for path, kind, data in sends:
            held = objects.versions.get(path)
            if kind != "absent" or (held and held[-1].kind != "absent"):
                objects.send(seq, path, kind, data)
                change.moment = objects.moments
        if change.moment != NEVER:
            objects.changes.append(change)

    def _rename(self, seq: int, effect: fx.Rename) -> None:
        if effect.replaced == effect.ino:
            return
        tree = self._tree
        old = _joined(tree.path_of(effect.parent), effect.name)
        below = self._below(effect.ino) if tree.is_dir(effect.ino) else [effect.ino]
        for ino in below:
            self._send_file(seq, ino)
        whole = self._paths_below(old) if tree.is_dir(effect.ino) else [old]
        tree.apply(effect)
        if effect.replaced is not None:
            self._forget(seq, effect.replaced)
        new = _joined(tree.path_of(effect.new_parent), effect.new_name)
        self._namespace(seq, f"rename {old} to {new}", self._moves(old, new, whole))

    def _below(self, folder: int) -> list[int]:
        found = []
        for _name, ino in sorted(self._tree.entries(folder).items()):
            found += self._below(ino) if self._tree.is_dir(ino) else [ino]
        return found

    def _paths_below(self, old: str) -> list[str]:
        held = self._objects.versions
        found = [path for path in held if (path == old or path.startswith(f"{old}/")) and held[path][-1].kind != "absent"]
        return sorted(found, key=lambda path: path.split("/"))

    def _moves(self, old: str, new: str, whole: list[str]) -> list[tuple[str, str, bytes]]:
        """Copy and delete file by file; new directories come first, old ones go last."""
        held = self._objects.versions
        sends: list[tuple[str, str, bytes]] = []
        folders = []
        for path in whole:
            version, target = held[path][-1], new + path[len(old) :]
            sends.append((target, version.kind, version.data))
            if version.kind == "dir":
                folders.append(path)
            else:
                sends.append((path, "absent", b""))
        return sends + [(path, "absent", b"") for path in reversed(folders)]


def file_key(data: bytes) -> int:
    """The part of an image's key that stands for a file with these bytes, the same as `Materialiser` makes of its pages."""
    key = token(b"size", b"%d" % len(data))
    for page in range(-(-len(data) // PAGE)):
        part = data[page * PAGE : (page + 1) * PAGE].rstrip(b"\0")
        key ^= token(b"%d" % page, part) if part else 0
    return key


def _key(path: str, kind: str, data: bytes) -> int:
    name = os.fsencode(path)
    if kind == "dir":
        return token(b"dir", name)
    if kind == "link":
        return token(b"link", name, data)
    if kind == "file":
        return (file_key(data) * (token(b"by", name) | 1) + token(b"at", name)) & MASK
    return 0


def _joined(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _moment(version: Version) -> int:
    return version.moment


def _seq(sent: Sent) -> int:
    return sent.seq


__all__ = ["Change", "Objects", "Sent", "Version", "file_key"]
