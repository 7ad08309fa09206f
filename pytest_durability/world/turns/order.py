"""Which of several turns goes on next is data: an order can be chosen, found, shortened, saved and run again.

Rule: an order is the list of names chosen wherever there was a choice; where it ends, or names what cannot go on, the turn
that ran last goes on, so that any order can be run on any program. Switching away from a turn that could go on is a
preemption; switching because it waits, or has ended, is free.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pytest_durability.errors import UsageError
from pytest_durability.faults import CancelTurn, ReorderTurns


def turn_of(name: str) -> str:
    """The turn that a task belongs to: `0.2` is the second task that turn `0` started, `0:1` its first call in a thread."""
    for place, letter in enumerate(name):
        if letter in ".:":
            return name[:place]
    return name


@dataclass(frozen=True, slots=True)
class Point:
    """A moment at which several could go on: their names, in the order in which they became ready.

    `stay`: the index of the one that goes on without a preemption (None: who ran last cannot go on, so any may).
    `touched`: what the step before did that others could notice (None: nobody knows).
    """

    ready: tuple[str, ...]
    stay: int | None
    touched: frozenset[str] | None = None

    @classmethod
    def at(cls, last: str, ready: tuple[str, ...], touched: frozenset[str] | None = None) -> Point:
        """The point after a step of `last`."""
        if last in ready:
            return cls(ready, ready.index(last), touched)
        turn = turn_of(last)
        return cls(ready, next((i for i, name in enumerate(ready) if turn_of(name) == turn), None))

    @property
    def usual(self) -> int:
        """The index that is taken if nobody wants another one."""
        return 0 if self.stay is None else self.stay

    def cost(self, index: int) -> int:
        """Preemptions of choosing this index: 0 or 1."""
        return int(self.stay is not None and index != self.stay)


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen at a point; `step` is how many steps had been run before."""

    point: Point
    index: int
    step: int = 0

    @property
    def name(self) -> str:
        """Who was chosen."""
        return self.point.ready[self.index]

    @property
    def cost(self) -> int:
        """Preemptions: 0 or 1."""
        return self.point.cost(self.index)


class Chooser(Protocol):
    """Decides at each point; gives the index of one of `point.ready`."""

    def choose(self, point: Point) -> int:
        """The index of who goes on."""


class Stay:
    """The order without any preemption: who runs goes on until it waits or ends."""

    __slots__ = ()

    def choose(self, point: Point) -> int:
        """Go on with who ran last."""
        return point.usual


class Follow:
    """Runs a given order; where it ends or does not fit, nobody is preempted. `misfits` counts names that could not go on."""

    __slots__ = ("_names", "_next", "misfits")

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._next = 0
        self.misfits = 0

    def choose(self, point: Point) -> int:
        """Who the order names here."""
        if self._next >= len(self._names):
            return point.usual
        name = self._names[self._next]
        self._next += 1
        if name in point.ready:
            return point.ready.index(name)
        for index, other in enumerate(point.ready):  # a turn's number also stands for the tasks that it started
            if turn_of(other) == name:
                return index
        self.misfits += 1
        return point.usual


class Deviate:
    """No preemption, except at some points, given by number: there the `pick`-th other one goes on.

    A few numbers say everything, so this is the form in which an order is drawn: a constant number of draws, and smaller
    numbers are simpler orders.
    """

    __slots__ = ("_at", "_seen")

    def __init__(self, deviations: Iterable[tuple[int, int]]) -> None:
        self._at = dict(deviations)
        self._seen = -1

    def choose(self, point: Point) -> int:
        """Deviate if it is time to."""
        self._seen += 1
        pick = self._at.get(self._seen)
        if pick is None:
            return point.usual
        others = [index for index in range(len(point.ready)) if index != point.usual]
        return others[pick % len(others)]


class Rare:
    """A random order with few preemptions.

    Each turn has a random rank, the highest that is ready runs, and at `depth - 1` random points of about `points` the one
    that runs falls behind all others.

    A bug that needs `depth` steps in a certain order is found with a chance of at least 1 / (turns * points ** (depth - 1)).
    (Burckhardt, Kothari, Musuvathi, Nagarakatte: A randomized scheduler with probabilistic guarantees of finding bugs, 2010.)
    """

    __slots__ = ("_changes", "_lowest", "_ranks", "_seen", "_source")

    def __init__(self, seed: int, *, depth: int = 3, points: int = 50) -> None:
        self._source = random.Random(seed)
        self._changes = {self._source.randrange(max(points, 1)) for _ in range(depth - 1)}
        self._ranks: dict[str, float] = {}
        self._seen = -1
        self._lowest = 0.0

    def choose(self, point: Point) -> int:
        """The highest rank that is ready."""
        self._seen += 1
        if self._seen in self._changes:
            self._lowest -= 1.0
            self._ranks[point.ready[point.usual]] = self._lowest
        for name in point.ready:
            if name not in self._ranks:
                self._ranks[name] = self._source.random()
        return max(range(len(point.ready)), key=lambda index: self._ranks[point.ready[index]])


class Anyhow:
    """Each choice is random; for comparison, and for programs in which preemptions say nothing."""

    __slots__ = ("_source",)

    def __init__(self, seed: int) -> None:
        self._source = random.Random(seed)

    def choose(self, point: Point) -> int:
        """Any of them."""
        return self._source.randrange(len(point.ready))


@dataclass(frozen=True, slots=True)
class Order:
    """Names chosen at the points of a run, in order; `str()` and `parse` are inverse: `0 0 1 0.1`.

    `cancels`: (name, k) pairs. A cancelled one is cancelled when it has been suspended for the k-th time (0: before it began).
    """

    names: tuple[str, ...] = ()
    cancels: tuple[tuple[str, int], ...] = ()

    @classmethod
    def parse(cls, text: str) -> Order:
        """Read the text form; `!0@2` is the cancelling of turn 0 at its second suspension.

        Raises:
            UsageError: the text has another form.
        """
        names, cancels = [], []
        for word in text.split():
            if not word.startswith("!"):
                names.append(word)
                continue
            name, _, count = word[1:].partition("@")
            if not name or not count.isdecimal():
                raise UsageError(f"{word!r} in an order is no cancellation", fix="write !0@2: turn 0 at its second suspension")
            cancels.append((name, int(count)))
        return cls(tuple(names), tuple(cancels))

    @classmethod
    def of(cls, value: Any) -> Order:
        """An order from an order, its text, faults (`ReorderTurns`, `CancelTurn`), or turn numbers and names.

        Raises:
            UsageError: the value is none of these.
        """
        if isinstance(value, Order):
            return value
        if isinstance(value, str):
            return cls.parse(value)
        if isinstance(value, ReorderTurns | CancelTurn):
            value = (value,)
        try:
            items = tuple(value)
        except TypeError:
            raise UsageError(f"{value!r} is no order of turns", fix="give a text such as '0 1 0', or turn numbers") from None
        names = [str(name) for item in items for name in _names_in(item)]
        return cls(tuple(names), tuple((str(item.turn), item.at) for item in items if isinstance(item, CancelTurn)))

    @classmethod
    def taken(cls, choices: Sequence[Choice], cancels: Iterable[tuple[str, int]] = ()) -> Order:
        """The order of a run: up to the last choice that was not the usual one."""
        end = max((i + 1 for i, choice in enumerate(choices) if choice.index != choice.point.usual), default=0)
        return cls(tuple(choice.name for choice in choices[:end]), tuple(cancels))

    def faults(self, turns: int) -> tuple[Any, ...]:
        """The same as faults of a schedule, for a run of so many turns."""
        cancelled = (CancelTurn(_numbered(name), at) for name, at in self.cancels)
        return (ReorderTurns(tuple(range(turns)), tuple(map(_numbered, self.names))), *cancelled)

    def chooser(self) -> Follow:
        """What runs it."""
        return Follow(self.names)

    def __str__(self) -> str:
        return " ".join([*self.names, *(f"!{name}@{at}" for name, at in self.cancels)])


def _numbered(name: str) -> int | str:
    """A turn by its number, a task of one by its name."""
    return int(name) if name.isdecimal() else name


def _names_in(item: Any) -> tuple[Any, ...]:
    if isinstance(item, ReorderTurns):
        return tuple(item.choices)
    if isinstance(item, CancelTurn):
        return ()
    if isinstance(item, int | str):
        return (item,)
    raise UsageError(f"{item!r} in an order names no turn", fix="use turn numbers, names such as '0.1', or faults")
