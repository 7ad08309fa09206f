"""The walk stops at every op that changed something; what the op did not change is carried over instead of counted again.

Rule: a state is made here only if the op made it possible: its names, or a file that the op changed, must be new and visible.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterator
from operator import itemgetter
from typing import TypeAlias

from pytest_durability.world.disk.chains import NEVER, Chain, Step
from pytest_durability.world.disk.choices import Choice, NameChoices, mortals
from pytest_durability.world.disk.materialise import Materialiser, Picks, View
from pytest_durability.world.disk.options import FileState, Option

State: TypeAlias = tuple[Picks, int, int]
"""Chains behind, key of the content, last op after which it is possible."""

Total: TypeAlias = tuple[int, int, list[FileState]]
"""Key, last op, and the files that can be behind."""


class _Base:
    """The newest state, as sums over its files."""

    __slots__ = ("content", "lasts", "loose", "placed", "view")

    def __init__(self) -> None:
        self.view = View({}, {}, {}, {}, 0)
        self.content = 0
        self.placed: dict[int, int] = {}
        self.lasts: dict[int, int] = {}
        self.loose: dict[int, FileState] = {}


class Frame:
    """The moment right after one op; moving on keeps all that the next op did not change."""

    def __init__(self, disk: Materialiser, versions: int | None) -> None:
        self._disk, self._chains, self._versions = disk, disk.chains, versions
        self._states: dict[int, FileState] = {}
        self._before: dict[int, FileState] = {}
        self._settled: set[int] = set()
        self._base = _Base()
        self._stale = set(self._chains.files)
        self._mortal = mortals(self._chains, 0)
        self._loose: dict[Chain, None] = {}
        self._names = NameChoices(disk, 0, versions, (), self._mortal)
        self._few: dict[int, list[Choice]] = {}
        self._named = 0
        self._short = False
        self._refreshed_at = -1
        self.seq, self.step = 0, Step()

    def move(self, seq: int, step: Step) -> None:
        """On to the next op that changed something."""
        self.seq, self.step = seq, step
        for ino in (*step.files, *step.settled):
            if ino in self._states:
                self._before[ino] = self._states.pop(ino)
        for ino in step.bound:
            self._states.pop(ino, None)
            self._before.pop(ino, None)
        self._settled.update(step.settled)
        self._stale.update(step.files, step.settled, step.bound)
        journal = self._chains.names
        if step.names or step.names_settled or journal.born[journal.at(seq)] == seq:
            self._loose.update(dict.fromkeys(step.names))
            kept = [chain for chain in self._loose if not self._chains.journaled and chain.dies[chain.at(seq) - 1] > seq]
            self._loose = dict.fromkeys(kept)
            for chain in step.names:
                dies = chain.dies[chain.at(seq)]
                if dies < NEVER:
                    insort(self._mortal, (dies, -seq, chain), key=itemgetter(0))
            ended = bisect_right(self._mortal, seq, key=itemgetter(0))
            del self._mortal[:ended]
            self._names = NameChoices(self._disk, seq, self._versions, kept, self._mortal)
            self._few.clear()
            self._named = seq

    @property
    def settled(self) -> bool:
        """Whether it is known that no file can be behind here as long as no name is."""
        return self._refreshed_at == self.seq and not self._base.loose

    def choices(self, count: int) -> Iterator[Choice] | list[Choice]:
        """The choices of names with so many chains behind."""
        if count > 1:
            return self._names.choices(count)
        few = self._few.get(count)
        if few is None:
            few = self._few[count] = list(self._names.choices(count))
        return few

    def state(self, ino: int, names: int) -> FileState:
        """What one file can be under these names."""
        known, journal = self._chains.files[ino], self._chains.names
        top = journal.at(self.seq)
        if names < top and (names < journal.at(known.touched_by(self.seq)) or known.held(names) != known.held(top)):
            return self._new_state(ino, names)
        state = self._states.get(ino)
        if state is None:
            state = self._states[ino] = self._new_state(ino, top, self._before.pop(ino, None))
            self._settled.discard(ino)
        return state

    def _new_state(self, ino: int, names: int, before: FileState | None = None) -> FileState:
        known, new = self._chains.files[ino], [page for page in self.step.pages if page.owner == ino]
        settled = ino in self._settled
        return FileState(self._disk, known, self.seq, names, new, versions=self._versions, before=before, settled=settled)

    # -- states under one choice of names

    def states(self, choice: Choice, count: int) -> Iterator[State]:
        """The states that the op made possible, with these names and exactly `count` chains of files behind."""
        fresh = choice.fresh and self._named == self.seq
        touched = [self.state(ino, choice.names) for ino in self.step.files if ino in choice.view.paths]
        if not fresh and not any(state.legal and state.least.fresh for state in touched):
            return
        newest = choice.names == self._chains.names.at(self.seq)
        total = self._from_base(choice.view) if newest else self._from_nothing(choice)
        if total is None:
            return
        content, last, loose = total
        last = min(last, choice.last, self._chains.last)
        if not count:
            yield choice.picks, content, last
            return
        others = [state for state in loose if state.known.ino not in self.step.files]
        self._look_for_bound(touched, others, count, fresh)
        for picks, key, until in self._spread(touched, others, count, fresh, choice.view.paths):
            yield choice.picks + picks, content ^ key, min(last, until)

    def _from_nothing(self, choice: Choice) -> Total | None:
        """Key, last op and loose files of the state with nothing but these names behind; None if it is not legal."""
        content, last = choice.view.skeleton, NEVER
        loose: list[FileState] = []
        for ino, places in choice.view.paths.items():
            state = self.state(ino, choice.names)
            if not state.legal:
                return None
            least = state.least
            content ^= self._disk.placed(places, least.key)
            last = min(last, least.last)
            if state.loose:
                loose.append(state)
        return content, last, loose

    def _from_base(self, view: View) -> Total:
        """The same where the newest sizes are possible: by what differs from the newest names."""
        base = self._refreshed()
        content, lasts, loose = base.content ^ view.skeleton, base.lasts, base.loose
        changed = set() if view is base.view else {ino for ino, _paths in view.paths.items() ^ base.view.paths.items()}
        if changed:
            lasts = {ino: last for ino, last in lasts.items() if ino not in changed}
            loose = {ino: state for ino, state in loose.items() if ino not in changed}
        for ino in changed:
            content ^= base.placed.get(ino, 0)
            places = view.paths.get(ino)
            if places:
                state = self.state(ino, self._chains.names.at(self.seq))
                content ^= self._disk.placed(places, state.least.key)
                lasts[ino] = state.least.last
                if state.loose:
                    loose[ino] = state
        return content, min(lasts.values(), default=NEVER), list(loose.values())

    def _refreshed(self) -> _Base:
        base, names = self._base, self._chains.names.at(self.seq)
        view = self._disk.view(self.seq, names)
        if view is not base.view:
            self._stale.update(ino for ino, _paths in view.paths.items() ^ base.view.paths.items())
            base.view = view
        for ino in self._stale:
            base.content ^= base.placed.pop(ino, 0)
            base.lasts.pop(ino, None)
            base.loose.pop(ino, None)
            places = view.paths.get(ino)
            if places:
                state = self.state(ino, names)
                least = state.least
                base.placed[ino] = placed = self._disk.placed(places, least.key)
                base.content ^= placed
                if least.last < self._chains.last:
                    base.lasts[ino] = least.last
                if state.loose:
                    base.loose[ino] = state
        self._stale.clear()
        self._refreshed_at = self.seq
        return base

    def _spread(
        self, touched: list[FileState], others: list[FileState], count: int, fresh: bool, paths: dict[int, tuple[str, ...]]
    ) -> Iterator[tuple[Picks, int, int]]:
        """Share `count` out among the files that the op changed, then the others; one of the changed must be new."""
        if not touched:
            if fresh:
                yield from self._rest(others, 0, count, paths)
            return
        state, rest = touched[0], touched[1:]
        for own in range(count + 1):
            for option in state.options(own, fresh=not fresh and not rest):
                key = self._change(state, option, paths)
                for picks, more, last in self._spread(rest, others, count - own, fresh or option.fresh, paths):
                    yield option.picks + picks, key ^ more, min(option.last, last)

    def _rest(
        self, states: list[FileState], start: int, count: int, paths: dict[int, tuple[str, ...]]
    ) -> Iterator[tuple[Picks, int, int]]:
        if count == 0:
            yield (), 0, NEVER
            return
        for at in range(start, len(states)):
            for own in range(1, count + 1):
                for option in states[at].options(own, fresh=False):
                    key = self._change(states[at], option, paths)
                    for picks, more, last in self._rest(states, at + 1, count - own, paths):
                        yield option.picks + picks, key ^ more, min(option.last, last)

    def _change(self, state: FileState, option: Option, paths: dict[int, tuple[str, ...]]) -> int:
        places, least = paths[state.known.ino], state.least.key
        return self._disk.placed(places, least) ^ self._disk.placed(places, option.key) if option.key != least else 0

    # -- what the bound on versions left out

    def _look_for_bound(self, touched: list[FileState], others: list[FileState], count: int, fresh: bool) -> None:
        if self._short or self._versions is None:
            return
        new = fresh or len(touched) > 1
        short = any(state.cut_short(count, fresh=not new) for state in touched)
        self._short = short or any(state.cut_short(count, fresh=False) for state in others)

    def bounded(self, count: int) -> bool:
        """Whether the bound on versions left out a cut that this op made possible (with several names behind: perhaps)."""
        if count and not self._short and self._names.skipped:
            several = count > 1 and not self._chains.journaled
            self._short = several or any(self._would_be_new(item) for item in self._names.skipped)
        return self._short

    def _would_be_new(self, skipped: tuple[Chain, int]) -> bool:
        chain, version = skipped
        if chain is not self._chains.names:
            choice = self._names.chosen((skipped,))
        elif all(page.needs[page.at(self.seq)] > version for page in self.step.pages):
            return False
        else:
            choice = self._names.prefix(version)
        return choice is not None and next(self.states(choice, 0), None) is not None
