"""Before Hypothesis draws, plain stories are told, struck at their places, and ended in the middle: what is common is found surely.

Rule: the choice is made by a seed and by what the stories did so far, so that places that were not struck yet come first.
(Hypothesis may not choose so: what one of its examples does must not depend on another.)
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pytest_durability.arming import INJECTORS, Arm, strikes
from pytest_durability.explore.drawn import TEXTS, Writer
from pytest_durability.faults import READS, Schedule, role_of
from pytest_durability.history import Lane
from pytest_durability.recording import Recording
from pytest_durability.verdict import Anomaly
from pytest_durability.workload import Append, AppendMany, Close, Commit, PowerLoss, Reload, Retry, Step, Workload

if TYPE_CHECKING:
    from pytest_durability.explore.search import Search

STORIES = {"dev": 16, "ci": 40, "deep": 200}
"""How many plain stories a profile tells before Hypothesis draws."""

STRIKES = 4
"""How many times each of them is told again, each time with one fault."""

ROLES = ("user", "assistant", "user", "assistant")
PLAIN = 7
"""So many of the texts are said in plain stories; the others are longer than a page, or no Unicode."""

Place = tuple[str, str, str]
"""Kind of operation, role of the file, name of the fault."""


def strike_places(search: Search, profile: str, seed: int, most: int | None = None) -> None:
    """Tell plain stories, each as it is and then with single faults; what is wrong is in `search.found`.

    It ends with the first story that shows something: what else there is, Hypothesis looks for. `most`: the number of stories
    that was asked for, if it is a smaller one.
    """
    chance = random.Random(seed)
    struck: set[Place] = set()
    count = STORIES[profile] if most is None else min(most, STORIES[profile])
    for workload in _stories(search, chance, count) if count else ():
        search.examples += 1
        recording = search.runner.played(workload, Schedule(), arming=True)  # which sees the reads too
        if _wrong(search, recording, Schedule()):
            return
        for arm in _faults(search, recording, chance, struck):
            if _wrong(search, search.runner.played((arm, *workload), Schedule(), arming=True), Schedule()):
                return
        if search.deaths and _wrong(search, search.runner.played(_dying(search, workload, chance), Schedule()), Schedule()):
            return


def _wrong(search: Search, recording: Recording, schedule: Schedule) -> bool:
    try:
        search.examine(recording, schedule)
    except Anomaly:
        return True
    return False


def _stories(search: Search, chance: random.Random, count: int) -> Iterator[Workload]:
    """The standard workload first, then short ones of every length."""
    able = search.runner.able
    yield search.runner.workload()
    kinds = ["append", "append", "reload", *(name for name in ("append_many", "commit", "close") if name in able.members)]
    if "append" not in able.members:
        return
    for number in range(1, count):
        writer = Writer(ids=able.promise.retry == "idempotent")
        yield Workload(tuple(_step(chance.choice(kinds), writer, chance) for _ in range(1 + number % 8)))


def _step(kind: str, writer: Writer, chance: random.Random) -> Step:
    if kind == "append":
        said = writer.say(chance.choice(ROLES), TEXTS[chance.randrange(PLAIN)])
        return Append(said.role, said.text, said.id)
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


def _faults(search: Search, recording: Recording, chance: random.Random, struck: set[Place]) -> Iterator[Arm]:
    """A few faults for a story, armed at its start: at places that no fault struck yet, then anywhere."""
    places = _places(search, recording)
    for _ in range(min(STRIKES, len(places))):
        fresh = [place for place in places if place not in struck]
        place = chance.choice(fresh or sorted(places))
        struck.add(place)
        kind, role, name = place
        if not places[place]:  # a read leaves no operation when nothing strikes it
            yield Arm(name, chance.choice([at for at, read in enumerate(recording.read) if read == (kind, role)]))
            continue
        op = chance.choice(places[place])
        before = recording.history[: op.seq - 1]
        skip = sum(1 for other in before if other.lane is Lane.DISK and strikes(name, other.kind, other.size))
        yield Arm(name, skip, chance.randrange(3))


def _places(search: Search, recording: Recording) -> dict[Place, list[Any]]:
    """Where each fault that may be armed could strike in a story, with the operations there (none for reads), in order."""
    found: dict[Place, list[Any]] = {}
    for name in search.names:
        kinds = INJECTORS[name][0]
        if kinds == READS:
            found |= {(kind, role, name): [] for kind, role in sorted(set(recording.read))}
            continue
        for op in recording.history.lane(Lane.DISK):
            if op.kind in kinds and op.effect is not None and (op.size > 1 or name in ("ENOSPC", "EIO", "LostWrite")):
                found.setdefault((op.kind, role_of(op.target) or "-", name), []).append(op)
    return found
