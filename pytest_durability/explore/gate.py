"""The property gate: Hypothesis draws what the user does and one fault, and every crash state of that run is judged.

Rule: Hypothesis chooses and shrinks the steps; the crash itself is not drawn but tried everywhere, which leaves nothing to
luck and shrinks to the fewest steps. No draw depends on the store, and no clock is read, so a search is never flaky.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis import seed as seeded
from hypothesis.errors import Flaky

from pytest_durability.errors import CaseError, InconclusiveError, UsageError
from pytest_durability.explore import case as cases
from pytest_durability.explore.drawn import Drawn, drawn_cases
from pytest_durability.explore.examine import Examiner, Tally
from pytest_durability.explore.factory import as_factory, reference_of
from pytest_durability.explore.keeper import Keeper
from pytest_durability.explore.replay import replay
from pytest_durability.explore.settings import Context
from pytest_durability.faults import NAMES, Crash, LostWrite, Schedule, ShortWrite, TornWrite, WriteError, place_of
from pytest_durability.history import Lane, Op
from pytest_durability.persistence import PersistenceModel, fatal, resolve
from pytest_durability.runner import Case, Runner, reraise
from pytest_durability.verdict import Anomaly, SweepReport, VacuousRun
from pytest_durability.world.arena import Arena
from pytest_durability.world.disk.effects import Write

EXAMPLES = {"dev": 40, "ci": 100, "deep": 1000}
"""How many workloads a profile tries; each is crashed everywhere."""

STATES = {"dev": 300, "ci": 1000, "deep": 10_000}
"""How many cuts of each workload and model a profile tries, fewest losses first."""

Injector = Callable[[str, Op], Any]
"""Makes a fault for a place and the operation that is there."""

INJECTORS: dict[str, tuple[tuple[str, ...], Injector]] = {
    "ENOSPC": (("write", "create"), lambda at, _: WriteError(at, "ENOSPC")),
    "EIO": (("write", "fsync", "rename", "truncate"), lambda at, _: WriteError(at, "EIO")),
    "ShortWrite": (("write",), lambda at, op: ShortWrite(at, max(1, op.size // 2))),
    "LostWrite": (("write",), lambda at, _: LostWrite(at)),
    "TornWrite": (("write",), lambda at, op: TornWrite(at, op.size // 2)),
}
"""Faults besides the crash: on which kinds of operation each may strike, and how it is made."""


def check(
    adapter: Any,
    *,
    faults: Any = None,
    models: Any = None,
    max_examples: int | None = None,
    seed: int | None = None,
    isolation: str = "same",
    context: Context | None = None,
) -> SweepReport:
    """Draw workloads and faults, crash each run everywhere, and raise the shortest failing story.

    `faults`: classes, names or instances (None: what is within the promise). Saved cases of the test run first.

    Raises:
        Anomaly: a finding that the promise (or `models`, or `faults`) makes fatal; an ExceptionGroup for several.
        UsageError, AdapterError: the question was wrong.
    """
    __tracebackhide__ = True
    context = context or Context()
    factory, reference = as_factory(adapter), reference_of(adapter)
    _replay_saved(adapter, reference, context)
    start = time.process_time()
    with Arena(context.seed) as arena:
        asked = models if models is not None else context.models
        runner = Runner(factory, arena, isolation)
        search = _Search(runner, resolve(asked), _injectors(faults, runner), STATES[context.profile])
        search.deadly = fatal(runner.able.promise, [model.name for model in resolve(asked)] if asked is not None else None)
        keeper = Keeper(reference, context)
        with keeper.watching():
            found = search.run(max_examples or EXAMPLES[context.profile], seed, context)
            report = search.report(found, time.process_time() - start)
            keeper.keep(report)
            reraise(report.anomalies, f"{len(report.anomalies)} distinct findings in {report.adapter}")
    if search.unknown:
        raise InconclusiveError("; ".join(sorted(search.unknown)[:5]), why="UNKNOWN is not a pass")
    return report


def _replay_saved(adapter: Any, reference: str, context: Context) -> None:
    """What failed before is tried before anything is searched."""
    __tracebackhide__ = True
    if not context.test:
        return
    for case in cases.saved(context.directory, context.test):
        if case.adapter == reference and case.extra.get("fatal", True):
            try:
                replay(case, adapter=adapter, context=context)
            except CaseError:
                continue  # it does not fit today's store; the search goes on


def _injectors(faults: Any, runner: Runner) -> list[Any]:
    """Names of `INJECTORS`, and fault instances; by default what no promise excludes."""
    if faults is None:
        return ["ENOSPC", "EIO", "ShortWrite", *(["LostWrite"] if runner.able.promise.lost_writes == "consistent" else [])]
    chosen: list[Any] = []
    for fault in [faults] if isinstance(faults, (str, type)) else list(faults):
        name = fault if isinstance(fault, str) else fault.__name__ if isinstance(fault, type) else type(fault).__name__
        if name not in NAMES or name not in {"Crash", "WriteError", "LostWrite", "TornWrite", "ShortWrite"}:
            raise UsageError(
                f"faults= holds {fault!r}",
                why="only faults that this version can stage may be asked for",
                fix="choose from: Crash, WriteError, ShortWrite, LostWrite, TornWrite (classes, names or instances)",
            )
        if not isinstance(fault, (str, type)):
            chosen.append(fault)
        elif name == "WriteError":
            chosen += ["ENOSPC", "EIO"]
        elif name != "Crash":  # crashes are tried everywhere anyhow
            chosen.append(name)
    return chosen


@dataclass(slots=True)
class _Search:
    """One search: what it tries with, and what it has seen."""

    runner: Runner
    models: tuple[PersistenceModel, ...]
    faults: list[Any]
    limit: int
    deadly: frozenset[str] = frozenset()
    examples: int = 0
    operations: int = 0
    effects: int = 0
    tallies: dict[str, Tally] = field(default_factory=dict)
    portability: dict[tuple[str, str, str], Anomaly] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)

    def run(self, examples: int, seed: int | None, context: Context) -> list[Anomaly]:
        """Search; the shortest story of each distinct bug.

        Raises:
            VacuousRun: the store never wrote anything below the root.
            UsageError: the store is not deterministic.
        """
        __tracebackhide__ = True
        test = given(drawn_cases(self.runner.able, len(self.faults)))(self._try)
        test = settings(
            max_examples=examples,
            deadline=None,
            database=None,
            derandomize=seed is None and context.profile == "ci",
            verbosity=Verbosity.quiet,
            report_multiple_bugs=True,
            print_blob=False,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        )(test)
        if seed is not None or context.profile != "ci":
            test = seeded(context.seed if seed is None else seed)(test)
        try:
            test()
        except Flaky as error:
            raise UsageError(
                f"{self.runner.able.name} gave two answers to one case: {str(error).splitlines()[0]}",
                why="a finding that does not repeat cannot be shown to anybody",
                fix='look for wall-clock times, unseeded chance or module state; isolation="process" rules out the last',
            ) from None
        except Anomaly as anomaly:
            return [_plain(anomaly)]
        except ExceptionGroup as group:
            found = [_plain(anomaly) for anomaly in group.exceptions if isinstance(anomaly, Anomaly)]
            if len(found) != len(group.exceptions):
                raise
            return sorted(found, key=_length)
        if not self.effects:
            raise VacuousRun(
                f"{self.runner.able.name} wrote nothing below world.root",
                because=(f"in {self.examples} workloads no operation was seen there, so nothing could be crashed",),
            )
        return []

    def _try(self, drawn: Drawn) -> None:
        """One example: all crash states without a fault, then what is left after the fault."""
        __tracebackhide__ = True
        case = self.runner.prepare(drawn.workload)
        self.runner.canary(case)
        self.examples += 1
        self.operations += len(case.history)
        self.effects += sum(1 for op in case.ops if op.effect is not None)
        self._judge(case, self.models)
        fault = self._fault(drawn, case)
        if fault is None:
            return
        struck = self.runner.prepare(drawn.workload, Schedule((fault,)), case.calibration)
        if not struck.unfired:
            self._judge(struck, self.models[:1])

    def _fault(self, drawn: Drawn, case: Case) -> Any:
        if drawn.fault == 0:
            return None
        chosen = self.faults[drawn.fault - 1]
        if not isinstance(chosen, str):
            return None if isinstance(chosen, Crash) else chosen
        kinds, make = INJECTORS[chosen]
        ops = [op for op in case.history.lane(Lane.DISK) if op.kind in kinds and op.effect is not None]
        if chosen == "ShortWrite":
            ops = [op for op in ops if isinstance(op.effect, Write) and op.size > 1]
        if not ops:
            return None
        op = ops[drawn.at % len(ops)]
        return make(str(place_of(case.history, op.seq)), op)

    def _judge(self, case: Case, models: Sequence[PersistenceModel]) -> None:
        """Walk the crash states; the first fatal finding ends the example, so that Hypothesis shrinks its story."""
        __tracebackhide__ = True
        examiner = Examiner(self.runner, case, limit=self.limit)
        for model in models:
            tally = examiner.examine(model.name)
            self._count(tally)
            self.unknown |= tally.unknown
            deadly = model.name in self.deadly
            if deadly and tally.suspects:
                raise examiner.rebuild(tally.suspects[0], fatal=True)
            for suspect in tally.suspects:
                anomaly = examiner.rebuild(suspect, fatal=False)
                known = self.portability.get(anomaly.identity)
                if known is None or _length(anomaly) < _length(known):
                    self.portability[anomaly.identity] = anomaly

    def _count(self, tally: Tally) -> None:
        total = self.tallies.setdefault(tally.model, Tally(tally.model))
        total.points += tally.points
        total.cuts += tally.cuts
        total.states += tally.states
        total.opened += tally.opened
        total.repeats += tally.repeats
        total.cut_short = total.cut_short or tally.cut_short

    def report(self, found: list[Anomaly], seconds: float) -> SweepReport:
        """What was tried and found, in the form of a sweep's report."""
        known = {anomaly.identity for anomaly in found}
        others = [anomaly for identity, anomaly in self.portability.items() if identity not in known]
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
        )


def _plain(anomaly: Anomaly) -> Anomaly:
    """Without the notes that Hypothesis adds: the report names the command that reproduces it."""
    if hasattr(anomaly, "__notes__"):
        del anomaly.__notes__
    return anomaly


def _length(anomaly: Anomaly) -> tuple[int, int, int]:
    """Fewest steps first, then fewest faults, then the shorter text."""
    result = anomaly.result
    if result is None:
        return (0, 0, 0)
    return (len(result.workload), len(result.schedule), len(str(result.workload)))
