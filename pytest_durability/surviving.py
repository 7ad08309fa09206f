"""A machine that dies in the middle of a story goes on from one of the disk contents that may survive; here it is chosen.

Rule: a drawn choice becomes names that find the same content again: the place of the last operation, the op that made the
content, the version chains that are behind. Index 0 is always the content in which nothing was lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_durability.errors import UsageError
from pytest_durability.faults import Place, place_of, seq_of
from pytest_durability.history import History, Lane, Op
from pytest_durability.persistence import PersistenceModel, model
from pytest_durability.workload import PowerLoss
from pytest_durability.world.disk.chains import Chains
from pytest_durability.world.disk.image import Image
from pytest_durability.world.disk.states import Log, State, build, find, walk

START = "-:start:1"
"""The place of a content that existed before the first operation since the last death."""

CHOICES = 64
"""Among so many contents a drawn number chooses."""

WALKED = 4_000
"""So many states are looked at for them."""


class UnstagedError(UsageError):
    """A step names an operation that this run does not have."""


class UnreachableError(UsageError):
    """A step names a disk content that a crash can no longer leave; that is what a repair does."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """The part of a history between two deaths of the machine: its ops are those after op `base`, `initial` is what they found.

    `end`: its last op.
    """

    base: int
    end: int
    initial: Image


@dataclass(frozen=True, slots=True)
class Boundary:
    """One death of the machine within a story, and the disk content from which the story went on.

    `step`: how many steps came before. `point`: the last op before it. `first` and `lag` name the content in its epoch.
    """

    step: int
    point: int
    model: str
    first: int
    lag: tuple[str, ...]
    image: Image
    epoch: Epoch


def point_of(step: PowerLoss, history: History, earliest: int) -> int:
    """The last op before the death: the named place, or so many disk operations back, though not before op `earliest`.

    Raises:
        UnstagedError: there is no such place.
    """
    if step.after:
        found = seq_of(history, Place.parse(step.after))
        if found is None:
            raise UnstagedError(f"there is no operation {step.after} before the power loss")
        return found
    done = [op.seq for op in history[earliest:] if op.lane is Lane.DISK]
    return done[-min(step.back, len(done))] - 1 if step.back and done else len(history)


def surviving(step: PowerLoss, history: History, ops: Sequence[Op], initial: Image, point: int) -> tuple[State, PowerLoss]:
    """The content that survives if the machine ends right after op `point`, and the step with the names of what was chosen.

    `ops` are the operations since the last death, as they reached the disk.

    Raises:
        UnstagedError, UnreachableError: the content that the step names does not exist here, or no longer.
        UsageError: no machine can go on under this model.
    """
    rules = _local(step.model)
    log = build(initial, [op for op in ops if op.seq <= point], rules)
    newest = _newest(log)
    if step.lag or step.born:
        cut = _found(step, log, history, point)
    else:
        legal = _legal(log, newest) if step.pick else [newest]
        cut = legal[step.pick % len(legal)]
    after = "" if point == len(history) else str(place_of(history, point))
    if cut.content == newest.content:
        return newest, PowerLoss(step.model, after=after)
    born = START if cut.first == 0 else "" if cut.first == point else str(place_of(history, cut.first))
    return cut, PowerLoss(step.model, after=after, born=born, lag=cut.lag)


def _found(step: PowerLoss, log: Log, history: History, point: int) -> State:
    """The content that a step names."""
    born = 0
    if step.born != START:
        place = step.born or step.after
        found = seq_of(history, Place.parse(place)) if place else point
        if found is None:
            raise UnstagedError(f"there is no operation {place} before the power loss")
        born = found
    try:
        cut = find(log, born, step.lag)
    except UsageError as error:
        raise UnreachableError(error.what, why=error.why) from None
    if cut.last < log.last:
        raise UnreachableError(f"what the disk held after op {born} cannot be found after op {point} any more")
    return cut


def _newest(log: Log) -> State:
    """The content in which nothing is lost: made by the last op that changed anything."""
    assert isinstance(log, Chains)
    for seq in reversed(log.steps):
        try:
            return find(log, seq, ())
        except UsageError:  # an op that changed nothing on disk makes no content
            continue
    return find(log, 0, ())


def _legal(log: Log, newest: State) -> list[State]:
    """The distinct contents that may be found at the end of a log, fewest and latest losses first."""
    alive = [cut for cut in walk(log, lagging=1, versions=2, limit=WALKED) if cut.last >= log.last]
    alive.sort(key=lambda cut: (len(cut.lag), -cut.first))
    found: dict[int, State] = {newest.content: newest}
    for cut in alive:
        found.setdefault(cut.content, cut)
    return list(found.values())[:CHOICES]


def _local(name: str) -> PersistenceModel:
    """The model of this name, if a machine can go on after it.

    Raises:
        UsageError: there is no such model, or it is a mount, whose contents have no names that last.
    """
    found = model(name)
    if found.mount is not None:
        raise UsageError(
            f"PowerLoss(model={name!r}) is not offered",
            why="what a mount takes is tried at the end of a story, where nothing has to go on",
            fix="choose a local model, such as 'posix'; models= names what the end of the story is tried under",
        )
    return found
