"""One search: every story that is drawn is judged here, and the shortest one of each distinct bug is kept.

Rule: a story is judged by itself, whatever was seen before, so that a search is never flaky. The first thing that is wrong
ends it: where it went on after a death of the machine, then a store that takes no more messages, then all its crash states.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NoReturn

from pytest_durability.arming import INJECTORS, Arm
from pytest_durability.coverage import Coverage, Point
from pytest_durability.errors import DurabilityError, UsageError
from pytest_durability.explore.examine import Examiner, Suspect, Tally
from pytest_durability.explore.shrink import Parts, Told, length, shrunk
from pytest_durability.faults import Crash, LostWrite, Place, Schedule, ShortWrite, TornWrite, role_of
from pytest_durability.history import Lane, Outcome
from pytest_durability.persistence import DEFAULT, LOCAL_POWER, PersistenceModel, fatal, resolve
from pytest_durability.recording import Recording
from pytest_durability.runner import Case, Runner
from pytest_durability.verdict import Anomaly, SweepReport, VacuousRun, Verdict
from pytest_durability.workload import FullDisk, PowerLoss, Workload
from pytest_durability.world.disk.sqlite.modes import Mode, effective, in_force

Identity = tuple[str, str, str]

ENOUGH = 10
"""So many failing states of one kind are looked at closely in a story that is told again to make it shorter."""

MOUNTED = 100_000_000
"""So many characters of messages are written at most for the crash states of one story and model."""


@dataclass(slots=True)
class Search:
    """What a search tries with, and what it has seen.

    `names`: faults of `INJECTORS` that may be armed, `streams`: those of `STREAMS`, `turns`: those of `TURNS`, and `ClockStep`; `instances`: faults that were asked for by their place; `acks`: whether
    acknowledgements may get lost. `known`: what was found before and is not raised again. `long`: messages may be of many pages. `limit`: how many cuts of a story and model are
    tried. `apart`: stories are played in a process of their own.
    """

    runner: Runner
    models: tuple[PersistenceModel, ...]
    deadly: frozenset[str]
    limit: int
    names: tuple[str, ...] = ()
    turns: tuple[str, ...] = ()
    streams: tuple[str, ...] = ()
    instances: tuple[Any, ...] = ()
    acks: bool = True
    long: bool = False
    apart: bool = False
    examples: int = 0
    operations: int = 0
    effects: int = 0
    found: dict[Identity, Told] = field(default_factory=dict)
    tallies: dict[str, Tally] = field(default_factory=dict)
    portability: dict[Identity, Anomaly] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)
    struck: set[str] = field(default_factory=set)
    offered: set[Point] = field(default_factory=set)
    reached: set[Point] = field(default_factory=set)
    databases: dict[str, Mode] = field(default_factory=dict)
    known: frozenset[Identity] = frozenset()
    _judged: dict[tuple[Any, ...], list[Told]] = field(default_factory=dict)

    @property
    def deaths(self) -> list[str]:
        """The models under which a story may go on after the machine ended."""
        return [model.name for model in self.models if model.name in self.deadly and model.mount is None]

    @property
    def troubles(self) -> tuple[str, ...]:
        """What may be armed."""
        return (*self.names, *(("LostAck",) if self.acks else ()))

    def examine(self, recording: Recording, schedule: Schedule, since: int = 0) -> None:
        """Judge one story. `since`: the op up to which it is one that was judged before, and nothing was found in.

        Raises:
            Anomaly: it shows something that fails the test, and that is not known yet.
            AdapterError: the adapter or the store fails without any fault.
            UsageError: state leaks between two lives of the store in one process.
        """
        __tracebackhide__ = True
        key = (recording.steps, *(fault for _, fault in recording.struck), *schedule)
        if key not in self._judged:  # many draws are stories that were told before
            self._judged[key] = self._told(recording, schedule, self._first, self._count, since=since)
        for told in self._judged[key]:
            self._found(told)

    def shows(self, recording: Recording, since: int = 0) -> bool:
        """Whether a story shows something wrong; what that is, is in `found`. See `examine`."""
        try:
            self.examine(recording, Schedule(), since)
        except Anomaly:
            return True
        return False

    def _first(self, case: Case) -> None:
        """Count a story that is new."""
        self.runner.canary(case)
        self.operations += len(case.history)
        self.databases.update(effective(case.history))
        self.effects += sum(1 for op in case.history if op.effect is not None)
        self._cover(case)

    def _case(self, workload: Workload, recording: Recording, schedule: Schedule) -> Case:
        struck = tuple(fault for _, fault in recording.struck)
        asked = tuple(fault for fault in schedule if fault not in struck)
        calibrations = self.runner.calibrate(workload)
        case = self.runner.case(workload, Schedule((*asked, *struck)), recording, calibrations)
        if case.unfired:  # what never struck is no part of the story
            fired = Schedule(tuple(fault for fault in case.schedule if fault not in case.unfired))
            case = self.runner.case(workload, fired, recording, calibrations)
        return case

    def glance(self, recording: Recording) -> bool:
        """Whether a story is wrong as it went or as it ended: much cheaper than `examine`, which looks at every crash of it too."""
        try:
            case = self._case(Workload(recording.steps), recording, Schedule())
            if at_boundary(self.runner, case) or self.runner.wedged(case):
                return True
            end = len(case.history)
            model = self._few()[0].name
            cut = Examiner(self.runner, case).newest(model, end)
        except Anomaly:
            return True
        seen = self.runner.observe(cut.image())
        return self.runner.judge(case, cut.image, seen, end, end, model=model)[0].verdict is not Verdict.VALID

    def _wrong(self, case: Case, tell: Callable[[Examiner, Tally], None], upto: str = "", **only: int) -> list[Anomaly]:
        """What is wrong with a story, up to the weakest model that shows something; `tell` is given what was walked for it.

        `upto`: no stronger model than this one is tried. `only`: `since` and `enough` of an `Examiner`.
        """
        if case.recording.overlaps:
            overlapped = self.runner.overlapped(case)
            return [] if overlapped is None else [overlapped]
        anomaly = at_boundary(self.runner, case) or self.runner.wedged(case)
        if anomaly is not None:
            return [anomaly]
        examiner = Examiner(self.runner, case, limit=self._limit(case), **only)
        for model in self._upto(upto, self._few() if _disturbed(case) else self.models):
            tally = examiner.examine(model.name)
            tell(examiner, tally)
            if model.name in self.deadly and tally.suspects:
                return [examiner.rebuild(suspect, fatal=True) for suspect in tally.suspects]
        return []

    def _few(self) -> list[PersistenceModel]:
        """The models for a story in which something went wrong: of the deadly ones the weakest, and those that take most."""
        deadly = [model for model in self.models if model.name in self.deadly] or list(self.models[:1])
        local = [model for model in deadly if model.mount is None]
        return [*local[:1], *local[1:][-1:], *(model for model in deadly if model.mount is not None)]

    @staticmethod
    def _upto(name: str, models: Sequence[PersistenceModel]) -> Sequence[PersistenceModel]:
        names = [model.name for model in models]
        return models[: names.index(name) + 1] if name in names else models

    def _limit(self, case: Case) -> int:
        """How many cuts of a story are tried: fewer of one that says a lot, because mounting that takes as long as opening it."""
        size = sum(len(say.text) for say in case.workload.says())
        return max(MOUNTED // size, 20) if size * self.limit > MOUNTED else self.limit

    def _found(self, told: Told) -> None:
        """Keep a finding if it is the shortest of its kind, and raise it so that Hypothesis tells it from others."""
        __tracebackhide__ = True
        key = _key(told.anomaly)
        if key in self.known:
            return
        before = self.found.get(key)
        if before is None or told.length < before.length:
            self.found[key] = told
        _raiser(key)(told.anomaly.with_traceback(None))

    def distinct(self) -> list[Anomaly]:
        """What was found, without the steps and faults that it does not need; one story, the shortest, of each bug."""
        kept: dict[Identity, Anomaly] = {}
        retold = functools.cache(self._retold)  # stories of one bug become stories of another one
        for told in sorted(
            (shrunk(told, partial(self._again, told, retold)) for told in self.found.values()), key=lambda told: told.length
        ):
            kept.setdefault(told.anomaly.identity, told.anomaly)
        return list(kept.values())

    def _again(self, like: Told, retold: Callable[[Schedule, str, Parts], list[Told]], parts: Parts) -> Told | None:
        """The same harm in another story, if no more has to get lost for it."""
        result = like.anomaly.result
        found = retold(self._asked(like), result.model if result is not None else "", parts)
        return next((told for told in found if told.anomaly.identity[:2] == like.anomaly.identity[:2]), None)

    def _retold(self, asked: Schedule, model: str, parts: Parts) -> list[Told]:
        if all(isinstance(part, Arm) for part in parts):
            return []
        try:
            return self._told(self.runner.played(parts, asked, arming=True), asked, upto=model, enough=ENOUGH)
        except DurabilityError:  # steps that make no story
            return []

    def _asked(self, told: Told) -> Schedule:
        """The faults of a finding that were asked for by their place."""
        result = told.anomaly.result
        return Schedule(tuple(fault for fault in result.schedule if fault in self.instances) if result is not None else ())

    def _told(
        self,
        recording: Recording,
        schedule: Schedule,
        first: Callable[[Case], None] = lambda _: None,
        tell: Callable[[Examiner, Tally], None] = lambda *_: None,
        upto: str = "",
        **only: int,
    ) -> list[Told]:
        """What is wrong with a story, with the story; `first` is given the case, `tell` what was walked of it."""
        try:
            case = self._case(Workload(recording.steps), recording, schedule)
            first(case)
            found = self._wrong(case, tell, upto, **only)
        except Anomaly as anomaly:  # the store needs no fault at all
            found = [anomaly]
        return [Told(anomaly, _first(recording.drawn, _steps(anomaly))) for anomaly in found]

    def _count(self, examiner: Examiner, tally: Tally) -> None:
        """Take over what was walked of one story, and what was found there that does not fail the test."""
        self.unknown |= tally.unknown
        for suspect in tally.suspects if tally.model not in self.deadly else ():
            anomaly = examiner.rebuild(suspect, fatal=False)
            known = self.portability.get(anomaly.identity)
            if known is None or length(anomaly) < length(known):
                self.portability[anomaly.identity] = anomaly
        total = self.tallies.setdefault(tally.model, Tally(tally.model))
        total.points += tally.points
        total.cuts += tally.cuts
        total.states += tally.states
        total.opened += tally.opened
        total.repeats += tally.repeats
        total.kinds |= tally.kinds
        total.cut_short = total.cut_short or tally.cut_short

    def _cover(self, case: Case) -> None:
        self.struck |= {str(fault) for fault in case.schedule}
        offered, reached = points(case, self.names, case.workload.sessions if self.runner.able.sessions else ())
        self.offered |= offered
        self.reached |= reached

    def vacuous(self, asked: Sequence[Any]) -> VacuousRun | None:
        """Why the search tested nothing; `asked`: the faults that were asked for by name."""
        name = self.runner.able.name
        if not self.effects:
            return VacuousRun(
                f"{name} wrote nothing below world.root",
                because=(f"in {self.examples} workloads no operation was seen there, so nothing could be crashed",),
            )
        idle = [fault for fault in self.instances if str(fault) not in self.struck]
        if self.instances and idle:
            return VacuousRun(
                f"{idle[0]} never struck",
                because=(f"in {self.examples} workloads {name} never did that operation", "so nothing was tested with it"),
            )
        asked = [fault for fault in asked if getattr(fault, "__name__", fault) != "Crash"]  # that is tried in any case
        if asked and not self.instances and not any(point.fault != "Crash" for point in self.reached) and not self.struck:
            return VacuousRun(
                f"none of the faults that were asked for ever struck: {', '.join(map(str, asked))}",
                because=(f"in {self.examples} workloads {name} never did an operation that they strike",),
            )
        return None

    def report(self, found: Sequence[Anomaly], seconds: float) -> SweepReport:
        """What was tried and found, in the form of a sweep's report."""
        known = {anomaly.identity for anomaly in found}
        others = [anomaly for identity, anomaly in self.portability.items() if identity not in known]
        clean = [] if found else [name for name, tally in self.tallies.items() if not tally.kinds]
        return SweepReport(
            adapter=self.runner.able.name,
            steps=self.examples,
            operations=self.operations,
            models=tuple(tally.report([*found, *others], self.limit) for tally in self.tallies.values()),
            anomalies=tuple(found),
            portability=tuple(others),
            unknown=tuple(sorted(self.unknown)),
            seconds=seconds,
            store_share=self.runner.reopener.seconds / seconds if seconds else 0.0,
            coverage=Coverage(frozenset(self.reached), frozenset(self.offered)),
            examples=self.examples,
            databases=in_force(self.databases),
            disk=self.runner.arena.disk,
            **stronger(clean, self.deadly),
        )


def stronger(clean: Iterable[str], deadly: Iterable[str]) -> dict[str, Any]:
    """Fields of a report: the models without a finding that the promise does not name, and the promise that would hold."""
    more = tuple(name for name in clean if name not in set(deadly))
    local = tuple(name for name in LOCAL_POWER if name in more)
    promise = ""
    if local:
        systems = "" if local == LOCAL_POWER else f", filesystems={local!r}"
        promise = f'Promise(acknowledged="power-loss"{systems})'
    return {"holds_under": more, "stronger": promise}


def _key(anomaly: Anomaly) -> Identity:
    """What tells a finding from others while Hypothesis shrinks: where a fault struck says little, if it is needed at all."""
    result = anomaly.result
    if result is None or _goes_wrong(result.workload, [fault for fault in result.schedule if not isinstance(fault, Crash)]):
        return (*anomaly.identity[:2], "")
    return anomaly.identity


def _steps(anomaly: Anomaly) -> int:
    return len(anomaly.result.workload) if anomaly.result is not None else 0


def _first(drawn: Sequence[Any], steps: int) -> Parts:
    """The parts of a story up to so many steps."""
    ends = [at for at, part in enumerate(drawn) if not isinstance(part, Arm)]
    return tuple(drawn[: ends[steps - 1] + 1]) if 0 < steps <= len(ends) else tuple(drawn)


def _goes_wrong(workload: Workload, faults: Sequence[Any]) -> bool:
    return bool(faults) or any(isinstance(step, (PowerLoss, FullDisk)) for step in workload)


def _disturbed(case: Case) -> bool:
    """Whether anything went wrong before the end of the story."""
    return _goes_wrong(case.workload, case.schedule.faults)


def points(case: Case, names: Iterable[str], sessions: Sequence[str] = ()) -> tuple[set[Point], set[Point]]:
    """Where the crash and the faults of these names could strike in a story, and where they did.

    `sessions`: names that are written as `<session>` in roles, because the files of one session are what those of another are.
    """
    offered: set[Point] = set()
    reached: set[Point] = set()
    anyone = _of_any(sessions)
    kinds = {name: INJECTORS[name][0] for name in names if name in INJECTORS}
    strikes = set(case.recording.strikes)
    for op in case.history.lane(Lane.DISK):
        role = role_of(anyone(op.target)) or "-"
        if op.effect is not None:
            crash = Point(op.kind, role, "Crash")
            offered.add(crash)
            if op.seq > case.base:
                reached.add(crash)
            offered |= {Point(op.kind, role, name) for name, where in kinds.items() if op.kind in where}
        if op.seq in strikes:
            reached.add(Point(op.kind, role, op.note if op.outcome is Outcome.FAILED else "ShortWrite"))
    if "ReadEIO" in kinds:
        offered |= {Point(kind, anyone(role), "EIO") for kind, role in set(case.recording.read)}
    for fault in case.schedule:
        if isinstance(fault, (LostWrite, TornWrite, ShortWrite)):
            place = Place.parse(fault.at)
            reached.add(Point(place.kind, anyone(place.role), type(fault).__name__))
    return offered, reached


def _of_any(sessions: Sequence[str]) -> Callable[[str], str]:
    """Makes the name of a session in a path or role, where it stands as a word, the placeholder of all of them."""
    if not sessions:
        return str
    names = "|".join(re.escape(form) for session in sessions for form in (session, role_of(session)))
    return partial(re.compile(rf"(?<![\w-])({names})(?![\w-])").sub, "<session>")


@functools.lru_cache(maxsize=1024)
def _raiser(identity: Identity) -> Callable[[Anomaly], NoReturn]:
    """A function of a file of its own: Hypothesis takes two failures for one if they come from one line."""
    space: dict[str, Any] = {}
    source = compile("def strike(anomaly):\n    raise anomaly\n", f"<finding {' '.join(identity)}>", "exec")
    exec(source, space)  # noqa: S102  two lines of our own
    raiser: Callable[[Anomaly], NoReturn] = space["strike"]
    return raiser


def at_boundary(runner: Runner, case: Case) -> Anomaly | None:
    """What is wrong where the story went on after a death of the machine, told as the crash of the story up to there."""
    for boundary in case.recording.boundaries:
        if runner.boundary(case, boundary) is None:
            continue
        examiner = Examiner(runner, _until(runner, case, boundary.step))
        try:
            cut = examiner.find(boundary.model, boundary.first, boundary.lag)
        except UsageError:
            continue
        deadly = boundary.model in fatal(runner.able.promise, [boundary.model])
        for session in examiner.sessions:
            suspect = Suspect(boundary.model, boundary.first, boundary.lag, session=session)
            anomaly = examiner.revisit(suspect, cut, boundary.point, fatal=deadly)
            if anomaly is not None:
                return anomaly
    return None


def _until(runner: Runner, case: Case, steps: int) -> Case:
    """The case of the first steps only, under those of the faults that strike in them."""
    workload = Workload(case.workload.steps[:steps])
    shorter = runner.prepare(workload, case.schedule)
    if shorter.unfired:
        shorter = runner.prepare(workload, Schedule(tuple(f for f in case.schedule if f not in shorter.unfired)))
    return shorter


def by_model(runner: Runner, anomaly: Anomaly, models: Iterable[PersistenceModel], limit: int) -> None:
    """Note in the result of a finding under which models its story shows the same, and under which it does not."""
    result = anomaly.result
    if result is None or not result.model:
        return
    live = Schedule(tuple(fault for fault in result.schedule if type(fault).__name__ != "Crash"))
    case = runner.prepare(result.workload, live)
    if case.unfired:
        return
    names = dict.fromkeys([*(model.name for model in resolve(DEFAULT)), *(model.name for model in models)])
    examiner = Examiner(runner, case, limit=limit)
    fails = [name for name in names if type(anomaly).__name__ in examiner.examine(name).kinds]
    if result.model not in fails:  # a crash during healing, which is not walked here
        return
    told = {"fails_under": tuple(fails), "holds_under": tuple(name for name in names if name not in fails)}
    anomaly.result = replace(result, **told)  # type: ignore[arg-type]  # two fields of names
