"""What a test says about overlapping turns: run these together, in this order, in every order, and stop one in the middle.

Rule: every run tells its order, and that order given back runs the same again; a failure carries the order that it needs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pytest_durability.errors import UsageError
from pytest_durability.history import History
from pytest_durability.verdict import VacuousRun
from pytest_durability.world.turns.loop import TurnLoop
from pytest_durability.world.turns.order import Anyhow, Chooser, Order, Rare
from pytest_durability.world.turns.overlap import Overlapped, run_turns
from pytest_durability.world.turns.search import Attempt, Search, shorten

HOW = ("tasks", "threads")


@dataclass(frozen=True, slots=True)
class Explored:
    """What a search without a finding tried: `runs` orders, among them all with at most `bound` preemptions.

    `complete`: that is as many as were asked for. `left_out`: orders equal to one that was run.
    """

    runs: int
    bound: int
    complete: bool
    left_out: int = 0


class Turns:
    """`world.turns`. `last` is the latest overlap; `chooser` decides in those that are given no order; `history` holds what they did."""

    def __init__(self, history: History | None = None) -> None:
        self.history = history
        self.last: Overlapped | None = None
        self.chooser: Chooser | None = None
        self._loop: TurnLoop | None = None
        self._cancels: dict[str, int] = {}
        self._overlaps = 0
        self._ran = 0
        self._touched: set[str] = set()
        self._declared = False

    @property
    def loop(self) -> TurnLoop:
        """The event loop of the turns; what they share (locks, connections) must be made on it, see `run`."""
        if self._loop is None or self._loop.is_closed():
            self._loop = TurnLoop()
        return self._loop

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run one coroutine by itself on the loop of the turns, for instance to open a store, and give what it returns.

        Raises:
            UsageError: another event loop is running.
        """
        _outside(coroutine)
        return self.loop.run_until_complete(coroutine)

    def cancel_at(self, k: int, turn: int | str = 0) -> None:
        """In the next overlap, cancel a turn (or one of its tasks, by name) at its `k`-th suspension; 0: before it begins.

        Raises:
            UsageError: `k` is below 0.
        """
        if k < 0:
            raise UsageError(f"cancel_at({k!r})", why="a turn is suspended for the first time, not before", fix="give 0 or more")
        self._cancels[str(turn)] = k

    def overlap(self, *turns: Any, order: Any = None, how: str = "tasks") -> Overlapped:
        """Run turns together, each from its first to its last step, and tell how each ended.

        A turn is a function without arguments that gives a coroutine; with `how="threads"` it is a plain one, run in a real thread, and
        another one may go on at each recorded operation. `order`: an `Order`, its text (`"0 1 0"`), turn numbers, or faults; None: inside of `explore` the next one to try, else
        a random one, the same in every run of the test.

        Raises:
            UsageError: a turn gives no coroutine, or the order cannot be read.
            VacuousRun: a turn was to be cancelled at a suspension that it did not reach.
        """
        if how not in HOW:
            raise UsageError(f"overlap(how={how!r})", fix=f"choose from: {', '.join(map(repr, HOW))}")
        _outside()
        self._ran += 1
        given = None if order is None else Order.of(order)
        chooser, attempt = self._chooser(given), self.chooser
        cancels = {**(dict(given.cancels) if given else {}), **self._cancels}
        if given is None and isinstance(attempt, Attempt):
            cancels = {**attempt.cancels, **cancels}
        self._cancels = {}
        if how == "threads":
            from pytest_durability.world.turns.threads import run_threads

            found = run_threads(turns, chooser, recorder=_recorder(), watch=self._watch())
        else:
            self.loop.watch = self._watch()
            self.loop.footprint = self._taken if self._declared else None
            found = run_turns(self.loop, turns, chooser, cancels=cancels)
        self.last = found
        missed = [name for name in cancels if name not in dict(found.cancelled)]
        if missed and not isinstance(attempt, Attempt):
            raise VacuousRun(
                f"turn {missed[0]} was never suspended {cancels[missed[0]]} times, so it was not cancelled",
                because=(
                    f"it ran {found.steps.count(missed[0])} steps in the order {str(found.order) or 'without preemptions'}",
                ),
            )
        return found

    def explore(
        self,
        program: Callable[[], Any],
        *,
        preemptions: int | None = 2,
        limit: int = 1000,
        rare: int = 50,
        cancel: bool = False,
        declared: bool = False,
        seed: int = 0,
    ) -> Explored:
        """Run a program again and again; it calls `overlap` once, checks what is left, and raises if that is wrong.

        Tried are all orders with at most `preemptions` (None: any number), then `rare` random ones, at most `limit` runs.
        `cancel`: turns are cancelled too, at each of their suspensions. `declared`: each step says by `touch(name)` everything that it
        reads or writes and another turn could too; then orders are left out that differ only in the order of independent steps.
        What the program raises leaves here, with the shortest order that makes it fail as a note.

        Raises:
            VacuousRun: the program ran no turns together.
        """
        before = self._ran
        search = Search(preemptions=preemptions, limit=limit, rare=rare, cancel=cancel, seed=seed)
        self._declared = declared
        try:
            for attempt in search:
                with self._chosen(attempt):
                    error = _failure(program)
                if error is not None:
                    raise self._told(program, attempt, error, search.runs)
        finally:
            self._declared = False
        if self._ran == before:
            raise VacuousRun(
                "the program never called world.turns.overlap", because=("no two turns ran together, so nothing was tried",)
            )
        return Explored(search.runs, search.bound, search.complete, search.left_out)

    def touch(self, name: str) -> None:
        """Say that the running step reads or writes something of this name; see `explore(declared=True)`."""
        self._touched.add(name)

    def _watch(self) -> Callable[[], int] | None:
        return None if self.history is None else self.history.__len__

    def timeline(self) -> str:
        """The latest overlap, with a column for each turn and the recorded operations in them; "" before the first."""
        return "" if self.last is None else self.last.timeline(self.history or ())

    def _taken(self) -> frozenset[str]:
        touched, self._touched = frozenset(self._touched), set()
        return touched

    def close(self) -> None:
        """Let the loop and its threads end."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.drain()
            self._loop.close()

    def _chooser(self, order: Order | None) -> Chooser:
        if order is not None:
            return order.chooser()
        if self.chooser is not None:
            return self.chooser
        self._overlaps += 1
        return Anyhow(self._overlaps) if self._overlaps % 2 else Rare(self._overlaps, points=20)

    @contextmanager
    def _chosen(self, chooser: Chooser) -> Iterator[None]:
        before, self.chooser = self.chooser, chooser
        try:
            yield
        finally:
            self.chooser = before
            self.close()  # what a run left behind must not go on in the next

    def _told(self, program: Callable[[], Any], attempt: Attempt, error: BaseException, runs: int) -> BaseException:
        """The failure of the shortest order that fails in the same way, with that order as a note."""
        found = {id(attempt.choices): (error, self.timeline())}

        def fails(chooser: Any) -> Any:
            shorter = Attempt(cancels=tuple(attempt.cancels.items()), then=chooser)
            with self._chosen(shorter):
                other = _failure(program)
            if type(other) is not type(error):
                return None
            found[id(shorter.choices)] = (other, self.timeline())
            return shorter.choices

        best = shorten(attempt.choices, fails)
        told, seen = found[id(best)]
        assert told is not None
        order = Order.taken(best, attempt.cancels.items())
        cost = sum(choice.cost for choice in best)
        told.add_note(
            f"order of the turns: {str(order) or 'one after the other'}   ({cost} preemptions, found in run {runs})\n"
            f"run it again: world.turns.overlap(..., order={str(order)!r})"
        )
        if seen:
            told.add_note(seen)
        return told


def _failure(program: Callable[[], Any]) -> BaseException | None:
    try:
        program()
    except Exception as error:  # noqa: BLE001  whatever a test raises is its finding
        return error
    return None


def _outside(*unused: Coroutine[Any, Any, Any]) -> None:
    """Refuse to run turns from inside of an event loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    for coroutine in unused:
        coroutine.close()
    raise UsageError(
        "world.turns was used in a coroutine of another event loop",
        why="turns run on a loop of their own, which decides who goes on, and loops do not nest",
        fix="write the test as a plain `def`, and open the store by world.turns.run(...)",
    )


def _recorder() -> Any:
    from pytest_durability.world.disk.calls import CALLS

    return CALLS.handler
