"""Runs one saved case again, exactly: the same steps, the same faults at the same places, the same surviving state.

Rule: no search and no Hypothesis. A case that no longer fits the store is told as such, which is neither a pass nor a
failure; nothing is ever imported because a case names it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import reduce
from typing import Any

from pytest_durability.errors import CaseError
from pytest_durability.explore.case import Case, load
from pytest_durability.explore.disks import arena_on
from pytest_durability.explore.examine import Examiner, Suspect
from pytest_durability.explore.factory import as_factory
from pytest_durability.explore.keeper import Keeper
from pytest_durability.explore.orders import clock_of
from pytest_durability.explore.search import at_boundary
from pytest_durability.explore.settings import Context
from pytest_durability.faults import ClockStep, Crash, Place, Schedule, seq_of
from pytest_durability.history import Op
from pytest_durability.persistence import fatal
from pytest_durability.runner import Runner
from pytest_durability.surviving import START, UnreachableError, UnstagedError
from pytest_durability.verdict import Result, Verdict
from pytest_durability.workload import Together, Workload
from pytest_durability.world.disk.states import State


def replay(case: Case | str, *, adapter: Any = None, context: Context | None = None) -> Result:
    """Run a case (or the id or file of one) again; without `adapter` the class that the case names must be loaded.

    Returns the result if the case no longer fails.

    Raises:
        Anomaly: it still fails, with the anomaly of today's store.
        CaseError: the case cannot be read, its adapter is not loaded, or its place no longer exists.
    """
    __tracebackhide__ = True
    context = context or Context()
    if not isinstance(case, Case):
        case = load(str(case), context.directory)
    adapter = adapter if adapter is not None else loaded(case.adapter)
    with Keeper(case.adapter, context, case.disk).watching():
        return _again(case, adapter, context)


def loaded(reference: str) -> Any:
    """The adapter that a reference names, if its module is loaded; nothing is imported.

    Raises:
        CaseError: the module is not loaded, or has no such name.
    """
    module, _, name = reference.partition(":")
    try:
        found = reduce(getattr, name.split("."), sys.modules[module])
    except (KeyError, AttributeError):
        raise CaseError(
            f"the adapter {reference!r} of the case is not loaded",
            why="a case file is data: nothing is imported because a file says so",
            fix="import the adapter's module before, give replay(case, adapter=...), or use --durability-replay with its test",
        ) from None
    return found


def _again(case: Case, adapter: Any, context: Context) -> Result:
    __tracebackhide__ = True
    schedule = Schedule.parse(case.schedule)
    crashes = [fault for fault in schedule if isinstance(fault, Crash)]
    rest = Schedule(tuple(fault for fault in schedule if not isinstance(fault, Crash)))
    stepped = any(isinstance(fault, ClockStep) for fault in rest)
    with arena_on(case.disk, case.seed, context) as arena, clock_of(arena, wanted=stepped):
        runner = Runner(as_factory(adapter), arena)
        workload = Workload.parse(case.workload)
        if any(isinstance(step, Together) for step in workload):
            runner.let_overlap()
        try:
            recorded = runner.prepare(runner.workload(workload), rest)
        except UnstagedError as error:
            raise _misfit(case, error.what) from None
        except UnreachableError as error:
            note = f"a crash there can no longer leave that state: {error.what}"
            return Result(runner.able.name, workload, schedule, (), Verdict.VALID, case_id=case.id, note=note, disk=case.disk)
        examiner = Examiner(runner, recorded)
        if recorded.unfired:
            raise _misfit(case, f"{recorded.unfired[0]} never strikes")
        if not crashes:
            return _uncrashed(case, runner, workload, schedule, examiner)
        cut, point = _cut(case, examiner, crashes[0])
        if not cut.first <= point <= max(cut.last, recorded.base):
            # The usual repair: a sync was added, and what the crash took is durable by then.
            return _result(case, runner, workload, schedule, examiner, point, "a crash there can no longer leave that state")
        inner = _inner(case, examiner, cut, crashes[1:])
        deadly = crashes[0].model in fatal(runner.able.promise, [crashes[0].model])
        for session in examiner.sessions:
            suspect = Suspect(crashes[0].model, cut.first, tuple(cut.lag), inner, session)
            anomaly = examiner.revisit(suspect, cut, point, fatal=deadly)
            if anomaly is not None:
                raise anomaly
        return _result(case, runner, workload, schedule, examiner, point)


def _uncrashed(case: Case, runner: Runner, workload: Workload, schedule: Schedule, examiner: Examiner) -> Result:
    """What is wrong with a story by itself: where it goes on after a death of the machine, or that it cannot go on."""
    __tracebackhide__ = True
    if examiner.case.recording.overlaps:
        overlapped = runner.overlapped(examiner.case)
        if overlapped is not None:
            raise overlapped
        return _result(case, runner, workload, schedule, examiner)
    for anomaly in (at_boundary(runner, examiner.case), runner.wedged(examiner.case)):
        if anomaly is not None:
            raise anomaly
    return _result(case, runner, workload, schedule, examiner)


def _cut(case: Case, examiner: Examiner, crash: Crash) -> tuple[State, int]:
    history = examiner.case.history
    point = _seq(case, history, crash.after)
    if not crash.born and not crash.lag:
        return examiner.newest(crash.model, point), point
    born = 0 if crash.born == START else _seq(case, history, crash.born or crash.after)
    cut = examiner.find(crash.model, born, crash.lag)
    return cut, point


def _inner(case: Case, examiner: Examiner, cut: State, crashes: Sequence[Crash]) -> tuple[int, tuple[str, ...]] | None:
    if not crashes:
        return None
    healing = examiner.runner.reopener.look(cut.image()).healing
    return (_seq(case, healing, crashes[0].after), crashes[0].lag)


def _seq(case: Case, ops: Sequence[Op], text: str) -> int:
    seq = seq_of(ops, Place.parse(text))
    if seq is None:
        raise _misfit(case, f"there is no operation {text}")
    return seq


def _misfit(case: Case, what: str) -> CaseError:
    return CaseError(
        f"case {case.id} no longer fits: {what}",
        why="the store does other operations than when the case was saved, so the same failure cannot be staged",
        fix="run the test without --durability-replay to search again, and remove the old case",
    )


def _result(
    case: Case, runner: Runner, workload: Workload, schedule: Schedule, examiner: Examiner, point: int = 0, note: str = ""
) -> Result:
    return Result(
        adapter=runner.able.name,
        workload=workload,
        schedule=schedule,
        history=examiner.case.history,
        verdict=Verdict.VALID,
        crash_after=point,
        case_id=case.id,
        note=note,
        disk=case.disk,
    )
