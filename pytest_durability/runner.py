"""Runs one adapter: calibrates it, records a workload once, and judges any crash state of the recording.

Rule: the runner decides nothing about what to try (`explore` does) and nothing about right and wrong (`checkers` do).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pytest_durability.adapter import check_members
from pytest_durability.calibration import calibrate
from pytest_durability.checkers import VALID, Judgement, judge
from pytest_durability.errors import UsageError
from pytest_durability.faults import Schedule
from pytest_durability.history import History, Op
from pytest_durability.incarnation import AdapterFactory
from pytest_durability.ledger import Calibration, Expectation, Ledger
from pytest_durability.nemesis import Nemesis
from pytest_durability.observation import Observation
from pytest_durability.recording import Capabilities, Play, Recording, check_workload
from pytest_durability.reopening import WRONG_TYPE, Reopener, present
from pytest_durability.tokens import find
from pytest_durability.verdict import Anomaly, Verdict
from pytest_durability.workload import Say, Workload, standard, with_tokens
from pytest_durability.world.arena import Arena
from pytest_durability.world.disk.image import EMPTY, Image
from pytest_durability.world.process import Run, run_apart, run_here


@dataclass(frozen=True, slots=True)
class Case:
    """One recorded run, ready to be crashed: what was said, what happened, and what is due at every moment.

    `ops` are the operations that crash states are computed from (the history with lost and torn writes taken out).
    """

    workload: Workload
    schedule: Schedule
    recording: Recording
    ops: Sequence[Op]
    ledger: Ledger
    calibration: Calibration
    unfired: tuple[Any, ...] = ()

    @property
    def times(self) -> Counter[str]:
        """How often each message is said."""
        return Counter(find(say.text)[0] for say in self.workload.says())

    @property
    def history(self) -> History:
        """Everything that happened in the recorded run."""
        return self.recording.history


class Runner:
    """Everything about one adapter in one arena."""

    def __init__(self, factory: AdapterFactory, arena: Arena, isolation: str = "same") -> None:
        if isolation not in ("same", "process"):
            raise UsageError(f"isolation={isolation!r}", fix="choose from: 'same', 'process'")
        adapter = factory()
        check_members(adapter)
        self.able = Capabilities.of(adapter)
        self.factory = factory
        self.arena = arena
        self._run: Run = run_apart if isolation == "process" else run_here
        self.reopener = Reopener(factory, self.able, arena, self._run)
        self._judged: dict[tuple[int, int], tuple[Observation, Expectation, Judgement]] = {}
        self._excusing: dict[tuple[int, frozenset[str]], tuple[Ledger, Ledger]] = {}

    def workload(self, given: Any = None) -> Workload:
        """The workload to run: the given one with a token in every text, or the standard one for this adapter."""
        if given is None:
            has = self.able.members.__contains__
            found = standard(
                batches=has("append_many"),
                commits=has("commit"),
                closes=has("close"),
                ids=self.able.promise.retry == "idempotent",
            )
        else:
            found = with_tokens(Workload.of(given))
        check_workload(found, self.able)
        return found

    def prepare(self, workload: Workload, schedule: Schedule | None = None, calibration: Calibration | None = None) -> Case:
        """Calibrate, then record the workload under the faults of `schedule` (crashes in it are not applied here).

        `calibration`: what an earlier run of the same workload taught, if there was one.
        """
        schedule = schedule or Schedule()
        self._judged.clear()
        self._excusing.clear()
        calibration = calibration or calibrate(self.factory, self.able, self.arena, workload, self.reopener, self._run)
        recording, nemesis = self._run(_recorded, self.factory, self.able, self.arena, workload, schedule)
        ops, excused = nemesis.overlay(recording.history, calibration.published)
        ledger = Ledger.build(
            recording.history,
            _says(workload),
            promise=self.able.promise,
            calibration=calibration,
            archives="archived" in self.able.members,
        )
        if excused:
            ledger = ledger.excusing(excused)
        return Case(workload, schedule, recording, ops, ledger, calibration, nemesis.unfired())

    def canary(self, case: Case) -> None:
        """Open an empty root after a recording: anything that was said before can only come from memory.

        Raises:
            UsageError: state leaks between two lives of the store in one process.
        """
        look = self.reopener.look(EMPTY)
        leaked = [token for row in look.rows or () for token in row.tokens]
        failed = look.failure is not None and not look.failure.refused and look.failure.kind != WRONG_TYPE
        if leaked or failed:
            what = f"shows {', '.join(leaked[:5])}" if leaked else str(look.failure)
            raise UsageError(
                f"{self.able.name}: an empty directory, opened after {len(case.history)} operations elsewhere, {what}",
                why="state leaks from one life of the store to the next through the memory of the process",
                fix='run it with isolation="process" (a marker or an argument), which opens every state in its own process',
            )

    def observe(self, image: Image, key: str | None = None) -> Observation:
        """Two opens of one disk content."""
        return self.reopener.observe(image, key, self.able.volatile)

    def ledger(self, case: Case, excused: frozenset[str] = frozenset()) -> Ledger:
        """What is due in a state in which nobody can ask for these messages, because only lost writes held them."""
        if not excused:
            return case.ledger
        known = self._excusing.get((id(case.ledger), excused))
        if known is None or known[0] is not case.ledger:
            known = case.ledger, case.ledger.excusing(dict.fromkeys(excused))
            self._excusing[id(case.ledger), excused] = known
        return known[1]

    def judge(
        self,
        case: Case,
        image: Callable[[], Image],
        seen: Observation,
        first: int,
        last: int,
        excused: frozenset[str] = frozenset(),
    ) -> tuple[Judgement, int]:
        """The worst judgement of one observation over a range of crash points, and the first point where it holds.

        Of several that are wrong, the most specific. `excused`: messages that may be missing, see `ledger`.
        """
        worst, at = VALID, last
        ledger = self.ledger(case, excused)
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


def _recorded(
    factory: AdapterFactory, able: Capabilities, arena: Arena, workload: Workload, schedule: Schedule
) -> tuple[Recording, Nemesis]:
    nemesis = Nemesis(schedule)
    return Play(factory, able, arena, gate=nemesis.gate).run(workload), nemesis


def _severity(judgement: Judgement) -> tuple[int, int]:
    """Worse verdicts first, then the more specific ones."""
    return [Verdict.VALID, Verdict.UNKNOWN, Verdict.INVALID].index(judgement.verdict), -judgement.rank


def _with_present(seen: Observation, tokens: frozenset[str]) -> Observation:

    return replace(seen, present=tokens)


def _says(workload: Workload) -> dict[str, Say]:
    return {find(say.text)[0]: say for say in workload.says()}


def reraise(anomalies: Sequence[Anomaly], message: str) -> None:
    """Raise one anomaly as it is, several as an exception group; none: return."""
    if len(anomalies) == 1:
        raise anomalies[0]
    if anomalies:
        raise ExceptionGroup(message, list(anomalies))
