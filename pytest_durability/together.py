"""Calls of several turns at once: each is a task of its own on a loop whose order is chosen, and ends in its own time.

Rule: nothing is judged here. The history says of each operation in which call it was done; what stood still for ever is told as
a failure of its call, what was cancelled as a call without an answer.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_durability.adapter import Message
from pytest_durability.arming import LiveFaults
from pytest_durability.asking import aconverse, scripted
from pytest_durability.checkers.together import CANCELLED
from pytest_durability.errors import AdapterError, DurabilityError
from pytest_durability.history import Lane, Op
from pytest_durability.incarnation import FAILURES, Incarnation
from pytest_durability.notes import noted
from pytest_durability.tokens import find
from pytest_durability.turn import Noting, Turn
from pytest_durability.workload import Append, AppendMany, Ask, Commit, On
from pytest_durability.world.disk.calls import CALLS
from pytest_durability.world.turns.loop import TurnLoop
from pytest_durability.world.turns.order import turn_of
from pytest_durability.world.turns.overlap import Overlapped, run_turns
from pytest_durability.world.turns.waiting import Deadlock, Livelock

Inner = Append | AppendMany | Ask | Commit


@dataclass(frozen=True, slots=True)
class Ran:
    """One overlap as it was run: the number of its step and of its first turn (both from 0).

    `others`: at each point of choice, how many others could have gone on. `suspended`: how often each turn was.
    """

    step: int
    first: int
    others: tuple[int, ...]
    suspended: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Ends:
    """How the end of a call is noted: an answer, none (with a note), or a failure."""

    answered: Callable[[Op], None]
    over: Callable[[Op, str], None]
    failed: Callable[[Op, str, BaseException], None]


class Overlap:
    """One step in which several calls are made at once. `lives`: the store object of each call; `first`: the number of the first one."""

    def __init__(
        self, noting: Noting, loop: TurnLoop, steps: Sequence[Inner | On], lives: Sequence[Incarnation], first: int, ends: Ends
    ) -> None:
        self._noting, self._loop, self._ends = noting, loop, ends
        self._steps, self._lives, self._first = steps, lives, first
        self._calls: dict[str, Op] = {}
        self._ended: set[str] = set()

    def run(self, faults: LiveFaults, step: int, provider: Any) -> Ran:
        """Make the calls, in the order and with the cancellations that the faults say."""
        history = self._noting.history
        before = len(history)
        chooser, cancels, arms = faults.of_overlap(self._first, len(self._steps))
        for one in map(_inner, self._steps):
            if isinstance(one, Ask) and provider is not None:
                provider.reply([piece for part in scripted(one.reply).parts for piece in getattr(part, "pieces", ())])
        turns = [lambda number=number: self._call(number, provider) for number in range(len(self._steps))]
        history.whose(self._running)
        try:
            found = run_turns(self._loop, turns, chooser, cancels=cancels, first=self._first)
        finally:
            history.whose(None)
        if provider is not None:
            provider.withdraw()
        self._settle(found)
        faults.overlapped(before + 1, found, self._first, arms)
        counts = tuple(self._loop.suspended.get(str(self._first + at), 0) for at in range(len(self._steps)))
        return Ran(step, self._first, tuple(len(choice.point.ready) - 1 for choice in found.choices), counts)

    @property
    def failed(self) -> list[int]:
        """The numbers of the calls that ended without an answer."""
        ends = {op.call: op for op in self._noting.history if op.lane is Lane.USER}
        return [call.seq for call in self._calls.values() if call.seq in ends and ends[call.seq].kind == "raised"]

    def _running(self) -> int:
        call = self._calls.get(turn_of(self._loop.steps[-1])) if self._loop.steps else None
        return 0 if call is None else call.seq

    async def _call(self, number: int, provider: Any) -> None:
        step, life, name = self._steps[number], self._lives[number], str(self._first + number)
        handle = step.handle if isinstance(step, On) else 1
        step = _inner(step)
        size, note = (step.keep if isinstance(step, Commit) else 0), noted(handle=handle)
        note = f"{note}, turn {name}" if note else f"turn {name}"
        target = ",".join(mark for say in step.says() for mark in find(say.text)[:1])
        call = self._calls[name] = self._noting.history.add(Lane.USER, step.kind, target, size=size, note=note)
        try:
            await self._act(step, life, call, provider)
        except asyncio.CancelledError:
            if any(cancelled == name for cancelled, _ in self._loop.cancelled):
                self._ended.add(name)
                self._ends.over(call, CANCELLED)
            raise
        except FAILURES as error:  # whatever the store raises is a fact to be recorded
            self._ended.add(name)
            self._ends.failed(call, step.kind, error)
        else:
            self._ended.add(name)
            self._ends.answered(call)

    async def _act(self, step: Inner, life: Incarnation, call: Op, provider: Any) -> None:
        if isinstance(step, Ask):
            number = sum(op.kind == Ask.kind for op in self._noting.history.lane(Lane.USER)) - 1
            turn = Turn(step.text, scripted(step.reply), noting=self._noting, number=number, call=call.seq, provider=provider)
            await aconverse(life, turn)
            return
        given: Message | list[Message] | int
        if isinstance(step, Append):
            given = step.says()[0].message()
        else:
            given = step.keep if isinstance(step, Commit) else [say.message() for say in step.messages]
        made = getattr(life.adapter, step.kind)(life.store, given)
        if inspect.isawaitable(made):
            await made

    def _settle(self, found: Overlapped) -> None:
        """Note the ends of calls that did not end by themselves."""
        for ended in found.ended:
            if isinstance(ended.error, DurabilityError):  # misuse is no outcome of a turn
                raise ended.error
            call = self._calls.get(ended.name)
            if call is None or ended.name in self._ended:
                continue
            if isinstance(ended.error, Deadlock | Livelock):
                self._ends.failed(call, call.kind, ended.error)
            else:
                self._ends.over(call, CANCELLED)


def _inner(step: Inner | On) -> Inner:
    inner: Any = step.step if isinstance(step, On) else step
    return inner  # type: ignore[no-any-return]


def check_overlaps(adapter: Any) -> None:
    """Say if no call of an adapter has a place where another one could go on.

    Raises:
        AdapterError: all of them are plain functions.
    """
    names = [name for name in ("append", "append_many", "turn", "commit") if callable(getattr(adapter, name, None))]
    if not any(_gives_way(getattr(adapter, name)) for name in names):
        raise AdapterError(
            f"the turns of {type(adapter).__name__} cannot overlap: {', '.join(names)} are plain functions",
            why="a plain function runs from its first to its last line, and only where it waits may another turn go on",
            fix="make them `async def`, or a generator; for threads use world.turns.overlap(..., how='threads')",
        )


def _gives_way(method: Any) -> bool:
    kinds = (inspect.iscoroutinefunction, inspect.isasyncgenfunction, inspect.isgeneratorfunction)
    return any(is_kind(method) for is_kind in kinds)


def locks(root: str | Path) -> tuple[str, ...]:
    """The locks of this process that keep others from writing to a database; none where SQLite has no file, or is not seen."""
    if CALLS.sqlite is None or not CALLS.sqlite.tables.files or sys.platform != "linux":
        return ()
    from pytest_durability.world.disk.sqlite.locks import held

    return tuple(map(str, held(Path(root))))
