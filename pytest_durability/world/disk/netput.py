"""What a mount that PUTs whole files may leave behind: what had been sent by then, and one PUT that went wrong.

Rule: objects arrive in the order in which they were sent, so that a crash takes only what was not sent yet. Besides, at most
`Mount.faults` PUTs of a state misbehave: a *lost PUT* was acknowledged and never stored, although later ones were; a *late
PUT* is an earlier one that is stored again after a later one, as a retry does that was delayed. Either matters until the next
PUT of the same path, so a state is one moment of the list with so many paths rolled back (by a late PUT at most `Mount.late`
PUTs far). Directories, links, deletes and
copies themselves do not misbehave, and nothing is rolled back into a directory that is not there.

Where the mount keeps no order, paths may besides be *behind* (what was sent since the last sync has not arrived there yet) or
*overtaken* (an earlier object of the same time between two syncs was stored last): of at most `BEHIND` paths of a state, and
not counted as misbehaviour.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pytest_durability.errors import UsageError
from pytest_durability.faults import role_of
from pytest_durability.verdict import Loss
from pytest_durability.world.disk.copies import taken
from pytest_durability.world.disk.image import File, Image
from pytest_durability.world.disk.objects import Objects, Version

BEHIND = 2
"""How many paths of one state may be behind or overtaken where the order is not kept."""

_FAULT = re.compile(r"(lost|late)-put\((.*)\)#([1-9][0-9]*)", re.DOTALL)
_ORDER = re.compile(r"(behind|overtaken)\((.*)\)<-([1-9][0-9]*)", re.DOTALL)
_STEPS = re.compile(r"sent<-([1-9][0-9]*)")


@dataclass(frozen=True, slots=True)
class Fault:
    """One PUT that misbehaved, the `nth` of its path: `lost`, or `late` (stored again after a later one).

    Or, where the order is not kept, a path that is `behind` or `overtaken` by `nth` objects.
    """

    kind: str
    path: str
    nth: int

    def __str__(self) -> str:
        return f"{self.kind}({self.path})<-{self.nth}" if self.in_order else f"{self.kind}-put({self.path})#{self.nth}"

    @property
    def in_order(self) -> bool:
        """Whether this is no misbehaviour, because the mount promises no order."""
        return self.kind in ("behind", "overtaken")


@dataclass(frozen=True, slots=True)
class Rollback:
    """One way in which one path can show an older version: these faults, that version, and what an image's key changes by."""

    path: str
    faults: tuple[Fault, ...]
    index: int
    change: int

    @property
    def misbehaved(self) -> int:
        """How many PUTs misbehaved for it."""
        return sum(not fault.in_order for fault in self.faults)

    @property
    def excuses(self) -> bool:
        """Whether messages may be missing for it: not if the store only had to wait for a sync."""
        return self.faults[0].kind != "behind"


@dataclass(frozen=True, slots=True)
class PutCut:
    """One crash state: what is stored if the crash comes right after any op from `first` to `last` (0: before all).

    `moment`: how many objects have arrived; if it ends in the middle of an op, the crash comes during that op.
    `content` is equal for equal images, also for those of a `Cut`. `picks` are the PUTs that misbehaved.
    """

    objects: Objects = field(repr=False, compare=False)
    first: int
    last: int
    content: int
    moment: int
    rolled: tuple[Rollback, ...] = ()

    @property
    def picks(self) -> tuple[Fault, ...]:
        """The PUTs that misbehaved."""
        return tuple(fault for one in self.rolled for fault in one.faults if not fault.in_order)

    @property
    def lag(self) -> tuple[str, ...]:
        """What `find` reads: `sent<-1` (an op that sends several objects lacks its last one), `lost-put(a.jsonl)#3`."""
        whole = self.objects.newest_of(self.first) if self.first else 0
        behind = (whole or 0) - self.moment
        return (*((f"sent<-{behind}",) if behind else ()), *(str(fault) for one in self.rolled for fault in one.faults))

    @property
    def less(self) -> list[tuple[str, ...]]:
        """The lags of states with less gone wrong, of which one may do for the same story: nothing, a part, not so far back."""
        lag = self.lag
        found: list[tuple[str, ...]] = [()] if lag else []
        found += [(one,) for one in lag if len(lag) > 1]
        if len(self.rolled) == 1:
            [own] = self.rolled
            nearer = offered(self.objects, own.path, self.moment, None)[0]
            before = tuple(text for text in lag if text.startswith("sent<-"))
            found += [(*before, *map(str, one.faults)) for one in nearer if one.index > own.index]
        return found

    def image(self) -> Image:
        """The files, directories and links of this state."""
        rolled = {one.path: one.index for one in self.rolled}
        files, dirs, links = [], [], []
        for number, (path, held) in enumerate(self.objects.versions.items(), start=1):
            at = rolled.get(path)
            version = held[self.objects.index(path, self.moment) if at is None else at]
            if version.kind == "file":
                files.append(File(path, version.data, number))
            elif version.kind == "dir":
                dirs.append(path)
            elif version.kind == "link":
                links.append((path, version.data.decode("utf-8", "surrogateescape")))
        files.sort(key=lambda file: file.path)
        return Image(tuple(files), tuple(sorted(dirs)), tuple(sorted(links)))

    def losses(self, point: int | None = None) -> list[Loss]:
        """The operations whose effects are missing, of all that were done when the crash comes after op `point` (`last`)."""
        point = self.last if point is None else point
        sites = self.objects.sites
        found = [
            Loss(change.seq, change.what, sites[change.seq], self._unsent(change.seq))
            for change in self.objects.changes
            if change.seq <= point < change.gone and change.moment > self.moment
        ]
        for one in self.rolled:
            held = self.objects.versions[one.path]
            for version in held[one.index + 1 : self.objects.index(one.path, self.moment) + 1]:
                sent = self.objects.sent[version.moment - 1]
                found.append(Loss(sent.seq, sent.what, sites.get(sent.seq, ""), self._why(one)))
        return sorted(found, key=lambda loss: loss.seq)

    def _unsent(self, seq: int) -> str:
        whole = self.objects.newest_of(seq)
        if whole is not None and seq == self.first and self.moment < whole:
            return "a mount that PUTs whole files has no atomic rename: it copies, then deletes, and the crash came in between"
        if self.objects.mount.ack_loss == "until_fsync":
            return "a mount that PUTs whole files may send later than it acknowledges, in order; no fsync waited for it"
        synced = "" if self.objects.mount.fsync == "no-op" else " or synced"
        return f"a mount that PUTs whole files stores nothing of a change before the file is closed{synced}"

    def _why(self, one: Rollback) -> str:
        kind = one.faults[0].kind
        if kind == "lost":
            return "a mount that PUTs whole files may lose one PUT that it acknowledged"
        if kind == "behind":
            return "this mount that PUTs whole files keeps no order between paths; no fsync waited for it"
        if kind == "overtaken":
            return (
                "this mount that PUTs whole files keeps no order; no fsync came between it and the PUT that was stored after it"
            )
        again = self.objects.versions[one.path][one.index]
        by = self.objects.sent[again.moment - 1]
        return f"a mount that PUTs whole files may store an earlier PUT (of op {by.seq}) once more, after a later one"

    def taken(self, published: frozenset[str], times: Mapping[str, int]) -> frozenset[str]:
        """The messages of which no stored file has a copy because of the PUTs that misbehaved (see `copies`).

        `published`: roles of the files of a healthy session; `times`: how often each message was said.
        """
        objects, found = self.objects, set[str]()
        if not any(one.excuses for one in self.rolled):
            return frozenset()
        rolled = {one.path: objects.versions[one.path][one.index] for one in self.rolled}
        for path, old in rolled.items():
            for token, wrote in objects.at(path, self.moment).tokens.items():
                said = times.get(token, 1)
                # Of a text that was said several times, as many copies may stand for other messages than those of before.
                if said > 1 or (old.tokens[token] < wrote and token not in found and self._took(token, rolled, published, said)):
                    found.add(token)
        return frozenset(found | objects.unseen)

    def _took(self, token: str, rolled: dict[str, Version], published: frozenset[str], times: int) -> bool:
        lost, stored = set[str](), set[str]()
        for path in self.objects.holders(token):
            wrote = self.objects.at(path, self.moment).tokens[token]
            left = rolled[path].tokens[token] if path in rolled else wrote
            if left < wrote:
                lost.add(role_of(path))
            if left:
                stored.add(role_of(path))
        return taken(lost, stored, self.objects.keepers(published), times)


class PutWalk(Iterator[PutCut]):
    """The crash states: first those in which nothing misbehaved, then those with one fault, and so on.

    Of those with faults, files that were deleted and come back are last. `limited` and `bounded` say afterwards whether the
    limit, or the bound on versions, left any out; `cuts` counts those made so far.
    """

    def __init__(self, objects: Objects, lagging: int | None, versions: int | None, limit: int | None) -> None:
        most = objects.mount.faults
        self.objects, self.limit, self._versions = objects, limit, versions
        self._lagging = most if lagging is None else min(lagging, most)
        self._behind = 0 if objects.mount.order == "fifo" else BEHIND
        self.cuts, self.limited, self.bounded = 0, False, False
        self._source = self._all()

    @property
    def cut_short(self) -> bool:
        """Whether there are more states with so many faults than were made."""
        return self.limited or self.bounded

    def __next__(self) -> PutCut:
        if self.limit is not None and self.cuts >= self.limit:
            self.limited = self.limited or next(self._source, None) is not None
            raise StopIteration
        cut = next(self._source)
        self.cuts += 1
        return cut

    def _all(self) -> Iterator[PutCut]:
        objects = self.objects
        for count in range(max(self._lagging, self._behind) + 1):
            for revived in (False, True) if count else (False,):
                recent: dict[str, None] = {}
                for moment in range(objects.moments + 1):
                    if moment and count:
                        path = objects.sent[moment - 1].path
                        recent.pop(path, None)
                        recent[path] = None
                    for rolled in self._choices(moment, list(reversed(recent)), count, revived=revived):
                        yield _cut(objects, moment, rolled)

    def _choices(self, moment: int, paths: list[str], count: int, *, revived: bool) -> Iterator[tuple[Rollback, ...]]:
        """Every way to put exactly `count` faults on these paths; with `revived`, those that bring a deleted file back."""
        if not count:
            yield ()
            return
        offers = []
        for path in paths:
            found, short = offered(self.objects, path, moment, self._versions)
            self.bounded = self.bounded or short
            if found:
                offers.append([one for one in found if len(one.faults) <= count])
        for size in range(1, count + 1):
            for group in itertools.combinations(offers, size):
                for rolled in itertools.product(*group):
                    revives = any(self._revives(one, moment) for one in rolled)
                    faults = sum(one.misbehaved for one in rolled)
                    if sum(len(one.faults) for one in rolled) == count and revives == revived and faults <= self._lagging:
                        yield rolled

    def _revives(self, one: Rollback, moment: int) -> bool:
        return self.objects.at(one.path, moment).kind == "absent"


def offered(objects: Objects, path: str, moment: int, versions: int | None) -> tuple[list[Rollback], bool]:
    """How one path can show an older version at a moment: by the order alone, and by PUTs that misbehave (see `rollbacks`)."""
    found, short = rollbacks(objects, path, moment, versions)
    if objects.mount.order == "fifo":
        return found, short
    ordered, cut = _unordered(objects, path, moment, versions)
    return [*ordered, *found], short or cut


def _unordered(objects: Objects, path: str, moment: int, versions: int | None) -> tuple[list[Rollback], bool]:
    """The older versions that one path may show because what was sent since the last sync keeps no order; newest first."""
    held, top = objects.versions[path], objects.index(path, moment)
    now = held[top]
    if not top or now.kind == "dir" or not objects.holds(path.rpartition("/")[0], "dir", moment):
        return [], False
    made = objects.made_by(now.moment)
    before, apart = objects.waited(made - 1), objects.waited(objects.made_by(moment)) < made
    found: list[Rollback] = []
    looks = {now.key}
    for index in range(top - 1, -1, -1):
        version = held[index]
        together = objects.made_by(version.moment) > before
        overtakes = together and objects.mount.order == "any"
        if version.kind == "dir" or not (apart or overtakes):
            break
        if version.key not in looks:
            if versions is not None and len(found) >= versions:
                return found, True
            kind = "overtaken" if overtakes else "behind"
            found.append(Rollback(path, (Fault(kind, path, top - index),), index, now.key ^ version.key))
            looks.add(version.key)
        if not together:
            break  # what was there at the last sync is as old as it gets
    return found, False


def rollbacks(objects: Objects, path: str, moment: int, versions: int | None) -> tuple[list[Rollback], bool]:
    """How one path can show an older version at a moment, and whether the bound on versions left one out.

    Newest first, each look once: the newest PUT lost (or the newest few, in a row), or an earlier PUT that came late.
    """
    most = objects.mount.late
    held, top = objects.versions[path], objects.index(path, moment)
    now = held[top]
    folder = path.rpartition("/")[0]
    if now.kind == "dir" or not objects.holds(folder, "dir", moment):
        return [], False
    if now.kind == "absent" and moment - now.moment > most:
        return [], False  # else each temporary file would come back at every later moment, for the store to delete again
    found: list[Rollback] = []
    looks, late, in_a_row = {now.key}, 0, True
    lost: tuple[Fault, ...] = ()
    for index in range(top - 1, -1, -1):
        after, version = held[index + 1], held[index]
        in_a_row = in_a_row and bool(after.nth)
        lost = (*lost, Fault("lost", path, after.nth)) if in_a_row else ()
        in_a_row = in_a_row and len(lost) <= objects.mount.faults
        if late >= most and not in_a_row:
            break
        if version.kind == "dir" or version.key in looks:
            continue
        if in_a_row and (len(lost) == 1 or not version.nth):
            found.append(Rollback(path, lost, index, now.key ^ version.key))
        elif version.nth and late < most:
            if versions is not None and late >= versions:
                return found, True
            found.append(Rollback(path, (Fault("late", path, version.nth),), index, now.key ^ version.key))
        else:
            continue
        looks.add(version.key)
        late += bool(version.nth)
    return found, False


def find(objects: Objects, born: int, lag: Sequence[str]) -> PutCut:
    """The crash state that began at op `born` with these PUTs misbehaving (`PutCut.first` and `PutCut.lag`).

    Raises:
        UsageError: there is no such state in this log.
    """
    whole = objects.newest_of(born) if born else 0
    if whole is None:
        raise _misfit(born, lag, f"op {born} sent nothing, so no crash state begins there")
    faults: dict[str, list[Fault]] = {}
    for text in lag:
        behind, fault = _STEPS.fullmatch(text), _FAULT.fullmatch(text) or _ORDER.fullmatch(text)
        if behind is not None:
            whole -= int(behind[1])
        elif fault is not None:
            faults.setdefault(fault[2], []).append(Fault(fault[1], fault[2], int(fault[3])))
        else:
            raise _misfit(born, lag, f"{text!r} is neither a PUT nor a number of objects")
    if whole < 0 or objects.made_by(whole) != born:
        raise _misfit(born, lag, f"op {born} did not send so many objects")
    if sum(not fault.in_order for own in faults.values() for fault in own) > objects.mount.faults:
        raise _misfit(born, lag, f"at most {objects.mount.faults} PUTs misbehave in one state")
    return _cut(objects, whole, tuple(_rollback(objects, whole, path, set(own), born, lag) for path, own in faults.items()))


def _rollback(objects: Objects, moment: int, path: str, faults: set[Fault], born: int, lag: Sequence[str]) -> Rollback:
    found = offered(objects, path, moment, None)[0] if path in objects.versions else []
    match = next((one for one in found if set(one.faults) == faults), None)
    if match is None:
        raise _misfit(born, lag, f"no PUT of {path} can have gone wrong in that way by then, or nothing would differ")
    return match


def _cut(objects: Objects, moment: int, rolled: tuple[Rollback, ...]) -> PutCut:
    content, first, last = objects.contents[moment], objects.made_by(moment), objects.until(moment)
    for one in rolled:
        content ^= one.change
    if any(fault.kind == "behind" for one in rolled for fault in one.faults):
        last = min(last, objects.waits(first) - 1)
    return PutCut(objects, first, last, content, moment, rolled)


def _misfit(born: int, lag: Sequence[str], why: str) -> UsageError:
    return UsageError(
        f"there is no crash state made at op {born} with {', '.join(lag) or 'nothing'} behind",
        why=why,
        fix="replay it on the log and under the model that it was found with",
    )
