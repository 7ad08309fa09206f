"""Runs one adapter: calibrates it, records a workload once, and judges any crash state of the recording.

Rule: the runner decides nothing about what to try (`explore` does) and nothing about right and wrong (`checkers` do).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pytest_durability.adapter import Promise, check_members
from pytest_durability.arming import Arm
from pytest_durability.calibration import broken_kinds, calibrate, doubtful, remarks
from pytest_durability.capabilities import Capabilities, check_workload
from pytest_durability.checkers import VALID, Judgement, effects, judge, locked, together, wedged
from pytest_durability.errors import InconclusiveError, UsageError
from pytest_durability.faults import Crash, CutStream, LostWrite, Schedule, TornWrite
from pytest_durability.history import History, Op
from pytest_durability.incarnation import AdapterFactory
from pytest_durability.ledger import Calibration, Expectation, Ledger
from pytest_durability.nemesis import Nemesis
from pytest_durability.observation import Observation, entry_line, observed_lines
from pytest_durability.persistence import model as model_named
from pytest_durability.recording import Play, Recording
from pytest_durability.reopening import WRONG_TYPE, Reopener, present
from pytest_durability.surviving import Boundary
from pytest_durability.together import check_overlaps
from pytest_durability.tokens import find
from pytest_durability.verdict import Anomaly, Result, Verdict
from pytest_durability.workload import SESSION, Say, Step, Workload, session_of, standard, with_tokens
from pytest_durability.world.arena import Arena
from pytest_durability.world.disk.copies import said
from pytest_durability.world.disk.image import Image
from pytest_durability.world.process import Run, run_apart, run_here


@dataclass(frozen=True, slots=True)
class Case:
    """One recorded run, ready to be crashed: what was said, what happened, and what is due at every moment.

    `ops` are the operations since the last death of the machine, from which crash states are computed, with lost and torn
    writes taken out. `ledgers` and `calibrations` have an entry for each session. `weaker`: what is due under models that lose more
    than a kill does, where text is promised to survive a kill as soon as it was shown (else empty: the same).
    """

    workload: Workload
    schedule: Schedule
    recording: Recording
    ops: Sequence[Op]
    ledgers: Mapping[str, Ledger]
    calibrations: Mapping[str, Calibration]
    unfired: tuple[Any, ...] = ()
    weaker: Mapping[str, Ledger] = field(default_factory=dict)

    @property
    def times(self) -> Counter[str]:
        """How often each message is said."""
        return said(self.recording.history)

    @property
    def history(self) -> History:
        """Everything that happened in the recorded run."""
        return self.recording.history

    @property
    def base(self) -> int:
        """The op after which crash states begin: the last death of the machine, or the start."""
        return self.recording.base

    @property
    def ledger(self) -> Ledger:
        """What is due in the usual session."""
        return self.ledgers[SESSION]

    @property
    def calibration(self) -> Calibration:
        """What is normal in the usual session."""
        return self.calibrations[SESSION]


class Runner:
    """Everything about one adapter in one arena."""

    def __init__(self, factory: AdapterFactory, arena: Arena, isolation: str = "same") -> None:
        if isolation not in ("same", "process"):
            raise UsageError(f"isolation={isolation!r}", fix="choose from: 'same', 'process'")
        adapter = factory()
        check_members(adapter)
        able = Capabilities.of(adapter)
        self.able = replace(able, volatile=(*able.volatile, *arena.scratch))
        if self.able.overlaps:
            check_overlaps(adapter)
        self.factory = factory
        self.arena = arena
        self._run: Run = run_apart if isolation == "process" else run_here
        self.reopener = Reopener(factory, self.able, arena, self._run)
        self._judged: dict[tuple[int, int], tuple[Observation, Expectation, Judgement]] = {}
        self._excusing: dict[tuple[int, frozenset[str]], tuple[Ledger, Ledger]] = {}
        self._broken: frozenset[tuple[str, bool]] | None = None
        self._calibrated: dict[Workload, Mapping[str, Calibration]] = {}

    def let_overlap(self) -> None:
        """Calls may be made at once, whatever the adapter declares, because that was asked for.

        Raises:
            AdapterError: none of its methods has a place where another one could go on.
        """
        check_overlaps(self.factory())
        self.able = replace(self.able, overlaps=True)

    def workload(self, given: Any = None) -> Workload:
        """The workload to run: the given one with a token in every text, or the standard one for this adapter."""
        if given is None:
            has = self.able.members.__contains__
            found = standard(
                batches=has("append_many"),
                commits=has("commit"),
                closes=has("close"),
                ids=self.able.promise.retry == "idempotent",
                appends=has("append"),
                turns=has("turn"),
                tools=self.able.tools,
            )
        else:
            found = with_tokens(Workload.of(given))
        check_workload(found, self.able)
        return found

    def calibrate(self, workload: Workload) -> Mapping[str, Calibration]:
        """What a fault-free run of this workload teaches, for each of its sessions; the last one is remembered.

        Raises:
            AdapterError: the adapter or the store fails, or alters texts, although nothing bad happened.
            Anomaly: the store breaks its promise although nothing bad happened.
        """
        known = self._calibrated.get(workload)
        if known is None:
            known = calibrate(self.factory, self.able, self.arena, workload, self.reopener, self._run, self._kinds())
            self._calibrated = {workload: known}
        return known

    def _kinds(self) -> frozenset[tuple[str, bool]]:
        """See `broken_kinds`; asked once."""
        if self._broken is None:
            self._broken = broken_kinds(self.factory, self.able, self.arena, self.reopener, self._run)
        return self._broken

    def faults(self) -> Schedule:
        """What goes wrong in the standard workload: the reply of its first turn breaks, if the adapter runs turns."""
        return Schedule((CutStream(0, 20, "reset"),)) if "turn" in self.able.members else Schedule()

    def prepare(
        self, workload: Workload, schedule: Schedule | None = None, calibrations: Mapping[str, Calibration] | None = None
    ) -> Case:
        """Calibrate, then record the workload under the faults of `schedule` (crashes in it are not applied here).

        `calibrations`: what an earlier run of the same workload taught, if there was one.
        """
        schedule = schedule or Schedule()
        calibrations = calibrations or self.calibrate(workload)
        recording = self.played(workload, schedule)
        return self.case(Workload(recording.steps), schedule, recording, calibrations)

    def played(self, steps: Iterable[Step | Arm], schedule: Schedule, *, arming: bool = False) -> Recording:
        """Play these steps under the faults of `schedule`, and those that are armed."""
        found: Recording = self._run(_recorded, self.factory, self.able, self.arena, tuple(steps), schedule, arming)
        return found

    def play(self, schedule: Schedule, *, arming: bool) -> Play:
        """A run in this process, to be played step by step."""
        return Play(self.factory, self.able, self.arena, schedule=schedule, arming=arming)

    def case(self, workload: Workload, schedule: Schedule, recording: Recording, calibrations: Mapping[str, Calibration]) -> Case:
        """One recording of a workload under a schedule, with what is due at every moment of it."""
        self._judged.clear()
        self._excusing.clear()
        nemesis, ops, taken = Nemesis(schedule), recording.history[recording.base :], dict[str, int | None]()
        for epoch in recording.epochs:
            upto = recording.history if epoch.end == len(recording.history) else History(recording.history[: epoch.end])
            stored, excused = nemesis.overlay(upto, calibrations[SESSION].published, base=epoch.base, initial=epoch.initial)
            taken |= excused
            if epoch.base == recording.base:
                ops = list(stored)
        ledgers = self._ledgers(workload, recording, calibrations, self.able.promise, taken)
        weaker: Mapping[str, Ledger] = {}
        if self.able.promise.delivered == "process-kill":
            promise = replace(self.able.promise, delivered="turn-end")
            weaker = self._ledgers(workload, recording, calibrations, promise, taken)
        fired = {*nemesis.fired, *recording.fired, *(fault for _, fault in recording.struck)}
        unfired = tuple(fault for fault in schedule if fault not in fired and not isinstance(fault, Crash))
        return Case(workload, schedule, recording, ops, ledgers, calibrations, unfired, weaker)

    def _ledgers(
        self,
        workload: Workload,
        recording: Recording,
        calibrations: Mapping[str, Calibration],
        promise: Promise,
        taken: Mapping[str, int | None],
    ) -> Mapping[str, Ledger]:
        """What is due in each session under a promise, less what lost writes took."""
        found = {
            name: Ledger.build(
                recording.history,
                _says(workload, name),
                promise=promise,
                calibration=calibrations[name],
                archives="archived" in self.able.members,
                session=name,
            )
            for name in workload.sessions
        }
        return {name: ledger.excusing(taken) for name, ledger in found.items()} if taken else found

    def boundary(self, case: Case, boundary: Boundary) -> Anomaly | None:
        """What is wrong with the content from which a story went on after the death of the machine, in any session."""
        for session in case.workload.sessions:
            seen = self.observe(boundary.image, session=session)
            judgement, _ = self.judge(
                case, lambda: boundary.image, seen, boundary.point, boundary.point, session=session, model=boundary.model
            )
            if judgement.verdict is Verdict.UNKNOWN:
                raise InconclusiveError(judgement.reason, why="UNKNOWN is not a pass")
            if judgement.anomaly is not None:
                return judgement.anomaly
        return None

    def wedged(self, case: Case) -> Anomaly | None:
        """`Wedged`, with its result, if the store took no more messages after a fault or a restart.

        `LeftLocked`, if a call that raised left a lock on a database, which says more; `EffectRepeated`, if a tool was run again
        in a later turn.
        """
        anomaly = (
            _left_locked(case)
            or effects.repeated(case.history)
            or wedged.check(case.history, case.recording.failures, case.recording.strikes, doubtful(case.workload))
        )
        if anomaly is None:
            return None
        return self._of_run(case, anomaly)

    def _of_run(self, case: Case, anomaly: Anomaly, **shown: Any) -> Anomaly:
        """A finding about a whole run, and no crash state, with its result; `shown`: what else belongs there."""
        anomaly.because = (*anomaly.because, *remarks(case.workload))
        anomaly.result = Result(
            adapter=self.able.name,
            workload=case.workload,
            schedule=case.schedule,
            history=case.history,
            verdict=Verdict.INVALID,
            anomaly=anomaly,
            **shown,
        )
        return anomaly

    def overlapped(self, case: Case) -> Anomaly | None:
        """What is wrong with a story some of whose calls were made at once, with its result; asked of its end only.

        Nothing is said of one in which the machine ended, a write was lost, or a message was said twice: there what is owed is not known.
        """
        lost = any(isinstance(fault, (LostWrite, TornWrite)) for fault in case.schedule)
        if case.recording.boundaries or lost or max(case.times.values(), default=0) > 1:
            return None
        anomaly = _left_locked(case)
        look = self.reopener.look(case.recording.final)
        seen = Observation(look.rows, look.failure, look.archived)
        end = len(case.history)
        if anomaly is None and look.failure is not None:
            anomaly = judge(seen, case.ledger.at(end)).anomaly
        elif anomaly is None:
            recording, promised = case.recording, self.able.promise.overlap
            anomaly = together.check(
                case.history,
                recording.failures,
                seen.tokens(),
                promised=promised,
                strikes=recording.strikes,
                exempt=doubtful(case.workload),
            )
        if anomaly is None:
            return None
        due = tuple(entry_line(entry.token, entry.say.role, entry.say.text) for entry in case.ledger.at(end).must)
        return self._of_run(case, anomaly, expected=due, observed=observed_lines(seen))

    def canary(self, case: Case) -> None:
        """Open an empty root after a recording: anything that was said before can only come from memory.

        Raises:
            UsageError: state leaks between two lives of the store in one process.
        """
        look = self.reopener.look(self.arena.blank)
        leaked = [token for row in look.rows or () for token in row.tokens]
        failed = look.failure is not None and not look.failure.refused and look.failure.kind != WRONG_TYPE
        if leaked or failed:
            what = f"shows {', '.join(leaked[:5])}" if leaked else str(look.failure)
            raise UsageError(
                f"{self.able.name}: an empty directory, opened after {len(case.history)} operations elsewhere, {what}",
                why="state leaks from one life of the store to the next through the memory of the process",
                fix='run it with isolation="process" (a marker or an argument), which opens every state in its own process',
            )

    def observe(self, image: Image, key: str | None = None, session: str = SESSION) -> Observation:
        """Two opens of one disk content."""
        return self.reopener.observe(image, key, self.able.volatile, session)

    def ledger(self, case: Case, excused: frozenset[str] = frozenset(), session: str = SESSION, model: str = "") -> Ledger:
        """What is due in a state (of a model) in which nobody can ask for these messages, because only lost writes held them."""
        weaker = case.weaker if model and model_named(model).data != "live" else {}
        own = weaker.get(session) or case.ledgers[session]
        if not excused:
            return own
        known = self._excusing.get((id(own), excused))
        if known is None or known[0] is not own:
            known = own, own.excusing(dict.fromkeys(excused))
            self._excusing[id(own), excused] = known
        return known[1]

    def judge(
        self,
        case: Case,
        image: Callable[[], Image],
        seen: Observation,
        first: int,
        last: int,
        excused: frozenset[str] = frozenset(),
        session: str = SESSION,
        model: str = "",
    ) -> tuple[Judgement, int]:
        """The worst judgement of one observation over a range of crash points, and the first point where it holds.

        Of several that are wrong, the most specific. `excused`: messages that may be missing, see `ledger`. A state that was
        there before the first op since the last death of the machine belongs to the moments after that.
        """
        first, last = max(first, case.base), max(last, case.base)
        worst, at = VALID, last
        ledger = self.ledger(case, excused, session, model)
        for point in ledger.judging_points(first, last):
            judgement = self._judge_once(image, seen, ledger.at(point), case)
            if _severity(judgement) > _severity(worst):
                worst, at = judgement, point
        if worst.verdict is Verdict.INVALID:
            at = self._earliest(case, ledger, image, seen, worst, first, at)
        return worst, at

    def _earliest(
        self,
        case: Case,
        ledger: Ledger,
        image: Callable[[], Image],
        seen: Observation,
        found: Judgement,
        first: int,
        point: int,
    ) -> int:
        """The first crash point at which the same thing is wrong: the shortest story to tell."""
        for earlier in ledger.turning_points(first, point)[:64]:
            judgement = self._judge_once(image, seen, ledger.at(earlier), case)
            if type(judgement.anomaly) is type(found.anomaly) and str(judgement.anomaly) == str(found.anomaly):
                return earlier
        return point

    def _judge_once(self, image: Callable[[], Image], seen: Observation, due: Expectation, case: Case) -> Judgement:
        key = (id(seen), id(due))
        known = self._judged.get(key)
        if known is not None and known[0] is seen and known[1] is due:
            return known[2]
        full = seen
        if seen.rows is not None:
            shown = set(seen.tokens())
            missing = [entry.token for entry in due.must if entry.token not in shown]
            if missing:
                full = _with_present(seen, present(image(), missing, case.calibration.published))
        judgement = judge(full, due)
        self._judged[key] = (seen, due, judgement)
        return judgement


def _left_locked(case: Case) -> Anomaly | None:
    for seq, before, after in case.recording.locked:
        call = case.history[seq - 1]
        raised = next((op for op in case.history[seq:] if op.kind == "raised" and op.call == seq), call)
        found = locked.left_locked(before, after, f"{call.kind} {call.target}".strip(), witness=seq, site=raised.site)
        if found is not None:
            return found
    return None


def _recorded(
    factory: AdapterFactory,
    able: Capabilities,
    arena: Arena,
    steps: Iterable[Step | Arm],
    schedule: Schedule,
    arming: bool,  # noqa: FBT001  passed on by position
) -> Recording:
    play = Play(factory, able, arena, schedule=schedule, arming=arming)
    return play.run(steps)


def _severity(judgement: Judgement) -> tuple[int, int]:
    """Worse verdicts first, then the more specific ones."""
    return [Verdict.VALID, Verdict.UNKNOWN, Verdict.INVALID].index(judgement.verdict), -judgement.rank


def _with_present(seen: Observation, tokens: frozenset[str]) -> Observation:

    return replace(seen, present=tokens)


def _says(workload: Workload, session: str) -> dict[str, Say]:
    return {find(say.text)[0]: say for step in workload if session_of(step) == session for say in step.says()}


def reraise(anomalies: Sequence[Anomaly], message: str) -> None:
    """Raise one anomaly as it is, several as an exception group; none: return."""
    if len(anomalies) == 1:
        raise anomalies[0]
    if anomalies:
        raise ExceptionGroup(message, list(anomalies))
