"""One file can be behind in many ways; here they are counted out, by how many of its chains are behind.

Rule: choose the size first, then the pages below it; page versions that look equal under the chosen size are one choice, so
no state is made twice. A choice is "behind" if it is older than the newest one that the earlier choices leave possible.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from operator import attrgetter
from typing import NamedTuple

from pytest_durability.world.disk.chains import NEVER, PAGE, Chain, FileChains
from pytest_durability.world.disk.materialise import Materialiser, Picks


class Option(NamedTuple):
    """One state of one file: chains behind, its key, the last op after which it is possible, "was it impossible before"."""

    picks: Picks
    key: int
    last: int
    fresh: bool


class _Run(NamedTuple):
    """Neighbouring versions of a page that look equal: the newest of them, the last op, and what the file's key changes by."""

    version: int
    last: int
    change: int


class _Part(NamedTuple):
    """What one page can be: its part of the file's key, the last op, older looks, and whether the bound left one out."""

    own: int
    last: int
    older: list[_Run]
    skipped: bool


class _Plan:
    """What the pages can do below one version of the size."""

    __slots__ = ("behind", "fresh", "key", "last", "pages", "parts", "size_fresh")

    def __init__(self, parts: dict[Chain, _Part], pages: int) -> None:
        self.parts, self.pages = parts, pages
        self.behind = [(page, part.older) for page, part in parts.items() if part.older]
        self.key = self.last = 0
        self.size_fresh = False
        self.fresh: set[Chain] = set()


_LAST = attrgetter("last")


def window(alive: Sequence[int], versions: int | None) -> tuple[list[int], Sequence[int]]:
    """The older versions to try, nearest first, and those that the bound leaves out, newest first.

    At most `versions` of them, and always the oldest, which is the durable one.
    """
    older = len(alive) - 1
    if versions is None or older <= versions + 1:
        return [alive[at] for at in range(older - 1, -1, -1)], ()
    near = [alive[at] for at in range(older - 1, older - 1 - versions, -1)]
    return [*near, alive[0]], alive[older - 1 - versions : 0 : -1]


class FileState:
    """All states of one file right after op `seq`, under names of version `names`.

    `legal` is False if no version of the size fits these names. `new` lists the pages that op `seq` changed. `before` is the
    state before that op, if only writes and syncs lie between (`settled`: a sync): most pages are then as they were.
    """

    __slots__ = (
        "_before",
        "_held",
        "_least",
        "_ones",
        "_plans",
        "_settled",
        "_versions",
        "disk",
        "known",
        "legal",
        "names",
        "new",
        "older",
        "seq",
        "skipped",
        "top",
    )

    def __init__(
        self,
        disk: Materialiser,
        known: FileChains,
        seq: int,
        names: int,
        new: Sequence[Chain] = (),
        *,
        versions: int | None = None,
        before: FileState | None = None,
        settled: bool = False,
    ) -> None:
        self.disk, self.known, self.seq, self.names, self.new, self._versions = disk, known, seq, names, new, versions
        low, self._held = known.held(names) if disk.chains.journaled else (0, 0)
        self.top = disk.top(known.size, seq, names)
        self.older = known.size.alive(low, self.top, seq)
        self.legal = bool(self.older) and self.older[-1] == self.top
        self._before, self._settled = before, settled
        self._least: Option | None = None
        self._plans: dict[int, _Plan] = {}
        self._ones: dict[bool, list[Option]] = {}
        self.skipped: Sequence[int] = ()
        if self.legal:
            self.older, self.skipped = window(self.older, versions)

    @property
    def least(self) -> Option:
        """The state with nothing behind."""
        found = self._least
        if found is None:
            plan = self.plan(self.top)
            found = self._least = Option((), plan.key, plan.last, plan.size_fresh or bool(plan.fresh))
        return found

    @property
    def loose(self) -> bool:
        """Whether anything can be behind."""
        return bool(self.older) or bool(self.plan(self.top).behind)

    def plan(self, size: int) -> _Plan:
        """What the pages can do below this version of the size."""
        plan = self._plans.get(size)
        if plan is None:
            plan = self._plans[size] = self._planned(size)
        return plan

    def _planned(self, size: int) -> _Plan:
        chain = self.known.size
        before = self._before if size == self.top else None
        self._before = None if size == self.top else self._before
        parts, pages, redo = self._carried(before, size) if before is not None else ({}, 0, self.known.pages.values())
        for page in redo:
            old = parts.pop(page, None)
            pages ^= old.own if old is not None else 0
            if int(page.part) * PAGE < chain.values[size]:
                part = parts[page] = self._part(page, size)
                pages ^= part.own
        plan = _Plan(parts, pages)
        plan.key = pages ^ self.disk.size_key(chain.values[size])
        plan.last = min(chain.dies[size] - 1, min(map(_LAST, parts.values()), default=NEVER))
        plan.size_fresh = chain.born[size] == self.seq
        plan.fresh = {page for page in self.new if self._is_fresh(page, size)}
        return plan

    def _part(self, page: Chain, size: int) -> _Part:
        top = self.disk.top(page, self.seq, self.names)
        alive = page.alive(self.floor(page, size), top, self.seq)
        limit = self.disk.limit(self.known, size, page, top)
        own = self.disk.page_key(page, top, limit) if limit > 0 else 0
        if len(alive) <= 1:
            return _Part(own, page.dies[top] - 1, [], skipped=False)
        runs, skipped = self._runs(page, size, alive, own)
        return _Part(own, runs[0].last, runs[1:], skipped)

    def _carried(self, before: FileState, size: int) -> tuple[dict[Chain, _Part], int, Collection[Chain]]:
        """Parts that a write left as they were, their share of the key, and the pages to look at again."""
        sizes, pages = self.known.size.values, self.known.pages
        old, first = before.plan(before.top), sizes[before.top] // PAGE
        many = -(-sizes[size] // PAGE) - first
        same = before.seq >= self.known.touched_by(self.seq - 1) and before.legal and before._held == self._held
        if not same or sizes[size] < sizes[before.top] or many > len(pages):
            return {}, 0, pages.values()
        parts = dict(old.parts)
        if self._settled or (not self.disk.masked and self.known.wants[size] == self.seq):
            for page, _older in old.behind:  # older versions are gone, or the new size needs all pages as they are now
                parts[page] = parts[page]._replace(older=[], skipped=False)
        edge = (pages[page] for page in range(first, first + many) if page in pages)
        return parts, old.pages, {*self.new, *edge}

    def floor(self, page: Chain, size: int) -> int:
        """The oldest version of a page that goes with this version of the size, and with the names."""
        low = page.at(self._held) if self._held else 0
        if not self.disk.masked:
            wanted = self.known.wants[size]
            if wanted:
                low = max(low, page.at(wanted))
            born = self.known.size.born[size]
            for seq, version in reversed(page.marks):
                if seq <= born:
                    low = max(low, version)
                    break
        return max(low, 0)

    def _seen(self, page: Chain, size: int, version: int) -> bytes:
        limit = self.disk.limit(self.known, size, page, version)
        data: bytes = page.values[version]
        return data if limit >= len(data) else data[: max(0, limit)].rstrip(b"\0")

    def _is_fresh(self, page: Chain, size: int) -> bool:
        """Whether the version that op `seq` made shows, and differs from the one before."""
        at = page.at(self.seq)
        return (
            self.disk.top(page, self.seq, self.names) == at
            and int(page.part) * PAGE < self.known.size.values[size]
            and self._seen(page, size, at) != self._seen(page, size, at - 1)
        )

    def _runs(self, page: Chain, size: int, alive: Sequence[int], own: int) -> tuple[list[_Run], bool]:
        """Distinct looks of a page, newest first, within the bound; and whether the bound left one out."""
        runs: list[_Run] = []
        seen, at = None, len(alive)
        for at in range(len(alive) - 1, -1, -1):
            version = alive[at]
            look = self._seen(page, size, version)
            if look == seen:
                last = runs[-1]
                runs[-1] = last._replace(last=max(last.last, page.dies[version] - 1))
                continue
            if self._versions is not None and len(runs) > self._versions:
                return self._with_oldest(page, size, alive, at, runs, own)
            runs.append(self._run(page, size, version, own))
            seen = look
        return runs, False

    def _run(self, page: Chain, size: int, version: int, own: int) -> _Run:
        limit = self.disk.limit(self.known, size, page, version)
        key = self.disk.page_key(page, version, limit) if limit > 0 else 0
        return _Run(version, page.dies[version] - 1, key ^ own)

    def _with_oldest(
        self, page: Chain, size: int, alive: Sequence[int], at: int, runs: list[_Run], own: int
    ) -> tuple[list[_Run], bool]:
        """The durable look of a page is always tried; `at` is the first version that the bound leaves out."""
        look, top = self._seen(page, size, alive[0]), 0
        while top < at and self._seen(page, size, alive[top + 1]) == look:
            top += 1
        oldest = self._run(page, size, alive[top], own)
        last = max(page.dies[alive[index]] - 1 for index in range(top + 1))
        return [*runs, oldest._replace(last=last)], top < at

    # -- states with something behind

    def options(self, count: int, *, fresh: bool) -> Iterator[Option] | list[Option]:
        """All states in which exactly `count` chains are behind; with `fresh`, only those that op `seq` made possible."""
        if count == 0:
            least = self.least
            return [least] if least.fresh or not fresh else []
        if count > 1:
            return self._options(count, fresh)
        ones = self._ones.get(fresh)
        if ones is None:
            ones = self._ones[fresh] = list(self._options(1, fresh))
        return ones

    def _options(self, count: int, fresh: bool) -> Iterator[Option]:
        yield from self._below(self.plan(self.top), (), count, fresh)
        size = self.known.size
        for version in self.older:
            if not fresh or self._shows(version):
                yield from self._below(self.plan(version), ((size, version),), count - 1, fresh)

    def _shows(self, size: int) -> bool:
        return any(self._is_fresh(page, size) for page in self.new)

    def _below(self, plan: _Plan, picks: Picks, count: int, fresh: bool) -> Iterator[Option]:
        if count == 0:
            if not fresh or plan.size_fresh or plan.fresh:
                yield Option(picks, plan.key, plan.last, plan.size_fresh or bool(plan.fresh))
            return
        for pages, key, last in _combined(plan.behind, 0, count, plan.key, plan.last):
            is_fresh = plan.size_fresh or any(page not in {chain for chain, _at in pages} for page in plan.fresh)
            if is_fresh or not fresh:
                yield Option(picks + pages, key, last, is_fresh)

    def option(self, behind: dict[Chain, int]) -> Option | None:
        """The state with exactly these chains behind; None if it is not one of `options`."""
        left = dict(behind)
        size = left.pop(self.known.size, self.top)
        if not self.legal or (size != self.top and size not in self.older) or (size == self.top and self.known.size in behind):
            return None
        plan = self.plan(size)
        key, last = plan.key, plan.last
        for page, runs in plan.behind:
            version = left.pop(page, None)
            if version is None:
                continue
            run = next((run for run in runs if run.version == version), None)
            if run is None:
                return None
            key, last = key ^ run.change, min(last, run.last)
        is_fresh = plan.size_fresh or any(page not in behind for page in plan.fresh)
        return None if left else Option(tuple(behind.items()), key, last, is_fresh)

    def cut_short(self, count: int, *, fresh: bool) -> bool:
        """Whether the bound on versions left out a state with up to `count` chains behind (`fresh`: one that is new)."""
        if not self.legal:
            return False
        skipped = self.skipped if self.known.cuts else self.skipped[:1]  # the largest shows most, if sizes only grew
        if skipped and (not fresh or any(self._shows(size) for size in skipped)):
            return True
        for size in (self.top, *self.older) if count > 1 else (self.top,):
            if fresh and size != self.top and not self._shows(size):
                continue
            plan = self.plan(size)
            if any(part.skipped and (not fresh or plan.size_fresh or plan.fresh - {page}) for page, part in plan.parts.items()):
                return True
        return False


def _combined(
    pages: list[tuple[Chain, list[_Run]]], start: int, count: int, key: int, last: int
) -> Iterator[tuple[Picks, int, int]]:
    """Every way to put exactly `count` of these pages behind; recursion is as deep as `count`."""
    for at in range(start, len(pages) - count + 1):
        page, runs = pages[at]
        for run in runs:
            pick, here, until = ((page, run.version),), key ^ run.change, min(last, run.last)
            if count == 1:
                yield pick, here, until
                continue
            for rest, whole, end in _combined(pages, at + 1, count - 1, here, until):
                yield pick + rest, whole, end
