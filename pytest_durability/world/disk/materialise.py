"""A crash state must be turned into names and bytes, and thousands of them must be told apart without doing so.

Rule: keys are sums of parts (128-bit hashes joined by exclusive or), so that changing one page changes one part; equal images
have equal keys, whatever ops and inodes made them. Files that two states share are the same `bytes` object in both.
"""

from __future__ import annotations

import hashlib
import os
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from pytest_durability.world.disk import effects as fx
from pytest_durability.world.disk.chains import NEVER, PAGE, Chain, Chains, FileChains
from pytest_durability.world.disk.image import File, Image

Picks: TypeAlias = tuple[tuple[Chain, int], ...]
"""Which chains are behind, and the version that each of them has."""

MASK = (1 << 128) - 1
_KEPT_BYTES = 64 << 20
_KEPT_VIEWS = 512


def token(*parts: bytes) -> int:
    """128 bits that stand for these byte strings."""
    state = hashlib.blake2b(digest_size=16)
    for part in parts:
        state.update(b"%d:" % len(part))
        state.update(part)
    return int.from_bytes(state.digest(), "little")


@dataclass(slots=True)
class View:
    """One choice of names, resolved from the root: `dirs` and `paths` map inodes, `files` and `links` map paths."""

    dirs: dict[int, str]
    files: dict[str, int]
    links: dict[str, int]
    paths: dict[int, tuple[str, ...]]
    skeleton: int


class Materialiser:
    """Names, bytes and keys of the crash states of one `Chains`, with everything that can be shared kept."""

    __slots__ = ("_kept", "_pages", "_salts", "_sizes", "_views", "_weight", "chains", "masked", "times")

    def __init__(self, chains: Chains) -> None:
        self.chains = chains
        self.masked = not chains.model.size_needs_pages
        self.times = [0, *(seq for seq, step in chains.steps.items() if step.names)]
        self._views: dict[tuple[int, Picks], View] = {}
        self._salts: dict[str, tuple[int, int]] = {}
        self._sizes: dict[int, int] = {}
        self._pages: dict[tuple[Chain, int, int], int] = {}
        self._kept: dict[tuple[object, ...], bytes] = {}
        self._weight = 0

    @classmethod
    def of(cls, chains: Chains) -> Materialiser:
        """The one of these chains, made when first asked for."""
        if chains.scratch is None:
            chains.scratch = cls(chains)
        found: Materialiser = chains.scratch
        return found

    # -- keys

    def size_key(self, size: int) -> int:
        """The part of a file's key that stands for its size."""
        key = self._sizes.get(size)
        if key is None:
            key = self._sizes[size] = token(b"size", b"%d" % size)
        return key

    def page_key(self, chain: Chain, version: int, limit: int) -> int:
        """The part of a file's key that stands for the first `limit` bytes of a page; 0 if they are zeros, like a hole."""
        data: bytes = chain.values[version]
        if limit >= len(data):
            limit = PAGE
        key = self._pages.get((chain, version, limit))
        if key is None:
            data = data[:limit].rstrip(b"\0") if limit < PAGE else data
            key = self._pages[chain, version, limit] = token(b"%d" % chain.part, data) if data else 0  # type: ignore[str-format]
        return key

    def placed(self, paths: Iterable[str], key: int) -> int:
        """The part of an image's key that stands for a file with this key under these paths."""
        total = 0
        for path in paths:
            salt = self._salts.get(path)
            if salt is None:
                name = os.fsencode(path)
                salt = self._salts[path] = (token(b"by", name) | 1, token(b"at", name))
            total ^= (key * salt[0] + salt[1]) & MASK
        return total

    # -- names

    def view(self, seq: int, names: int, picks: Picks = ()) -> View:
        """The tree right after op `seq`, with this version of the journal, or with these names behind."""
        if self.chains.journaled:
            seq = self.chains.names.born[names]
        time = self.times[bisect_right(self.times, seq) - 1]
        found = self._views.get((time, picks))
        if found is None:
            if len(self._views) >= _KEPT_VIEWS:
                self._views.pop(next(iter(self._views)))
            found = self._views[time, picks] = self._derived(time, picks) or self._built(time, dict(picks))
        return found

    def _derived(self, time: int, picks: Picks) -> View | None:
        """From a view that differs in a few files only; None if it must be built."""
        if picks:
            base = self.view(time, self.chains.names.at(time))
            return self._shifted(base, [(chain, chain.values[chain.at(time)], chain.values[at]) for chain, at in picks])
        at = bisect_left(self.times, time)
        earlier = self._views.get((self.times[at - 1], ())) if at else None
        if earlier is None:
            return None
        changed = ((chain, chain.at(time)) for chain in self.chains.steps[time].names)
        return self._shifted(earlier, [(chain, chain.values[at - 1] if at else None, chain.values[at]) for chain, at in changed])

    def _shifted(self, base: View, changes: list[tuple[Chain, int | None, int | None]]) -> View | None:
        folders = self.chains.children
        if any(old in folders or new in folders for _chain, old, new in changes):
            return None
        files, links, paths, skeleton = dict(base.files), dict(base.links), dict(base.paths), base.skeleton
        for chain, old, new in changes:
            folder = base.dirs.get(chain.owner)
            if folder is None:
                continue
            path = f"{folder}/{chain.part}" if folder else str(chain.part)
            if old is not None and files.pop(path, None) is not None:
                rest = tuple(other for other in paths.pop(old) if other != path)
                if rest:
                    paths[old] = rest
            elif old is not None and links.pop(path, None) is not None:
                skeleton ^= self._link_key(path, old)
            if new in self.chains.targets:
                links[path] = new
                skeleton ^= self._link_key(path, new)
            elif new is not None:
                files[path] = new
                paths[new] = tuple(sorted((*paths.get(new, ()), path)))
        return View(base.dirs, files, links, paths, skeleton)

    def _link_key(self, path: str, ino: int) -> int:
        return token(b"link", os.fsencode(path), os.fsencode(self.chains.targets[ino]))

    def _built(self, time: int, behind: Mapping[Chain, int]) -> View:
        view = View({}, {}, {}, {}, 0)
        found: dict[int, list[str]] = {}
        ahead = [(fx.ROOT, "")]
        while ahead:
            folder, base = ahead.pop()
            if folder in view.dirs:
                continue
            view.dirs[folder] = base
            if folder != fx.ROOT:
                view.skeleton ^= token(b"dir", os.fsencode(base))
            for chain in self.chains.children[folder]:
                at = behind.get(chain)
                ino = chain.values[chain.at(time) if at is None else at]
                if ino is None:
                    continue
                path = f"{base}/{chain.part}" if base else str(chain.part)
                if ino in self.chains.children:
                    ahead.append((ino, path))
                elif ino in self.chains.targets:
                    view.links[path] = ino
                    view.skeleton ^= self._link_key(path, ino)
                else:
                    view.files[path] = ino
                    found.setdefault(ino, []).append(path)
        view.paths = {ino: tuple(sorted(paths)) for ino, paths in found.items()}
        return view

    # -- bytes

    def limit(self, known: FileChains, size: int, chain: Chain, version: int) -> int:
        """How many bytes of this page version are seen under this version of the size (may be 0 or less).

        What a truncation cut off is never seen again under a size as new as the truncation, even if the page is older.
        """
        base = int(chain.part) * PAGE
        limit: int = min(PAGE, known.size.values[size] - base)
        if self.masked and known.cuts:
            born, until = chain.born[version], known.size.born[size]
            for seq, kept in known.cuts:
                if born < seq <= until and kept - base < limit:
                    limit = kept - base
        return limit

    def top(self, chain: Chain, seq: int, names: int) -> int:
        """The newest version right after op `seq` that these names allow."""
        newest = chain.at(seq)
        if chain.needs[newest] > names:
            newest = bisect_right(chain.needs, names, 0, newest) - 1
        return newest

    def content(self, known: FileChains, seq: int, names: int, behind: Mapping[Chain, int]) -> bytes:
        """The bytes of one file in one state; equal states give the same object as long as it is remembered."""
        own = tuple((chain, at) for chain, at in behind.items() if chain.owner == known.ino and chain.kind != "name")
        touched = bisect_right(known.touched, seq)
        bound = names if names < self.chains.names.at(known.touched[touched - 1]) else NEVER
        memo = (known, touched, bound, own)
        data = self._kept.get(memo)
        if data is None:
            data = self._read(known, seq, names, behind)
            self._weight += len(data)
            if self._weight > _KEPT_BYTES:
                self._kept.clear()
                self._weight = len(data)
            self._kept[memo] = data
        return data

    def _read(self, known: FileChains, seq: int, names: int, behind: Mapping[Chain, int]) -> bytes:
        picked = behind.get(known.size)
        version = self.top(known.size, seq, names) if picked is None else picked
        size: int = known.size.values[version]
        parts = []
        for page in range(-(-size // PAGE)):
            chain = known.pages.get(page)
            data = b""
            if chain is not None:
                picked = behind.get(chain)
                at = self.top(chain, seq, names) if picked is None else picked
                data = chain.values[at][: max(0, self.limit(known, version, chain, at))]
            parts.append(data.ljust(min(PAGE, size - page * PAGE), b"\0"))
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def image(self, seq: int, names: int, view: View, behind: Mapping[Chain, int]) -> Image:
        """The whole tree of one state."""
        held = {ino: self.content(self.chains.files[ino], seq, names, behind) for ino in view.paths}
        files = tuple(File(path, held[ino], ino) for path, ino in sorted(view.files.items()))
        links = tuple((path, self.chains.targets[ino]) for path, ino in sorted(view.links.items()))
        return Image(files, tuple(sorted(path for path in view.dirs.values() if path)), links)
