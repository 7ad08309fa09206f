"""Which orders to try: all with few preemptions, those with the fewest first, then random ones with few.

Rule: each order is tried once. The order found first has the fewest preemptions of all that fail, so there is little to shorten.
Orders are left out only if they are equal to one that is run: where a step touched nothing that another turn touches too, an
interruption right after it is the same as one right before it, which is tried and costs no more. What a step touched
must be known for that (`Point.touched`); where it is not, nothing is left out.

Why that is sound: let A run step s, let others run after it, and let s touch nothing that they touch. Then s commutes with all
they do, so "s, others, rest of A" has the result of "others, s, rest of A", with as many preemptions or fewer. A resource that
a second turn is seen to touch counts from then on, and the orders that were left out because of it are tried after all.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pytest_durability.world.turns.order import Anyhow, Choice, Chooser, Order, Point, Rare, turn_of

KEPT = 200_000
"""Orders to be tried that are remembered at most; more, and the search is not complete."""


class Attempt:
    """One order to try: a chooser, which remembers what was chosen. `cancels`: who is to be cancelled, and at which suspension."""

    __slots__ = ("_prefix", "_then", "cancels", "choices", "misfits", "suspended")

    def __init__(self, prefix: Sequence[int] = (), cancels: Sequence[tuple[str, int]] = (), then: Chooser | None = None) -> None:
        self._prefix, self._then = prefix, then
        self.cancels = dict(cancels)
        self.choices: list[Choice] = []
        self.misfits = 0
        self.suspended: Mapping[str, int] = {}

    def choose(self, point: Point) -> int:
        """The next index of the prefix; behind it no preemption, or what `then` says."""
        number = len(self.choices)
        index = point.usual
        if number < len(self._prefix):
            index = self._prefix[number]
            if index >= len(point.ready):
                self.misfits += 1
                index = point.usual
        elif self._then is not None:
            index = self._then.choose(point)
        self.choices.append(Choice(point, index, number))
        return index

    def over(self, suspended: Mapping[str, int]) -> None:
        """The run is over; so often was each task suspended."""
        self.suspended = dict(suspended)

    @property
    def order(self) -> Order:
        """What was run."""
        return Order.taken(self.choices, self.cancels.items())

    @property
    def cost(self) -> int:
        """Preemptions and cancellations."""
        return sum(choice.cost for choice in self.choices) + len(self.cancels)


@dataclass(frozen=True, slots=True)
class _Plan:
    """An order to be tried: the first choices as indices, and who is cancelled."""

    prefix: tuple[int, ...]
    cancels: tuple[tuple[str, int], ...]
    cost: int


class Search:
    """Iterate over it and run the program once under each attempt that it gives, to the end.

    `preemptions`: the most in an order (None: any number); a cancellation counts as one. `limit`: the most runs; `rare`: random
    ones of them, when all others are done. `cancel`: whether turns are cancelled too. While it is iterated: `runs`, `left_out` (orders equal to others),
    `bound` (all orders with so many preemptions were run; -1: none), `complete` (as many as asked for), `misfits` (the program
    did not do the same again).
    """

    def __init__(
        self,
        *,
        preemptions: int | None = 2,
        limit: int = 1000,
        rare: int = 50,
        cancel: bool = False,
        depth: int = 3,
        seed: int = 0,
    ) -> None:
        self.preemptions, self.limit, self.rare = preemptions, limit, rare
        self.cancel, self.depth, self.seed = cancel, depth, seed
        self.runs = self.misfits = 0
        self.bound = -1
        self.complete = False
        self._plans: dict[int, deque[_Plan]] = {0: deque([_Plan((), (), 0)])}
        self._users: dict[str, set[str]] = {}
        self._parked: dict[str, list[_Plan]] = {}
        self._kept = 0
        self._points = 1
        self._full = self._beyond = False

    @property
    def left_out(self) -> int:
        """Orders that were not run because they are equal to others; counted where they would have begun."""
        return sum(len(plans) for plans in self._parked.values())

    def __iter__(self) -> Iterator[Attempt]:
        for bound in self._bounds():
            while plans := self._plans.get(bound):
                if self.runs >= self.limit:
                    return
                yield from self._try(plans.popleft())
                lower = min((cost for cost, left in self._plans.items() if left), default=bound)
                if lower < bound:  # released by a resource that turned out to be shared
                    self._plans[bound].extend(self._plans.pop(lower))
            self._plans.pop(bound, None)
            self.bound = bound
        self.complete = not self._full and not self.misfits
        if self.complete and self.preemptions is not None:
            self.bound = self.preemptions
        if self._beyond or self._full:
            yield from self._random()

    def _bounds(self) -> Iterator[int]:
        bound = 0
        while any(self._plans.values()):
            yield bound
            bound += 1

    def _try(self, plan: _Plan) -> Iterator[Attempt]:
        attempt = Attempt(plan.prefix, plan.cancels)
        self.runs += 1
        yield attempt
        self.misfits += attempt.misfits
        self._points = max(self._points, len(attempt.choices))
        self._learn(attempt)
        self._branch(plan, attempt)

    def _random(self) -> Iterator[Attempt]:
        for number in range(min(self.rare, self.limit - self.runs)):
            self.runs += 1
            seed = self.seed * 1_000_003 + number
            yield Attempt(then=Anyhow(seed) if number % 2 else Rare(seed, depth=self.depth, points=self._points))

    def _learn(self, attempt: Attempt) -> None:
        """Note who touched what; resources that a second turn touches release what was left out because of them."""
        for choice in attempt.choices:
            point = choice.point
            for resource in point.touched or ():
                assert point.stay is not None
                users = self._users.setdefault(resource, set())
                users.add(turn_of(point.ready[point.stay]))
                if len(users) > 1:
                    for plan in self._parked.pop(resource, ()):
                        self._put(plan)

    def _branch(self, plan: _Plan, attempt: Attempt) -> None:
        """Everything that differs from this run in one more choice, behind the choices that were prescribed."""
        indices = tuple(choice.index for choice in attempt.choices)
        cost = len(plan.cancels)
        for number, choice in enumerate(attempt.choices):
            if number >= len(plan.prefix):
                for index in range(len(choice.point.ready)):
                    if index != choice.index:
                        self._add(choice.point, _Plan((*indices[:number], index), plan.cancels, cost + choice.point.cost(index)))
            cost += choice.cost
        if self.cancel and not plan.cancels and not plan.prefix:
            for name, count in attempt.suspended.items():
                for k in range(1, count + 1):
                    self._put(_Plan((), ((name, k),), 1))

    def _add(self, point: Point, plan: _Plan) -> None:
        if point.touched is not None and point.stay is not None:
            turn = turn_of(point.ready[point.stay])
            shared = [resource for resource in point.touched if self._users.get(resource, set()) - {turn}]
            if not shared and self._wanted(plan):
                self._parked.setdefault(min(point.touched, default=""), []).append(plan)
                return
        self._put(plan)

    def _put(self, plan: _Plan) -> None:
        if not self._wanted(plan):
            self._beyond = True
            return
        self._kept += 1
        if self._kept > KEPT:
            self._full = True
            return
        self._plans.setdefault(plan.cost, deque()).append(plan)

    def _wanted(self, plan: _Plan) -> bool:
        return self.preemptions is None or plan.cost <= self.preemptions


class Exactly:
    """No preemption, except at the points with these numbers, where the named one goes on."""

    __slots__ = ("_at", "_seen")

    def __init__(self, at: Mapping[int, str]) -> None:
        self._at = dict(at)
        self._seen = -1

    def choose(self, point: Point) -> int:
        """Who is named for this point, if it can go on."""
        self._seen += 1
        name = self._at.get(self._seen)
        return point.ready.index(name) if name in point.ready else point.usual


def shorten(
    choices: Sequence[Choice], fails: Callable[[Exactly], Sequence[Choice] | None], *, runs: int = 200
) -> Sequence[Choice]:
    """Fewer preemptions that fail as well: each one is left out in turn, as long as what is left still fails.

    `fails` runs the program once and gives its choices, or None if nothing was wrong.
    """
    best = choices
    improved = True
    while improved and runs > 0:
        improved = False
        wanted = {number: choice.name for number, choice in enumerate(best) if choice.index != choice.point.usual}
        for number in reversed(wanted):
            runs -= 1
            found = fails(Exactly({other: name for other, name in wanted.items() if other != number}))
            if found is not None and sum(choice.cost for choice in found) <= sum(choice.cost for choice in best):
                best, improved = found, True
                break
    return best
