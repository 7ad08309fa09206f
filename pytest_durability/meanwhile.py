"""While a tool runs, a user does not wait: what is typed then reaches a store that is in the middle of a turn.

Rule: it is an append like any other, with an answer of its own; where the store takes it by a coroutine, it is taken as soon as the
turn gives way.
"""

from __future__ import annotations

import asyncio
import inspect
from typing import Any, Protocol

from pytest_durability.history import History, Lane, Op
from pytest_durability.incarnation import FAILURES, Incarnation
from pytest_durability.notes import noted
from pytest_durability.tokens import find
from pytest_durability.workload import Ask


class Failing(Protocol):
    """Notes that a call raised."""

    def __call__(self, call: Op, *, error: BaseException) -> None:
        """The call of this op."""


class Meanwhile:
    """What the user says once while the tools of one turn run, if anything."""

    def __init__(self, step: Ask, life: Incarnation, history: History, note: str, failed: Failing) -> None:
        self._waiting = list(step.says()[4:])
        self._life, self._history, self._failed = life, history, failed
        self._note = ", ".join(filter(None, (note, noted(amid=True))))
        self._task: asyncio.Future[Any] | None = None

    def say(self) -> None:
        """A tool runs: now is the time."""
        if not self._waiting:
            return
        said, life = self._waiting.pop(), self._life
        call = self._history.add(Lane.USER, "append", find(said.text)[0], note=self._note)
        try:
            made = life.adapter.append(life.store, said.message())
        except FAILURES as error:  # whatever the store raises is a fact to be recorded
            self._failed(call, error=error)
            return
        if inspect.isawaitable(made):
            self._task = asyncio.ensure_future(made)
            self._task.add_done_callback(lambda done: self._over(call, done))
        else:
            self._taken(call)

    def settle(self) -> None:
        """The turn is over: what was said is taken, or refused, before anything else happens."""
        if self._task is not None:
            self._life.settle(asyncio.wait([self._task]))

    def _over(self, call: Op, done: asyncio.Future[Any]) -> None:
        error = asyncio.CancelledError() if done.cancelled() else done.exception()
        if error is None:
            self._taken(call)
        else:
            self._failed(call, error=error)

    def _taken(self, call: Op) -> None:
        self._history.add(Lane.USER, "ack", call.target, call=call.seq)
