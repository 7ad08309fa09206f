"""Plays a workload against a store once, and keeps everything that happened in one history.

Rule: nothing is judged here. An operation that raises is over with outcome UNKNOWN: it may have happened.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pytest_durability.adapter import Promise, promise_of
from pytest_durability.errors import AdapterError
from pytest_durability.history import History, Lane, Op, Outcome
from pytest_durability.incarnation import FAILURES, AdapterFactory, Incarnation, failure
from pytest_durability.observation import Failure
from pytest_durability.tokens import find
from pytest_durability.workload import Append, AppendMany, Close, Commit, Reload, Step, Workload
from pytest_durability.world.arena import Arena
from pytest_durability.world.disk.image import EMPTY, Image
from pytest_durability.world.disk.recorder import Gate, Recorder
from pytest_durability.world.disk.verify import verify
from pytest_durability.world.world import World


@dataclass(frozen=True, slots=True)
class Capabilities:
    """Which optional methods the adapter has, and what it declares."""

    name: str
    promise: Promise
    members: frozenset[str]
    refuses: tuple[type[BaseException], ...] = ()
    volatile: tuple[str, ...] = ()
    after_error: str = "continue"

    @classmethod
    def of(cls, adapter: Any) -> Capabilities:
        """What this adapter has and declares."""
        optional = ("append", "append_many", "commit", "archived", "close", "heal", "turn", "request")
        return cls(
            name=type(adapter).__name__,
            promise=promise_of(adapter),
            members=frozenset(name for name in optional if callable(getattr(adapter, name, None))),
            refuses=tuple(getattr(adapter, "refuses", ())),
            volatile=tuple(getattr(adapter, "volatile", ())),
            after_error=getattr(adapter, "after_error", "continue"),
        )


@dataclass(frozen=True, slots=True)
class Recording:
    """One run as it happened: its history, where it started from, and what the directory held at its end."""

    history: History
    initial: Image
    final: Image
    failures: tuple[tuple[int, Failure], ...] = field(default=())


class Play:
    """The state of one run: the living incarnation, the recorder, and the history so far."""

    def __init__(self, factory: AdapterFactory, able: Capabilities, arena: Arena, *, gate: Gate | None = None) -> None:
        self.history = History()
        self.failures: list[tuple[int, Failure]] = []
        self._factory, self._able, self._arena = factory, able, arena
        self._world = World(arena, self.history)
        self._recorder = Recorder(arena.root, self.history, EMPTY, gate=gate)
        self._life: Incarnation | None = None
        self._lives = 0

    def run(self, workload: Workload, after_step: Callable[[Step, Incarnation | None], None] | None = None) -> Recording:
        """Play all steps on an empty root; `after_step` is called with what is alive after each step."""
        self._arena.clear()
        self._recorder.start()
        try:
            for step in workload:
                self._step(step)
                if after_step is not None:
                    after_step(step, self._life)
        finally:
            self._die()
            self._recorder.stop()
        verify(self._recorder)
        return Recording(self.history, EMPTY, self._recorder.tree.image(), tuple(self.failures))

    def _step(self, step: Step) -> None:
        if isinstance(step, Reload):
            self._die()
        if self._life is None and not self._open():
            if not isinstance(step, Reload):  # told, because a commit that was left out still is one of the workload's commits
                self.history.add(Lane.USER, "skipped", step.kind)
            return
        life = self._life
        if life is None or isinstance(step, Reload):
            return
        if isinstance(step, Append):
            self._do(step, lambda: life.call("append", step.says()[0].message()), _tokens(step))
        elif isinstance(step, AppendMany):
            messages = [say.message() for say in step.messages]
            self._do(step, lambda: life.call("append_many", messages), _tokens(step))
        elif isinstance(step, Commit):
            self._do(step, lambda: life.call("commit", step.keep), "", size=step.keep)
        elif isinstance(step, Close):
            self._do(step, lambda: life.call("close"), "")
            self._die()

    def _open(self) -> bool:
        if not self._recorder.running:
            self._recorder.start()
        self._arena.entropy.reseed(self._lives)
        self._lives += 1
        self._life = life = Incarnation(self._factory, self._world)
        call = self.history.add(Lane.USER, "open")
        try:
            life.open()
        except FAILURES as error:  # whatever the store raises is a fact to be recorded
            self._failed(call, "open", error)
            self._die()
            return False
        self._acknowledge(call)
        return True

    def _do(self, step: Step, action: Callable[[], Any], target: str, *, size: int = 0) -> None:
        call = self.history.add(Lane.USER, step.kind, target, size=size)
        try:
            action()
        except FAILURES as error:  # whatever the store raises is a fact to be recorded
            self._failed(call, step.kind, error)
            if self._able.after_error == "reopen":
                self._die()
        else:
            self._acknowledge(call)

    def _acknowledge(self, call: Op) -> None:
        self.history.add(Lane.USER, "ack", call.target or call.kind, call=call.seq)

    def _failed(self, call: Op, during: str, error: BaseException) -> None:
        found = failure(during, error, self._able.refuses, str(self._arena.root))
        self.history.add(
            Lane.USER,
            "raised",
            call.target or call.kind,
            call=call.seq,
            outcome=Outcome.UNKNOWN,
            note=str(found),
            site=found.site,
        )
        self.failures.append((call.seq, found))

    def _die(self) -> None:
        """End this life as a kill does; the recorder stands still until the next one opens."""
        if self._life is not None:
            self._recorder.kill()
            self._arena.bury(self._life)
            self._life = None


def _tokens(step: Step) -> str:
    return ",".join(name for say in step.says() for name in find(say.text)[:1])


def check_workload(workload: Workload, able: Capabilities) -> None:
    """Say which step the adapter cannot do, before anything runs.

    Raises:
        AdapterError: a step needs a method that the adapter lacks.
    """
    needs = {Append: "append", AppendMany: "append_many", Commit: "commit", Close: "close"}
    for step in workload:
        method = needs.get(type(step))
        if method is not None and method not in able.members:
            raise AdapterError(
                f"the workload has {type(step).__name__}, but {able.name} has no {method} method",
                why="a step that is left out would make the run say less than it seems to",
                fix=f"add {method} to the adapter, or leave the step out of the workload",
            )
