"""Which names survive decides which files count at all, so every crash state starts with a choice of names.

Rule: with one journal a choice is a prefix of it; with single entries each may be behind by itself, except that a renamed
directory is in exactly one place. Entries of directories that are gone are no choice: nobody can see them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from pytest_durability.world.disk import effects as fx
from pytest_durability.world.disk.chains import NEVER, Chain, Chains
from pytest_durability.world.disk.materialise import Materialiser, Picks, View
from pytest_durability.world.disk.options import window


@dataclass(slots=True)
class Choice:
    """Names that may be found right after one op.

    `names`: version of the journal. `picks`: chains that are behind by choice; `behind`: also those that these force.
    `fresh`: not possible before the op. `last`: the last op after which it is possible.
    """

    view: View
    names: int
    picks: Picks
    behind: Picks
    fresh: bool
    last: int


Mortal: TypeAlias = tuple[int, int, Chain]
"""The op that ends the newest version of an entry, a number that keeps the order, the entry."""


def mortals(chains: Chains, seq: int) -> list[Mortal]:
    """The entries whose newest version after op `seq` will not last, by what ends it."""
    entries = ((chain.dies[max(0, chain.at(seq))], at, chain) for at, chain in enumerate(chains.entries.values()))
    return sorted(entry for entry in entries if entry[0] < NEVER)


class NameChoices:
    """All choices of names right after op `seq`, by how many chains are behind.

    `loose` are the entries that can be behind; `mortal` those whose newest version will not last, by what ends it.
    `skipped` collects what the bound on versions left out.
    """

    __slots__ = ("_chains", "_disk", "_loose", "_mortal", "_seq", "_versions", "skipped")

    def __init__(
        self,
        disk: Materialiser,
        seq: int,
        versions: int | None,
        loose: Sequence[Chain] = (),
        mortal: Sequence[Mortal] | None = None,
    ) -> None:
        self._disk, self._chains, self._seq, self._versions = disk, disk.chains, seq, versions
        self._loose = loose
        self._mortal = mortals(disk.chains, seq) if mortal is None else mortal
        self.skipped: dict[tuple[Chain, int], None] = {}

    def choices(self, count: int) -> Iterator[Choice]:
        """All choices with exactly `count` chains behind."""
        if self._chains.journaled:
            return self._prefixes(count)
        return self._entries(count)

    # -- one journal

    def _prefixes(self, count: int) -> Iterator[Choice]:
        names = self._chains.names
        top = names.at(self._seq)
        if count == 0:
            yield self.prefix(top)
        elif count == 1:
            older, skipped = window(names.alive(0, top, self._seq), self._versions)
            self.skipped.update(dict.fromkeys((names, version) for version in skipped))
            for version in older:
                yield self.prefix(version)

    def prefix(self, version: int) -> Choice:
        """The journal up to this version."""
        names = self._chains.names
        picks: Picks = () if version == names.at(self._seq) else ((names, version),)
        view = self._disk.view(self._seq, version)
        return Choice(view, version, picks, picks, names.born[version] == self._seq, names.dies[version] - 1)

    # -- one chain per entry

    def _entries(self, count: int) -> Iterator[Choice]:
        if count == 0:
            yield self._chosen((), ())
            return
        for group in itertools.combinations(self._loose, count):
            offers = []
            for chain in group:
                older, skipped = window(chain.alive(0, chain.at(self._seq), self._seq), self._versions)
                self.skipped.update(dict.fromkeys((chain, version) for version in skipped))
                offers.append([(chain, version) for version in older])
            for picks in itertools.product(*offers):
                choice = self.chosen(picks)
                if choice is not None:
                    yield choice

    def chosen(self, picks: Picks) -> Choice | None:
        """These entries behind; None if a directory would be in two places or none, or if a shorter list says the same."""
        behind = self._forced(picks)
        if behind is None:
            return None
        choice = self._chosen(picks, behind)
        gone = [pick for pick in picks if pick[0].owner not in choice.view.dirs]
        if gone and any(self._same(choice, tuple(other for other in picks if other != pick)) for pick in gone):
            return None
        if self._chains.moved and not self._all_reachable(choice.view, dict(behind)):
            return None
        return choice

    def _same(self, choice: Choice, fewer: Picks) -> bool:
        """Whether fewer entries behind give the same visible names."""
        behind = self._forced(fewer)
        if behind is None:
            return False
        view = self._disk.view(self._seq, 0, behind)
        if self._chains.moved and not self._all_reachable(view, dict(behind)):
            return False
        seen = {pick for pick in behind if pick[0].owner in view.dirs}
        return seen == {pick for pick in choice.behind if pick[0].owner in choice.view.dirs}

    def _forced(self, picks: Picks) -> Picks | None:
        """Add the other halves of directory renames; None if these picks contradict each other."""
        if not self._chains.ties:
            return picks
        chosen = dict(picks)
        settled: dict[Chain, int] = {}
        order = {chain: at for at, chain in enumerate(self._chains.entries.values()) if chain in self._chains.ties}
        for chain, place in order.items():
            newest = chain.at(self._seq)
            low, high = 0, newest
            for here, other, there in self._chains.ties[chain]:
                if order[other] < place:
                    if settled[other] < there:
                        high = min(high, here - 1)
                    else:
                        low = max(low, here) if here <= newest else low
            version = chosen.pop(chain, high)
            if not low <= version <= high or (version == high and any(chain is pick[0] for pick in picks)):
                return None
            if chain.dies[version] <= self._seq:
                return None
            settled[chain] = version
        forced = [(chain, at) for chain, at in settled.items() if at < chain.at(self._seq)]
        return (*forced, *chosen.items())

    def _all_reachable(self, view: View, behind: dict[Chain, int]) -> bool:
        """No renamed directory is nowhere, except one that never was outside a directory that is not there yet."""
        for ino, places in self._chains.moved.items():
            for chain in places:
                at = behind.get(chain, chain.at(self._seq))
                if chain.values[at] == ino and chain.owner not in view.dirs and not self._unborn(ino, behind, {ino}):
                    return False
        return True

    def _unborn(self, ino: int, behind: dict[Chain, int], seen: set[int]) -> bool:
        """Whether no operation that this state kept ever put the directory where the root can see it."""
        if ino == fx.ROOT:
            return False
        for _born, chain in self._chains.homes.get(ino, ()):
            at = behind.get(chain, chain.at(self._seq))
            if ino in chain.values[: at + 1] and chain.owner not in seen:
                seen.add(chain.owner)
                if not self._unborn(chain.owner, behind, seen):
                    return False
        return True

    def _chosen(self, picks: Picks, behind: Picks) -> Choice:
        view = self._disk.view(self._seq, 0, behind)
        held = dict(behind)
        last = self._chains.last
        for chain, at in behind:
            if chain.owner in view.dirs:
                last = min(last, chain.dies[at] - 1)
        for dies, _at, chain in self._mortal:
            if dies > last:
                break
            if chain.owner in view.dirs and chain not in held and chain.dies[chain.at(self._seq)] == dies:
                last = dies - 1
        step = self._chains.steps.get(self._seq)
        new = step.names if step else ()
        fresh = self._seq == 0 or any(
            chain not in held and (chain.owner in view.dirs or chain in self._chains.ties) for chain in new
        )
        return Choice(view, 0, picks, behind, fresh, last)
