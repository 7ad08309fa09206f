"""Runs a workload once, then checks every crash state of every crash point within bounds that the report prints.

Rule: nothing is sampled. What a bound or a limit cut away is said, and an UNKNOWN is never counted as a pass.
"""

from __future__ import annotations

import time
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from pytest_durability.errors import InconclusiveError, UsageError
from pytest_durability.explore.disks import arena_on, check_disk
from pytest_durability.explore.examine import LIMIT, Examiner, Tally
from pytest_durability.explore.factory import as_factory, reference_of
from pytest_durability.explore.keeper import Keeper
from pytest_durability.explore.search import at_boundary, stronger
from pytest_durability.explore.settings import Context
from pytest_durability.faults import Schedule
from pytest_durability.persistence import PersistenceModel, fatal, resolve
from pytest_durability.runner import Runner, reraise
from pytest_durability.verdict import Anomaly, SweepReport
from pytest_durability.workload import Together, Workload
from pytest_durability.world.arena import Arena
from pytest_durability.world.disk.sqlite.modes import effective, in_force


@dataclass(frozen=True, slots=True)
class _Job:
    """One worker's part of a sweep; everything in it can travel to another process."""

    factory: Any
    workload: Workload
    schedule: Schedule
    models: tuple[str, ...]
    depth: int
    seed: int
    isolation: str
    share: int
    shares: int


def sweep(
    adapter: Any,
    workload: Any = None,
    *,
    models: Any = None,
    depth: int = 2,
    executor: Executor | None = None,
    isolation: str = "same",
    disk: str = "files",
    context: Context | None = None,
) -> SweepReport:
    """Record the workload once, then judge every crash state; at depth 2 also crashes during the healing of each.

    Returns the report of a sweep without a fatal finding. Each finding, fatal or not, is saved as a case.

    Raises:
        Anomaly: one bug that the adapter's promise (or `models`) makes fatal; an ExceptionGroup for several.
        AdapterError: the adapter is wrong; nothing was judged.
        UsageError: an argument cannot be used.
    """
    __tracebackhide__ = True
    context = context or Context()
    check_disk(disk, executor)
    asked = models if models is not None else context.models
    if depth not in (1, 2):
        raise UsageError(f"sweep(depth={depth!r})", why="deeper crashes are not explored", fix="use 1 or 2")
    chosen = resolve(asked)
    keeper = Keeper(reference_of(adapter), context, disk)
    with keeper.watching():
        arena = arena_on(disk, context.seed, context)
        report = _swept(
            adapter,
            arena,
            workload,
            chosen,
            fatal_names=asked,
            depth=depth,
            executor=executor,
            isolation=isolation,
            seed=context.seed,
        )
        keeper.keep(report)
        reraise(report.anomalies, f"{len(report.anomalies)} distinct findings in {report.adapter}")
    if report.unknown:
        raise _unknown(report)
    return report


def _swept(
    adapter: Any,
    arena: Arena,
    workload: Any,
    models: tuple[PersistenceModel, ...],
    *,
    fatal_names: Any,
    depth: int,
    executor: Executor | None,
    isolation: str,
    seed: int,
) -> SweepReport:
    start = time.process_time()
    names = tuple(model.name for model in models)
    with arena:
        factory = as_factory(adapter)  # in the arena, because an adapter of a fixed place may go there when it is made
        runner = Runner(factory, arena, isolation)
        steps = runner.workload(workload)
        if any(isinstance(step, Together) for step in steps):
            raise UsageError(
                "a workload with Together cannot be swept",
                why="what a crash may leave of calls that were made at once depends on their order, which check judges at the end",
                fix=f"use check, with overlaps = True in {runner.able.name}, or leave Together out",
            )
        schedule = runner.faults() if workload is None else Schedule()
        examiner = Examiner(runner, runner.prepare(steps, schedule), depth)
        examiner.canary()
        anomaly = at_boundary(runner, examiner.case) or runner.wedged(examiner.case)
        if anomaly is not None:
            raise anomaly
        tallies = _tallies(_Job(factory, steps, schedule, names, depth, seed, isolation, 0, 1), examiner, executor)
        deadly = fatal(runner.able.promise, names if fatal_names is not None else None)
        found = [examiner.rebuild(suspect, fatal=tally.model in deadly) for tally in tallies for suspect in tally.suspects]
        told = [_with_models(anomaly, tallies) for anomaly in _distinct(found)]
        return _report(examiner, tallies, told, deadly, time.process_time() - start)


def _tallies(job: _Job, examiner: Examiner, executor: Executor | None) -> list[Tally]:
    if executor is None:
        return [examiner.examine(name) for name in job.models]
    if isinstance(executor, ThreadPoolExecutor):
        raise UsageError(
            "sweep(executor=ThreadPoolExecutor(...))",
            why="a recording takes over the file functions of its whole process, so two cannot share one",
            fix="use ProcessPoolExecutor, or another executor that runs each job in a process of its own",
        )
    shares = max(1, getattr(executor, "_max_workers", None) or 4)
    parts = list(executor.map(_work, [replace(job, share=share, shares=shares) for share in range(shares)]))
    return [_merged([part[i] for part in parts]) for i in range(len(job.models))]


def _work(job: _Job) -> list[Tally]:
    """Run in a worker: the same recording again (it is deterministic), but only this worker's share of the states."""
    with Arena(job.seed) as arena:
        runner = Runner(job.factory, arena, job.isolation)
        examiner = Examiner(runner, runner.prepare(job.workload, job.schedule), job.depth, share=job.share, shares=job.shares)
        return [examiner.examine(name) for name in job.models]


def _merged(parts: list[Tally]) -> Tally:
    total = parts[0]
    for part in parts[1:]:
        total.states += part.states
        total.repeats += part.repeats
        total.deeper += part.deeper
        total.opened += part.opened
        total.kinds |= part.kinds
        total.suspects += part.suspects
        total.unknown |= part.unknown
    return total


def _distinct(found: list[Anomaly]) -> list[Anomaly]:
    """One anomaly per identity, the fatal sighting before the others, else the first."""
    kept: dict[tuple[str, str, str], Anomaly] = {}
    for anomaly in sorted(found, key=lambda item: not (item.result is not None and item.result.fatal)):
        kept.setdefault(anomaly.identity, anomaly)
    return list(kept.values())


def _with_models(anomaly: Anomaly, tallies: list[Tally]) -> Anomaly:
    """Note in a finding which of the models show the same."""
    if anomaly.result is not None and len(tallies) > 1:
        fails = tuple(tally.model for tally in tallies if type(anomaly).__name__ in tally.kinds)
        holds = tuple(tally.model for tally in tallies if tally.model not in fails)
        anomaly.result = replace(anomaly.result, fails_under=fails, holds_under=holds)
    return anomaly


def _report(
    examiner: Examiner, tallies: list[Tally], found: list[Anomaly], deadly_models: frozenset[str], seconds: float
) -> SweepReport:
    clean = [tally.model for tally in tallies if not tally.kinds]
    deadly = [anomaly for anomaly in found if anomaly.result is not None and anomaly.result.fatal]
    return SweepReport(
        adapter=examiner.runner.able.name,
        steps=len(examiner.case.workload),
        operations=len(examiner.case.history),
        models=tuple(tally.report(found, LIMIT) for tally in tallies),
        anomalies=tuple(deadly),
        portability=tuple(anomaly for anomaly in found if anomaly not in deadly),
        unknown=tuple(sorted({reason for tally in tallies for reason in tally.unknown})),
        seconds=seconds,
        store_share=examiner.runner.reopener.seconds / seconds if seconds else 0.0,
        depth=examiner.depth,
        databases=in_force(effective(examiner.case.history)),
        disk=examiner.runner.arena.disk,
        **stronger([] if deadly else clean, deadly_models),
    )


def _unknown(report: SweepReport) -> InconclusiveError:
    return InconclusiveError(
        f"{len(report.unknown)} checks of {report.adapter} gave no answer: {'; '.join(report.unknown[:5])}",
        why="UNKNOWN is not a pass: something in the harness or the adapter crashed",
        fix="the message names the checker; please report it with the adapter",
    )
