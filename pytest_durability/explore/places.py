"""Before Hypothesis draws, plain stories are told, struck at their places, and ended in the middle: what is common is found surely.

Rule: the choice is made by a seed and by what the stories did so far, so that places that were not struck yet come first.
(Hypothesis may not choose so: what one of its examples does must not depend on another.)
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pytest_durability.arming import INJECTORS, Arm, strikes
from pytest_durability.explore.drawn import OTHER, REPLIES, TEXTS, Writer
from pytest_durability.faults import READS, Schedule, role_of
from pytest_durability.history import Lane, Op
from pytest_durability.recording import Recording
from pytest_durability.workload import Append, AppendMany, Ask, Close, Commit, On, PowerLoss, Reload, Retry, Step, Workload

if TYPE_CHECKING:
    from pytest_durability.capabilities import Capabilities
    from pytest_durability.explore.search import Search

STORIES = {"dev": 16, "ci": 40, "deep": 200}
"""How many plain stories a profile tells before Hypothesis draws."""

STRIKES = 4
"""How many times each of them is told again with one fault, and then crashed everywhere like any other story."""

GLANCES = 16
"""How many times more, with a fault where none struck yet; of these only the course and the end are judged."""

PLAYED = 2000
"""So many operations are played for that at most: a story of many gets fewer glances."""

BREAKS, WAYS = 2, 12
"""How many times more, with a turn that breaks, in one of so many ways."""

ROLES = ("user", "assistant", "user", "assistant")
PLAIN = 7
"""So many of the texts are said in plain stories; the others are longer than a page, or no Unicode."""

Place = tuple[str, str, str]
"""Kind of operation, role of the file, name of the fault."""

Places = dict[Place, list[Op | int]]
"""See `_places`."""

Spot = tuple[str, int, Place]
"""A place more closely: the call in which the operation is done (of reads that is not known), and how many such come before it there."""


def strike_places(search: Search, profile: str, seed: int, most: int | None = None) -> None:
    """Tell plain stories, each as it is and then with single faults; what is wrong is in `search.found`.

    It ends with the first story that shows something: what else there is, Hypothesis looks for. `most`: the number of stories
    that was asked for, if it is a smaller one.
    """
    chance = random.Random(seed)
    struck: set[Place] = set()
    known: set[Spot] = set()
    count = STORIES[profile] if most is None else min(most, STORIES[profile])
    for workload in _stories(search, chance, count) if count else ():
        search.examples += 1
        recording = search.runner.played(workload, Schedule(), arming=True)  # which sees the reads too
        if search.shows(recording):
            return
        places = _places(search, recording)
        for arm in (*_faults(recording, places, chance, struck), *_breaks(search, workload, chance)):
            told = search.runner.played((arm, *workload), Schedule(), arming=True)
            if search.shows(told, since=min(told.strikes, default=0)):
                return
        for arm in _spots(recording, places, chance, known):
            told = search.runner.played((arm, *workload), Schedule(), arming=True)
            if search.glance(told) and search.shows(told):
                return
        if search.deaths and search.shows(search.runner.played(_dying(search, workload, chance), Schedule())):
            return


def _stories(search: Search, chance: random.Random, count: int) -> Iterator[Workload]:
    """The standard workload first, then short ones of every length."""
    able = search.runner.able
    yield search.runner.workload()
    says = [name for name in ("append", "turn") if name in able.members]
    kinds = [*says[:1], *says, "reload", *(name for name in ("append_many", "commit", "close") if name in able.members)]
    for number in range(1, count if says else 0):
        writer = Writer(ids=able.promise.retry == "idempotent")
        steps = [_step(chance.choice(kinds), writer, chance) for _ in range(1 + number % 8)]
        yield Workload(tuple(_elsewhere(able, number, at, step) for at, step in enumerate(steps)))


def _elsewhere(able: Capabilities, number: int, at: int, step: Step) -> Step:
    """In some stories every second step is done through a second store object, in others in a second session."""
    if at % 2 == 0 or not isinstance(step, (Append, AppendMany, Ask, Commit)):
        return step
    match number % 4:
        case 2 if able.handles > 1:
            return On(step, handle=2)
        case 3 if able.sessions:
            return On(step, session=OTHER)
    return step


def _step(kind: str, writer: Writer, chance: random.Random) -> Step:
    if kind == "append":
        said = writer.say(chance.choice(ROLES), TEXTS[chance.randrange(PLAIN)])
        return Append(said.role, said.text, said.id)
    if kind == "turn":
        text, reply = TEXTS[chance.randrange(PLAIN)], chance.choice(REPLIES)
        return Ask(writer.say("user", text).text, writer.say("assistant", reply).text)
    if kind == "append_many":
        several = chance.randrange(1, len(ROLES) + 1)
        longer = chance.randrange(4) == 0  # a batch of several pages can be torn between two messages
        return AppendMany(tuple(writer.say(role, TEXTS[-1 if longer else chance.randrange(PLAIN)]) for role in ROLES[:several]))
    if kind == "commit":
        return Commit(chance.randrange(4))
    return Close() if kind == "close" else Reload()


def _dying(search: Search, workload: Workload, chance: random.Random) -> list[Step]:
    """The story with a death of the machine in the middle of one step, and the rest of it, or the same again, behind that."""
    steps = list(workload)
    at = chance.randrange(len(steps))
    death = PowerLoss(chance.choice(search.deaths), chance.randrange(1, 8), chance.randrange(4))
    return [*steps[: at + 1], death, *(steps[at + 1 :] or [Retry()])]


def _faults(recording: Recording, places: Places, chance: random.Random, struck: set[Place]) -> Iterator[Arm]:
    """A few faults for a story, armed at its start: at places that no fault struck yet, then anywhere."""
    for _ in range(min(STRIKES, len(places))):
        place = chance.choice([place for place in places if place not in struck] or sorted(places))
        struck.add(place)
        yield _aimed(recording, chance.choice(places[place]), place[2], chance)


def _breaks(search: Search, workload: Workload, chance: random.Random) -> Iterator[Arm]:
    """What breaks some of the turns of a story."""
    turns = sum(isinstance(step.step if isinstance(step, On) else step, Ask) for step in workload)
    for _ in range(min(BREAKS, turns) if search.streams else 0):
        yield Arm(chance.choice(search.streams), chance.randrange(turns), chance.randrange(WAYS))


def _spots(recording: Recording, places: Places, chance: random.Random, known: set[Spot]) -> Iterator[Arm]:
    """Some more, at spots that none struck yet."""
    nth, reads = _nth(recording), Counter[Place]()
    spots: dict[Spot, list[Op | int]] = {}
    for place, wheres in places.items():
        for where in wheres:
            spot = ("", min(reads[place], 2), place) if isinstance(where, int) else (*nth[where.seq], place)
            reads[place] += 1
            spots.setdefault(spot, []).append(where)
    fresh = [spot for spot in spots if spot not in known]
    most = min(GLANCES, max(1, PLAYED // max(1, len(recording.history))))
    for spot in chance.sample(fresh, min(most, len(fresh))):
        known.add(spot)
        yield _aimed(recording, chance.choice(spots[spot]), spot[2][2], chance)


def _aimed(recording: Recording, where: Op | int, name: str, chance: random.Random) -> Arm:
    """The fault of this name, armed at the start of the story so that it strikes there."""
    if isinstance(where, int):
        return Arm(name, where)
    before = recording.history[: where.seq - 1]
    skip = sum(1 for other in before if other.lane is Lane.DISK and strikes(name, other.kind, other.size))
    return Arm(name, skip, chance.randrange(3))


def _nth(recording: Recording) -> dict[int, tuple[str, int]]:
    """Of each operation on disk, by its number: the call in which it was done, and how many of its kind and role came before there."""
    found: dict[int, tuple[str, int]] = {}
    call, counts = "", Counter[tuple[str, str]]()
    for op in recording.history:
        if op.lane is Lane.USER and not op.call:
            call, counts = op.kind, Counter()
        elif op.lane is Lane.DISK:
            key = op.kind, role_of(op.target) or "-"
            found[op.seq] = call, counts[key]
            counts[key] += 1
    return found


def _places(search: Search, recording: Recording) -> Places:
    """Where each fault that may be armed could strike in a story, in order.

    With the operations there; a read leaves none unless something strikes it, so of these the positions among all reads.
    """
    found: Places = {}
    for name in search.names:
        kinds = INJECTORS[name][0]
        if kinds == READS:
            for at, (kind, role) in enumerate(recording.read):
                found.setdefault((kind, role, name), []).append(at)
            continue
        for op in recording.history.lane(Lane.DISK):
            if op.kind in kinds and op.effect is not None and (op.size > 1 or name in ("ENOSPC", "EIO", "LostWrite")):
                found.setdefault((op.kind, role_of(op.target) or "-", name), []).append(op)
    return found
