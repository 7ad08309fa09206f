"""Every state that a crash can leave is listed here once, the likeliest losses first, each with the moments it belongs to.

Rule: a cut is made at the op that made its newest visible version, and it stays possible until a sync takes one of its
versions away. All cuts with nothing behind come first (over the whole log), then those with one chain behind, then two: a
limit takes away the least important ones, and it is said whether a bound took any.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from pytest_durability.errors import UsageError
from pytest_durability.verdict import Loss
from pytest_durability.world.disk.chains import Chains, Step
from pytest_durability.world.disk.choices import Choice, NameChoices
from pytest_durability.world.disk.frames import Frame
from pytest_durability.world.disk.image import Image
from pytest_durability.world.disk.labels import label
from pytest_durability.world.disk.losses import losses
from pytest_durability.world.disk.materialise import Materialiser, Picks
from pytest_durability.world.disk.options import FileState


@dataclass(frozen=True, slots=True)
class Cut:
    """One crash state: what is on disk if the crash comes right after any op from `first` to `last` (0: before all).

    `content` is equal for equal images, of any `Chains`. `picks` are the chains that are behind by choice; what these force
    to be behind as well (a lost journal entry takes the sizes after it along) is not listed.
    """

    chains: Chains = field(repr=False, compare=False)
    first: int
    last: int
    content: int
    picks: Picks = ()

    @property
    def lag(self) -> tuple[str, ...]:
        """The chains that are behind, as text that `find` reads: `size(a.jsonl)<-1` is one version behind at `first`."""
        return tuple(f"{label(self.chains, chain, self.first)}<-{chain.at(self.first) - at}" for chain, at in self.picks)

    @property
    def less(self) -> list[tuple[str, ...]]:
        """The lags of states in which less is behind, of which one may do for the same story."""
        lag = self.lag
        return [(), *((one,) for one in lag)] if len(lag) > 1 else [()] if lag else []

    def image(self) -> Image:
        """The files, directories and links of this state."""
        choice = _choice(self.chains, self.first, self.picks)
        return Materialiser.of(self.chains).image(self.first, choice.names, choice.view, dict(self.picks))

    def taken(self, published: frozenset[str], times: Mapping[str, int]) -> frozenset[str]:
        """The messages that a write took which was acknowledged as stored: none, because these models never lie."""
        del published, times
        return frozenset()

    def losses(self, point: int | None = None) -> list[Loss]:
        """The operations whose effects are missing, of all that were done when the crash comes after op `point` (`last`)."""
        choice = _choice(self.chains, self.first, self.picks)
        return losses(self.chains, choice, self.first, self.last if point is None else point, dict(self.picks))


def walk(chains: Chains, *, lagging: int | None = 2, versions: int | None = 4, limit: int | None = None) -> Walk:
    """Iterate over the crash states.

    Args:
        chains: what the log made.
        lagging: at most so many chains are behind at once (None: any number).
        versions: a chain is behind by at most so many versions, or at its durable one (None: any number).
        limit: at most so many cuts.
    """
    for name, value in (("lagging", lagging), ("versions", versions), ("limit", limit)):
        if value is not None and value < 0:
            raise UsageError(
                f"{name} is {value}", why="a bound below zero leaves nothing", fix="use 0 or more, or None for no bound"
            )
    return Walk(chains, lagging, versions, limit)


class Walk(Iterator[Cut]):
    """The cuts, and afterwards what was left out: `limited` by the limit, `bounded` by the bound on versions.

    Both are exact, but for one case that errs on the side of True: several names behind, one of them by too many versions.
    `cuts` counts those made so far.
    """

    def __init__(self, chains: Chains, lagging: int | None, versions: int | None, limit: int | None) -> None:
        self.chains, self.limit = chains, limit
        self.cuts, self.limited, self.bounded = 0, False, False
        deepest = _deepest(chains)
        self._lagging = deepest if lagging is None else min(lagging, deepest)
        self._versions = versions
        self._disk = Materialiser.of(chains)
        self._source = self._all()

    @property
    def cut_short(self) -> bool:
        """Whether there are more cuts with at most so many chains behind than were made."""
        return self.limited or self.bounded

    def __iter__(self) -> Walk:
        return self

    def __next__(self) -> Cut:
        if self.limit is not None and self.cuts >= self.limit:
            self.limited = self.limited or next(self._source, None) is not None
            raise StopIteration
        cut = next(self._source)
        self.cuts += 1
        return cut

    def _all(self) -> Iterator[Cut]:
        settled: set[int] = set()
        for count in range(self._lagging + 1):
            for frame in self._frames():
                for own in range(int(frame.seq in settled), count + 1):  # there a file is behind only if a name is
                    for choice in frame.choices(own):
                        for picks, content, last in frame.states(choice, count - own):
                            yield Cut(self.chains, frame.seq, last, content, picks)
                self.bounded = self.bounded or frame.bounded(count)
                if not count and frame.settled:
                    settled.add(frame.seq)

    def _frames(self) -> Iterator[Frame]:
        frame = Frame(self._disk, self._versions)
        yield frame
        for seq, step in self.chains.steps.items():
            frame.move(seq, step)
            if step.names or step.files:
                yield frame


def find(chains: Chains, born: int, lag: Sequence[str]) -> Cut:
    """The cut that was made at op `born` with these chains behind (`Cut.first` and `Cut.lag`).

    Raises:
        UsageError: there is no such cut in this log, or it is no legal state.
    """
    picks = _parsed(chains, born, lag)
    step = chains.steps.get(born)
    if born and (step is None or not (step.names or step.files)):
        raise _misfit(born, lag, f"op {born} changed nothing on disk, so no crash state begins there")
    cut = _cut(chains, born, picks)
    if cut is None:
        raise _misfit(born, lag, "the model does not allow these versions together")
    return cut


def _cut(chains: Chains, seq: int, picks: Picks) -> Cut | None:
    """Check and count one state in full, by the same definitions as the walk but without its shortcuts."""
    disk, choice = Materialiser.of(chains), _legal_choice(chains, seq, picks)
    if choice is None:
        return None
    left = {chain: at for chain, at in picks if chain.kind in ("size", "page")}
    step = chains.steps.get(seq, Step())
    content, last, fresh = choice.view.skeleton, min(choice.last, chains.last), choice.fresh
    for ino, paths in choice.view.paths.items():
        new = [page for page in step.pages if page.owner == ino]
        own = {chain: left.pop(chain) for chain in list(left) if chain.owner == ino}
        option = FileState(disk, chains.files[ino], seq, choice.names, new).option(own)
        if option is None:
            return None
        content ^= disk.placed(paths, option.key)
        last, fresh = min(last, option.last), fresh or (ino in step.files and option.fresh)
    return Cut(chains, seq, last, content, picks) if fresh and not left else None


def _parsed(chains: Chains, seq: int, lag: Sequence[str]) -> Picks:
    known = {}
    if lag:
        own = [chains.names] if chains.journaled else list(chains.entries.values())
        for chain in (*own, *(chain for held in chains.files.values() for chain in held.chains())):
            if chain.at(seq) > 0:
                known[label(chains, chain, seq)] = chain
    picks = []
    for text in lag:
        name, _, steps = text.rpartition("<-")
        found = known.get(name)
        if found is None or not steps.isascii() or not steps.isdigit() or not 0 < int(steps) <= found.at(seq):
            raise _misfit(seq, lag, f"{text!r} is not a chain with as many versions after op {seq}")
        picks.append((found, found.at(seq) - int(steps)))
    return tuple(picks)


def _misfit(born: int, lag: Sequence[str], why: str) -> UsageError:
    return UsageError(
        f"there is no crash state made at op {born} with {', '.join(lag) or 'nothing'} behind",
        why=why,
        fix="replay it on the log and under the model that it was found with",
    )


def _legal_choice(chains: Chains, seq: int, picks: Picks) -> Choice | None:
    names = NameChoices(Materialiser.of(chains), seq, None)
    own = tuple(pick for pick in picks if pick[0].kind in ("names", "name"))
    if any(chain.dies[at] <= seq for chain, at in own):
        return None
    if not chains.journaled:
        return names.chosen(own)
    return names.prefix(dict(own).get(chains.names, chains.names.at(seq)))


def _choice(chains: Chains, seq: int, picks: Picks) -> Choice:
    choice = _legal_choice(chains, seq, picks)
    assert choice is not None
    return choice


def _deepest(chains: Chains) -> int:
    """The largest number of chains that can be behind at once, or a little more."""
    change: dict[int, int] = {}
    names = [chains.names] if chains.journaled else list(chains.entries.values())
    for chain in (*names, *(chain for known in chains.files.values() for chain in known.chains())):
        until = 0
        for start, end in zip(chain.born[1:], chain.dies, strict=False):
            if end > max(start, until):
                if start > until:
                    change[until] = change.get(until, 0) - 1
                    change[start] = change.get(start, 0) + 1
                until = end
        change[until] = change.get(until, 0) - 1
    change.pop(0, None)
    return max(accumulate(change[seq] for seq in sorted(change)), default=0)
