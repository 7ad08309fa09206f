"""Several turns at once on one event loop: run them in one order, and tell how each of them ended.

Rule: a turn ends by returning, by raising, or by never going on; each is an outcome, and none leaves here as an exception.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pytest_durability.errors import UsageError
from pytest_durability.history import Lane, Op
from pytest_durability.lanes import lanes
from pytest_durability.world.turns.loop import TurnLoop
from pytest_durability.world.turns.order import Choice, Chooser, Order, Stay
from pytest_durability.world.turns.waiting import Deadlock, Livelock

TurnMaker = Callable[[], Any] | Awaitable[Any]
"""A function that gives something to await, or that itself."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a turn ended: what it returned, or what it raised; `began` and `over` are numbers of steps of the run.

    A turn that could not go on has raised `Deadlock`, one that never ended `Livelock`; a cancelled one `CancelledError`.
    """

    name: str
    value: Any = None
    error: BaseException | None = None
    began: int = 0
    over: int = 0

    def told(self) -> str:
        """How it ended, in a word or two."""
        if self.error is None:
            return "returns"
        return "is cancelled" if self.cancelled else f"raises {type(self.error).__name__}"

    @property
    def cancelled(self) -> bool:
        """Whether it was cancelled, and let itself be."""
        return isinstance(self.error, asyncio.CancelledError)


@dataclass(frozen=True, slots=True)
class Overlapped:
    """One run of several turns: how they ended, in the order given; the order taken, and every step by its name.

    `choices`: the points at which somebody was chosen. `cancelled`: (name, k) of those cancelled at their k-th suspension.
    `stubborn`: tasks that would not end when they were cancelled after a deadlock. `marks`: for each step, how many operations
    there had been before it (empty: nobody counted).
    """

    ended: tuple[Ended, ...]
    order: Order
    steps: tuple[str, ...]
    choices: tuple[Choice, ...] = field(repr=False, default=())
    cancelled: tuple[tuple[str, int], ...] = ()
    stubborn: tuple[str, ...] = ()
    marks: tuple[int, ...] = field(repr=False, default=())

    @property
    def preemptions(self) -> int:
        """How often somebody who could go on had to wait."""
        return sum(choice.cost for choice in self.choices)

    @property
    def values(self) -> tuple[Any, ...]:
        """What the turns returned (None for one that raised)."""
        return tuple(ended.value for ended in self.ended)

    @property
    def errors(self) -> tuple[BaseException, ...]:
        """What the turns raised."""
        return tuple(ended.error for ended in self.ended if ended.error is not None)

    def raise_errors(self) -> None:
        """Raise what a turn raised: one as it is, several as a group.

        Raises:
            BaseExceptionGroup: several turns raised.
        """
        if len(self.errors) == 1:
            raise self.errors[0]
        if self.errors:
            raise BaseExceptionGroup(f"{len(self.errors)} turns failed in the order {self.order}", list(self.errors))

    def lanes(self) -> str:
        """The run as one line a turn, with a mark where it ran: `0 ##..##`."""
        from pytest_durability.world.turns.order import turn_of

        width = max((len(ended.name) for ended in self.ended), default=0)
        return "\n".join(
            f"{ended.name:>{width}} " + "".join("#" if turn_of(step) == ended.name else "." for step in self.steps)
            for ended in self.ended
        )

    def timeline(self, ops: Sequence[Op] = ()) -> str:
        """The run as a column a turn: when it began and was over, and the operations between, out of those that `ops` holds."""
        places = {ended.name: at for at, ended in enumerate(self.ended)}
        return lanes([f"turn {ended.name}" for ended in self.ended], self._rows(places, ops), label="step")

    def _rows(self, places: Mapping[str, int], ops: Sequence[Op]) -> Iterator[tuple[int, int, str]]:
        from pytest_durability.world.turns.order import turn_of

        begun: set[str] = set()
        for number, step in enumerate(self.steps, start=1):
            name = turn_of(step)
            if name not in places:  # a task that was there before
                continue
            ended = self.ended[places[name]]
            if name not in begun:
                begun.add(name)
                yield number, places[name], "begins"
            until = self.marks[number] if number < len(self.marks) else len(ops)
            for op in ops[self.marks[number - 1] : until] if self.marks else ():
                if op.lane is Lane.DISK:
                    yield number, places[name], " ".join(word for word in (op.kind, op.target) if word)
            if number == ended.over:
                yield number, places[name], ended.told()


def run_turns(
    loop: TurnLoop,
    turns: Sequence[TurnMaker],
    chooser: Chooser | None = None,
    *,
    cancels: Mapping[str, int] | None = None,
    first: int = 0,
) -> Overlapped:
    """Run turns (functions that give an awaitable each) together, from the first step of one to the last of all.

    They are named by numbers that begin at `first`. Tasks that a turn left behind go on as far as they can without time passing. What waits for ever is cancelled and drained.

    Raises:
        UsageError: a turn gives nothing that can be awaited.
    """
    begun, taken, marked = len(loop.steps), len(loop.choices), len(loop.marks)
    limit, loop.limit = loop.limit, len(loop.steps) + loop.limit
    loop.begin()
    loop.chooser, loop.cancels = chooser or Stay(), dict(cancels or {})
    before = len(loop.cancelled)
    tasks = [_task(loop, str(number), make) for number, make in enumerate(turns, first)]
    stuck = _run(loop, tasks)
    if stuck is None:
        stuck = _run(loop, [], linger=True)
    loop.chooser, loop.cancels = Stay(), {}
    over = getattr(chooser, "over", None)
    if over is not None:
        over(loop.suspended)
    steps, choices = tuple(loop.steps[begun:]), tuple(loop.choices[taken:])
    marks = tuple(loop.marks[marked:]) if loop.watch is not None else ()
    stubborn = loop.drain() if stuck is not None else ()
    loop.limit = limit
    cancelled = tuple(loop.cancelled[before:])
    return Overlapped(
        tuple(_ended(loop.name_of(task), task, stuck, steps) for task in tasks),
        Order.taken(choices, cancelled),
        steps,
        choices,
        cancelled,
        stubborn,
        marks,
    )


def _task(loop: TurnLoop, name: str, make: TurnMaker) -> asyncio.Task[Any]:
    """A task of our own kind, whatever task factory the store has set: its first step is a point too."""
    early = loop.cancels.get(name) == 0
    made: Any = None if early else make() if callable(make) else make
    if not early and not inspect.isawaitable(made):
        raise UsageError(
            f"turn {name} gave {made!r}, which cannot be awaited",
            why="turns that are plain functions have no place where another one could go on",
            fix='give `async def` functions, or run plain ones in threads: overlap(..., how="threads")',
        )
    task: asyncio.Task[Any] = asyncio.Task(_awaited(made), loop=loop, name=f"turn {name}")
    loop.rename(task, name)
    if early:
        loop.cancelled.append((name, 0))
        task.cancel()
        if inspect.iscoroutine(make):
            make.close()
    return task


async def _awaited(made: Awaitable[Any] | None) -> Any:
    return None if made is None else await made


def _run(loop: TurnLoop, tasks: Sequence[asyncio.Task[Any]], *, linger: bool = False) -> RuntimeError | None:
    """Until all these tasks are over (`linger`: until nothing can go on without time passing); else why not."""
    if linger:
        loop.idle_stops = True
    left = [task for task in tasks if not task.done()]

    def one_less(task: asyncio.Task[Any]) -> None:
        left.remove(task)
        if not left:
            loop.stop()

    for task in tuple(left):
        task.add_done_callback(one_less)
    try:
        while left or linger:
            try:
                loop.run_forever()
                linger = False
            except SystemExit:  # one of the turns has left, which is its outcome
                continue
    except (Deadlock, Livelock) as found:
        return found
    finally:
        loop.idle_stops = False
        for task in tasks:
            task.remove_done_callback(one_less)
    return None


def _ended(name: str, task: asyncio.Task[Any], stuck: RuntimeError | None, steps: tuple[str, ...]) -> Ended:
    numbers = [number for number, step in enumerate(steps, start=1) if step == name]
    began, over = (numbers[0], numbers[-1]) if numbers else (0, 0)
    if not task.done():
        return Ended(name, error=stuck, began=began, over=over)
    if task.cancelled():
        held = isinstance(stuck, Deadlock) and any(waiting.name == name for waiting in stuck.waiting)
        error: BaseException | None = stuck if held or isinstance(stuck, Livelock) else asyncio.CancelledError()
        return Ended(name, error=error, began=began, over=over)
    return Ended(name, None if task.exception() else task.result(), task.exception(), began, over)
