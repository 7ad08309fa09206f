"""Plays a workload against a store once, and keeps everything that happened in one history.

Rule: nothing is judged here. An operation that raises is over with outcome UNKNOWN: it may have happened. What was drawn
leaves by its names, so that the steps and faults of a recording, played again, give the same recording.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from pytest_durability.arming import Arm, LiveFaults
from pytest_durability.asking import Stop, converse, rounds
from pytest_durability.capabilities import Capabilities
from pytest_durability.delivered import CUT, STOPPED, TURN, call_id
from pytest_durability.faults import CutStream, Interrupt, LostWrite, Schedule, TornWrite
from pytest_durability.history import History, Lane, Op, Outcome
from pytest_durability.incarnation import FAILURES, AdapterFactory, Incarnation, failure
from pytest_durability.meanwhile import Meanwhile
from pytest_durability.nemesis import Nemesis
from pytest_durability.notes import noted
from pytest_durability.observation import Failure, Row
from pytest_durability.surviving import Boundary, Epoch, point_of, surviving
from pytest_durability.together import Ends, Overlap, Ran, locks
from pytest_durability.tokens import find
from pytest_durability.turn import DELIVERED, Turn
from pytest_durability.workload import (
    SESSION,
    Append,
    AppendMany,
    Ask,
    Close,
    Commit,
    FullDisk,
    On,
    PowerLoss,
    Read,
    Reload,
    Retry,
    Step,
    Together,
)
from pytest_durability.world.arena import Arena
from pytest_durability.world.disk.image import Image
from pytest_durability.world.disk.recorder import Gate, Recorder
from pytest_durability.world.disk.verify import verify
from pytest_durability.world.turns.loop import TurnLoop
from pytest_durability.world.world import World

Locked = tuple[int, tuple[str, ...], tuple[str, ...]]
"""A call that raised, by its number, and the locks on databases that kept others out before it and after it."""


@dataclass(frozen=True, slots=True)
class Recording:
    """One run as it happened: its history, and what the directory held at its end.

    `initial`: what the store found after op `base`, the last death of the machine (0: the start). `steps`: what was played,
    with names for what was drawn. `struck`: faults that were armed or took an acknowledgement, each with its op; `strikes`:
    the ops that any fault struck, `fired`: the scheduled ones that did.
    `boundaries`: the deaths before the end. `read`: kind and role of what was read, where it could have failed.
    `drawn`: the steps as they were given, each armed fault right before the step that it struck. `locked`: see `Locked`. `overlaps`: what was
    made at once.
    """

    history: History
    initial: Image
    final: Image
    failures: tuple[tuple[int, Failure], ...] = field(default=())
    base: int = 0
    steps: tuple[Step, ...] = ()
    struck: tuple[tuple[int, Any], ...] = ()
    strikes: tuple[int, ...] = ()
    fired: tuple[Any, ...] = ()
    boundaries: tuple[Boundary, ...] = ()
    read: tuple[tuple[str, str], ...] = ()
    drawn: tuple[Step | Arm, ...] = ()
    locked: tuple[Locked, ...] = ()
    overlaps: tuple[Ran, ...] = ()

    @property
    def epochs(self) -> tuple[Epoch, ...]:
        """The parts of the history between deaths, in order."""
        return (*(boundary.epoch for boundary in self.boundaries), Epoch(self.base, len(self.history), self.initial))


After = Callable[[Step, Incarnation | None, str], None]
"""Called after each call of a run with the step, what is alive (or None), and the session."""


class Play:
    """A run, step by step: `begin`, `step` as often as wanted, `end`; or `run` for a whole workload.

    `calm`: nothing bad happens (a machine that would die is only opened again). `arming`: faults may be armed; without that,
    only those of `schedule` strike. `gate`: asked instead of all these.
    """

    def __init__(
        self,
        factory: AdapterFactory,
        able: Capabilities,
        arena: Arena,
        *,
        gate: Gate | None = None,
        schedule: Schedule | None = None,
        arming: bool = False,
        calm: bool = False,
        after: After | None = None,
    ) -> None:
        self.history = History()
        self.failures: list[tuple[int, Failure]] = []
        self.steps: list[Step] = []
        self.drawn: list[Step] = []
        self.faults = LiveFaults(schedule or Schedule(), arming=arming)
        self._boundaries: list[Boundary] = []
        self._locked: list[Locked] = []
        self._ran: list[Ran] = []
        self._loop: Any = None
        self._factory, self._able, self._arena = factory, able, arena
        self._gate: Gate | None = gate or (None if self.faults.idle else self.faults)
        self._calm, self._after = calm, after
        self._recorder = Recorder(arena.root, self.history, arena.blank, gate=self._gate)
        self._alive: dict[tuple[str, int], Incarnation] = {}
        self._last: dict[str, Append | AppendMany | Commit] = {}
        self._lives = 0
        self._base, self._initial = 0, arena.blank
        self._begun = 0
        self._called: Op | None = None
        self._provider: Any = None
        self._turn: Turn | None = None
        self._results: dict[str, str] = {}

    def run(self, workload: Iterable[Step | Arm]) -> Recording:
        """Play all steps on an empty root."""
        self.begin()
        try:
            for step in workload:
                self.step(step)
        except BaseException:
            self.abandon()
            raise
        return self.end()

    def begin(self) -> None:
        """Start on an empty root."""
        self._arena.clear()
        self._recorder.start()

    def step(self, step: Step | Arm) -> None:
        """Play one step; what the store raises is recorded and does not leave."""
        if isinstance(step, Arm):
            self.faults.arm(step)
            return
        self.faults.begin(len(self.steps))
        if self._arena.clock is not None:
            self._arena.clock.step(self.faults.jump(len(self.history) + 1))
        self.drawn.append(step)
        if isinstance(step, FullDisk):
            self._fill(step)
        elif isinstance(step, PowerLoss) and not self._calm:
            step = self._lose_power(step)
        else:
            self._begun = len(self.history)
            self._act(step)
        self.steps.append(step)

    def read(self) -> tuple[Row, ...]:
        """What the living store shows now; exceptions of the store pass through. It is a step like any other."""
        self.steps.append(Read())
        self.drawn.append(Read())
        self._begun = len(self.history)
        life = self._alive.get((SESSION, 1)) or self._open(SESSION, 1)
        if life is None:
            return ()
        return life.rows()

    def end(self) -> Recording:
        """The process ends; everything that happened."""
        self.abandon()
        verify(self._recorder)
        return Recording(
            self.history,
            self._initial,
            self._recorder.tree.image(),
            tuple(self.failures),
            self._base,
            tuple(self.steps),
            tuple(self.faults.struck),
            tuple(self.faults.strikes),
            self.faults.fired(),
            tuple(self._boundaries),
            self.faults.read(),
            tuple(self._told()),
            tuple(self._locked),
            tuple(self._ran),
        )

    def _told(self) -> Iterator[Step | Arm]:
        """The story without names, so that one may take steps away: each fault is armed right before the step that it struck."""
        for at, step in enumerate(self.drawn):
            yield from (arm for _, struck, arm in self.faults.aims if struck == at)
            yield step

    def abandon(self) -> None:
        """The process ends, and nobody asks what happened."""
        self._die()
        self._recorder.stop()

    # -- one step

    def _act(self, step: Step) -> None:
        if isinstance(step, (Reload, PowerLoss)):
            self._die()
            self._open(SESSION, 1)
        elif isinstance(step, Read):
            self._look()
        elif isinstance(step, On):
            self._call(step.step, step.session, step.handle)
        elif isinstance(step, Together):
            self._together(step)
        elif isinstance(step, (Append, AppendMany, Ask, Commit, Close, Retry)):
            self._call(step, SESSION, 1)

    def _together(self, step: Together) -> None:
        """Several calls at once; one after the other where nothing bad happens, or no store object can be had."""
        handles = [inner.handle if isinstance(inner, On) else 1 for inner in step.steps]
        lives = [self._alive.get((SESSION, handle)) or self._open(SESSION, handle) for handle in handles]
        known = [life for life in lives if life is not None]
        if self._calm or self._loop is None or len(known) < len(lives):
            for inner in step.steps:
                self._act(inner)
            return
        before, first = locks(self._arena.root), sum(len(ran.suspended) for ran in self._ran)
        ends = Ends(self._acknowledge, self._over, self._failed)
        overlap = Overlap(self, self._loop, step.steps, known, first, ends)
        self._ran.append(overlap.run(self.faults, len(self.steps), self._served()))
        self._locked += [(seq, before, locks(self._arena.root)) for seq in overlap.failed]
        if overlap.failed and self._able.after_error == "reopen":
            self._die()

    def _call(self, step: Append | AppendMany | Ask | Commit | Close | Retry, session: str, handle: int) -> None:
        """A call of the user to one store object, which is opened if need be."""
        retry = isinstance(step, Retry)
        called = self._last.get(session) if isinstance(step, Retry) else step
        if called is None:
            return
        if isinstance(called, (Append, AppendMany, Commit)):
            self._last[session] = called
        life = self._alive.get((session, handle)) or self._open(session, handle)
        note = noted(session=session, handle=handle, retry=retry)
        if life is None:  # told, because a commit that was left out still is one of the workload's commits
            self.history.add(Lane.USER, "skipped", called.kind, note=note)
            return
        if isinstance(called, Append):
            message = called.says()[0].message()
            self._do(called, lambda: life.call("append", message), _tokens(called), note=note)
        elif isinstance(called, AppendMany):
            messages = [say.message() for say in called.messages]
            self._do(called, lambda: life.call("append_many", messages), _tokens(called), note=note)
        elif isinstance(called, Ask):
            self._ask(called, life, note)
        elif isinstance(called, Commit):
            self._do(called, lambda: life.call("commit", called.keep), "", size=called.keep, note=note)
        else:
            self._do(called, lambda: life.call("close"), "", note=note)
            self._close(session, handle)
        if self._after is not None:
            self._after(called, self._alive.get((session, handle)), session)

    def _open(self, session: str, handle: int) -> Incarnation | None:
        if not self._recorder.running:
            self._recorder.start()
        self._arena.entropy.reseed(self._lives)
        self._lives += 1
        if self._able.overlaps and not self._alive:
            self._loop = TurnLoop()
        world = World(self._arena, self.history, session=session, provider=self._served())
        life = Incarnation(self._factory, world, self._loop)
        self._alive[session, handle] = life
        call = self.history.add(Lane.USER, "open", note=noted(session=session, handle=handle))
        try:
            life.open()
        except FAILURES as error:  # whatever the store raises is a fact to be recorded
            self._failed(call, "open", error)
            self._close(session, handle)
            return None
        self._acknowledge(call)
        return life

    def _do(self, step: Step, action: Callable[[], Any], target: str, *, size: int = 0, note: str = "") -> None:
        self._called = call = self.history.add(Lane.USER, step.kind, target, size=size, note=note)
        before = locks(self._arena.root)
        try:
            action()
        except FAILURES as error:  # whatever the store raises is a fact to be recorded
            self._failed(call, step.kind, error)
            self._locked.append((call.seq, before, locks(self._arena.root)))
            if self._able.after_error == "reopen":
                self._die()
        else:
            if not isinstance(step, Close) and self.faults.loses_ack(self.history, call):
                self._over(call, "ConnectionError: the answer was lost")
            else:
                self._acknowledge(call)

    def _ask(self, step: Ask, life: Incarnation, note: str) -> None:
        """One turn, which may break or be stopped; what the user was shown is in the history."""
        number = sum(op.kind == TURN for op in self.history.lane(Lane.USER))
        self._called = call = self.history.add(Lane.USER, step.kind, _tokens(step), note=note)
        fault = self.faults.of_turn(number, step.reply + step.then)
        replies = rounds(step, number, (fault.after, fault.how) if isinstance(fault, CutStream) else None)
        provider = self._served()
        provider.expect(replies)
        if step.tool:
            self._results[call_id(number)] = step.tool
        meanwhile = Meanwhile(step, life, self.history, note, partial(self._failed, during="append"))
        self._turn = turn = Turn(
            step.text,
            *replies[0],
            noting=self,
            then=replies[1:],
            results=self._results,
            amid=meanwhile.say,
            number=number,
            call=call.seq,
            provider=provider,
        )
        try:
            stopped = converse(life, turn, self._stop(fault, call))
            meanwhile.settle()
        except FAILURES as error:  # whatever the store raises is a fact to be recorded
            self._failed(call, step.kind, error)
            if self._able.after_error == "reopen":
                self._die()
        else:
            if stopped:
                self._over(call, "the user stopped it")
            else:
                self._acknowledge(call)
        provider.withdraw()
        struck = next((op.seq for op in self.history[call.seq :] if op.lane is Lane.STREAM and op.kind in (CUT, STOPPED)), None)
        if fault is not None and struck is not None:
            self.faults.broke(struck, fault)

    def _stop(self, fault: CutStream | Interrupt | None, call: Op) -> Stop | None:
        """Where the user stops a turn."""
        if not isinstance(fault, Interrupt):
            return None

        def shown() -> int:
            return sum(op.kind == DELIVERED for op in self.history[call.seq :])

        return Stop(fault.chunks, shown, lambda: self.history.add(Lane.STREAM, STOPPED, call=call.seq, note="by the user"))

    def _served(self) -> Any:
        """The provider of this run, if the adapter runs turns or shows requests: its ids go on from life to life."""
        if self._provider is None and self._able.members & {"turn", "request"}:
            from pytest_durability.world.provider.provider import Provider

            self._provider = Provider(self.history)
        return self._provider

    def _look(self) -> None:
        """Read the transcript; the store may fail at it, which an open of the same content will tell."""
        life = self._alive.get((SESSION, 1)) or self._open(SESSION, 1)
        if life is not None:
            try:
                life.rows()
            except FAILURES as error:
                failure("transcript", error, self._able.refuses, str(self._arena.home))

    def _acknowledge(self, call: Op) -> None:
        self.history.add(Lane.USER, "ack", call.target or call.kind, call=call.seq)

    def _over(self, call: Op, note: str) -> None:
        """A call ended without an answer."""
        self.history.add(Lane.USER, "raised", call.target or call.kind, call=call.seq, outcome=Outcome.UNKNOWN, note=note)

    def _failed(self, call: Op, during: str, error: BaseException) -> None:
        found = failure(during, error, self._able.refuses, str(self._arena.home))
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

    def _close(self, session: str, handle: int) -> None:
        """One store object is gone; with the last one the process ends, because nothing is left that it would do."""
        life = self._alive.pop((session, handle), None)
        if life is not None and self._alive:
            self._arena.bury(life)
        elif life is not None:
            self._alive[session, handle] = life
            self._die()

    def _die(self) -> None:
        """End the process as a kill does; the recorder stands still until something opens again."""
        if self._alive:
            self._recorder.kill()
            if self._turn is not None:
                self._turn.bury()
            if self._provider is not None:
                self._provider.bury()
            for life in self._alive.values():
                self._arena.bury(life)
            self._alive.clear()

    # -- what goes wrong between two steps

    def _fill(self, step: FullDisk) -> None:
        if not self._calm:
            self.faults.fill(step.ops)
            self._gate = self._recorder.gate = self._gate or self.faults

    def _lose_power(self, step: PowerLoss) -> PowerLoss:
        """Everything after a point is undone, and the story goes on from what survives there; the step by its names."""
        self._die()
        self._recorder.stop()
        verify(self._recorder)
        earliest = min(max(self._begun, self._base), len(self.history))
        point = max(point_of(step, self.history, earliest), self._base)
        cut, step = surviving(step, self.history, self._stored(), self._initial, point)
        image, losses = cut.image(), cut.losses(point)
        epoch = Epoch(self._base, point, self._initial)
        self._boundaries.append(Boundary(len(self.steps), point, step.model, cut.first, cut.lag, image, epoch))
        self.history = History(self.history[:point])
        if self._provider is not None:
            self._provider.history = self.history
        over = {op.call for op in self.history if op.kind == "raised"}
        self.failures = [(seq, failed) for seq, failed in self.failures if seq in over]
        self._locked = [locked for locked in self._locked if locked[0] in over]
        self.faults.rewind(point)
        if self._called is not None and self._called.seq > point:
            self.history.add(Lane.USER, "skipped", self._called.kind, note=self._called.note)
        self._called = None
        lost = "; ".join(f"op {loss.seq} {loss.what}" for loss in losses)
        self.history.add(Lane.DISK, "crash", step.model, note=f"lost: {lost}" if lost else "")
        self._base, self._initial = len(self.history), image
        self._arena.mount(image)
        self._recorder = Recorder(self._arena.root, self.history, image, gate=self._gate)
        self._begun = self._base
        self._open(SESSION, 1)
        return step

    def _stored(self) -> list[Op]:
        """The operations since the last death as they reached the disk."""
        faults = [fault for fault in self.faults.overlaid() if isinstance(fault, (LostWrite, TornWrite))]
        ops, _ = Nemesis(Schedule(tuple(faults))).overlay(self.history, base=self._base, initial=self._initial)
        return list(ops)


def _tokens(step: Step) -> str:
    says = step.says()[:4] if isinstance(step, Ask) else step.says()  # what is said meanwhile is a call of its own
    return ",".join(name for say in says for name in find(say.text)[:1])
