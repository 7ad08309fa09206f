"""The `durability` fixture: what a test calls, with everything that pytest knows about that test filled in.

Rule: no state of a test is kept here. What a call did is noted on the running test as `user_properties`, because these
reach the terminal and the junit file under xdist too; what it found is raised as if from the line of the test.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from pytest_durability.plugin.options import PREFIX, Options, marker
from pytest_durability.plugin.state import STATE, anomalies

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from pytest_durability.explore.case import Case
    from pytest_durability.explore.machine import SessionMachine
    from pytest_durability.explore.settings import Context
    from pytest_durability.verdict import Result, SweepReport
    from pytest_durability.world.world import World

T = TypeVar("T")
NOTES = 20
"""So many different things of one kind are noted on one test."""


class Durability:
    """What the `durability` fixture gives: it holds no state of a test, so any test and any Hypothesis example can use it."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def __repr__(self) -> str:
        return "<durability>"

    def check(
        self,
        adapter: Any,
        *,
        faults: Any = None,
        models: Any = None,
        max_examples: int | None = None,
        seed: int | None = None,
        isolation: str | None = None,
        disk: str | None = None,
    ) -> SweepReport:
        """The property gate: Hypothesis draws workloads and faults, every crash state of each run is judged, and what fails is shrunk.

        `disk="fake"` is for stores whose paths are fixed, as in `world`; saved cases remember it.

        Raises:
            Anomaly: a finding that fails the test; an exception group for several distinct ones.
            UsageError: an argument cannot be used, or the store is not deterministic.
            AdapterError: the adapter cannot be used.
        """
        __tracebackhide__ = True
        call = self._call()
        if call.options.replay is not None:
            return call.replay_instead(adapter, call.options.replay, disk)
        from pytest_durability.explore.gate import check

        return call.search(check, adapter, max_examples, seed, isolation, disk, faults=faults, models=models)

    def run_machine(
        self,
        machine: type[SessionMachine],
        *,
        faults: Any = None,
        models: Any = None,
        max_examples: int | None = None,
        seed: int | None = None,
        isolation: str | None = None,
        disk: str | None = None,
    ) -> SweepReport:
        """As `check`, with a machine of the user's own: a subclass of `SessionMachine` with rules and invariants besides.

        Raises:
            Anomaly: as `check`; what a rule or an invariant of the machine raises leaves as it is.
            UsageError, AdapterError: as `check`.
        """
        __tracebackhide__ = True
        call = self._call()
        from pytest_durability.explore.gate import run_machine

        if call.options.replay is not None:
            return call.replay_instead(machine.adapter, call.options.replay, disk)
        return call.search(run_machine, machine, max_examples, seed, isolation, disk, faults=faults, models=models)

    def sweep(
        self,
        adapter: Any,
        workload: Any = None,
        *,
        models: Any = None,
        depth: int | None = None,
        executor: Any = None,
        isolation: str | None = None,
        disk: str | None = None,
    ) -> SweepReport:
        """Run a workload once, then judge every crash state of every crash point within the printed bounds.

        At `depth` 2 (the default, unless the marker says otherwise) crashes during the healing of each state are tried too.

        Raises:
            Anomaly: a finding that fails the test; an exception group for several distinct ones.
            UsageError: an argument cannot be used.
            AdapterError: the adapter cannot be used.
        """
        __tracebackhide__ = True
        from pytest_durability.explore.sweep import sweep

        call = self._call()
        if call.options.replay is not None:
            return call.replay_instead(adapter, call.options.replay, disk)
        told = call.marker
        call.note("seed", str(call.context.seed))
        report = call.run(
            lambda: sweep(
                adapter,
                workload,
                models=models,
                depth=told.get("depth", 2) if depth is None else depth,
                executor=executor,
                isolation=told.get("isolation", "same") if isolation is None else isolation,
                disk=call.disk(disk),
                context=call.context,
            )
        )
        call.note_sweep(report)
        return report

    def world(
        self, *, disk: str | None = None, isolation: str | None = None, provider: Any = None, clock: Any = None
    ) -> AbstractContextManager[World]:
        """A `World` for a hand-written test, as a context manager.

        Raises:
            UsageError: an argument cannot be used; told when the block is entered.
        """
        __tracebackhide__ = True
        from pytest_durability.world.world import open_world

        call = self._call()
        kind = call.marker.get("isolation", "same") if isolation is None else isolation
        return open_world(disk=call.disk(disk), isolation=kind, provider=provider, clock=clock, seed=call.context.seed)

    def replay(self, case: Case | str | os.PathLike[str]) -> Result:
        """Run a saved case exactly, given as a `Case`, its id or its file; returns the result if nothing is wrong any more.

        Raises:
            Anomaly: the case still fails.
            CaseError: the case cannot be read, or does not fit the store any more.
        """
        __tracebackhide__ = True
        from pytest_durability.explore.case import Case as Saved
        from pytest_durability.explore.replay import replay

        call = self._call()
        given = case if isinstance(case, Saved) else os.fspath(case)
        return call.run(lambda: replay(given, context=call.context))

    def _call(self) -> _Call:
        state = self._config.stash[STATE]
        return _Call(self._config, state.options, state.item, marker(state.item))


@dataclass(frozen=True)
class _Call:
    """One call of the fixture: in which test, with which settings; what it did is noted on the test."""

    config: pytest.Config
    options: Options
    item: pytest.Item | None
    marker: dict[str, Any]

    @property
    def context(self) -> Context:
        """The marker goes before the command line, and that before the configuration file."""
        from pytest_durability.explore.settings import Context

        return Context(
            directory=self.options.directory,
            test=self.item.nodeid if self.item is not None else "",
            models=self.marker.get("models", self.options.models),
            seed=self.marker.get("seed", self.options.seed),
            profile=self.marker.get("profile", self.options.profile),
            rootdir=self.config.rootpath,
            replay=self.options.replay,
        )

    def asked_seed(self, seed: int | None) -> int | None:
        """The seed that somebody asked for, the closest one; None if nobody did, so that earlier failures are tried too."""
        asked = self.marker.get("seed", self.options.seed if self.options.seeded else None)
        return asked if seed is None else seed

    def disk(self, asked: str | None) -> str:
        """The disk that a call says, else the marker, else the usual one."""
        return str(self.marker.get("disk", "files")) if asked is None else asked

    def search(
        self,
        search: Callable[..., SweepReport],
        subject: Any,
        max_examples: int | None,
        seed: int | None,
        isolation: str | None,
        disk: str | None,
        **asked: Any,
    ) -> SweepReport:
        """Search with what the call says, else the marker, else the options; what was done is noted."""
        __tracebackhide__ = True
        seed = self.asked_seed(seed)
        self.note("seed", str(self.context.seed if seed is None else seed))
        report = self.run(
            lambda: search(
                subject,
                max_examples=self.marker.get("max_examples") if max_examples is None else max_examples,
                seed=seed,
                isolation=self.marker.get("isolation", "same") if isolation is None else isolation,
                disk=self.disk(disk),
                context=self.context,
                **asked,
            )
        )
        self.note_sweep(report)
        return report

    def run(self, action: Callable[[], T]) -> T:
        """Do it; a finding or a misuse then seems to come from the line of the user's test, not from inside the harness."""
        __tracebackhide__ = True
        from pytest_durability.errors import DurabilityError
        from pytest_durability.verdict import Anomaly

        try:
            return action()
        except (Anomaly, DurabilityError, ExceptionGroup) as error:
            found = anomalies(error)
            report = next((anomaly.report for anomaly in found if anomaly.report is not None), None)
            if report is not None:
                self.note_sweep(report)
            if isinstance(error, ExceptionGroup):
                if not found:
                    raise
                # The first words of a short summary are all that fits there, so they name what was found.
                names = ", ".join(dict.fromkeys(type(anomaly).__name__ for anomaly in found))
                raise ExceptionGroup(f"{names}: {error.message}", error.exceptions) from None
            raise (error if self.config.option.fulltrace else error.with_traceback(None)) from error.__cause__

    def replay_instead(self, adapter: Any, case: Case, disk: str | None) -> SweepReport:
        """Run the case that `--durability-replay` names instead of a sweep, if it is a case of this adapter, on the disk of the case.

        Raises:
            CaseError: the call asks for a fake disk, and the case is one of the real disk.
        """
        __tracebackhide__ = True
        from pytest_durability.errors import CaseError
        from pytest_durability.explore.factory import reference_of
        from pytest_durability.explore.replay import replay
        from pytest_durability.verdict import SweepReport

        nothing = SweepReport(adapter=case.adapter.rpartition(":")[2], steps=0, operations=0, models=())
        # One test may sweep several adapters. The module is left out: its name depends on how pytest imports tests.
        if reference_of(adapter).rpartition(":")[2] != case.adapter.rpartition(":")[2]:
            return nothing
        if self.disk(disk) == "fake" != case.disk:
            raise CaseError(
                f'case {case.id} was found with disk="{case.disk}", and this test asks for disk="fake"',
                why="a store with fixed paths would write to the real ones",
                fix="run the test without --durability-replay to search again, and remove the old case",
            )
        self.note("replayed", case.id)
        result = self.run(lambda: replay(case, adapter=adapter, context=self.context))
        self.note("replay", f"case {case.id} no longer fails: nothing wrong found with {result.schedule or 'no fault'}")
        return nothing

    def note(self, name: str, value: str) -> None:
        """Note something on the running test, once; reports and junit files carry it."""
        if self.item is None:
            return
        said = self.item.user_properties
        if (PREFIX + name, value) in said:
            return
        # A test may sweep in a loop, or in each example of Hypothesis.
        number = sum(known == PREFIX + name for known, _ in said)
        if number < NOTES:
            said.append((PREFIX + name, value))
        elif number == NOTES:
            said.append((PREFIX + name, f"more than {NOTES}, the others are not shown"))

    def note_sweep(self, report: SweepReport) -> None:
        """Note what a sweep or a search did and what it found elsewhere."""
        from pytest_durability.plugin import pages
        from pytest_durability.report import text

        self.config.stash[STATE].statistics.add(report)
        self.note("sweep", text.headline(report))
        if report.models:
            self.note("models", text.counts(report))
        for anomaly in report.portability:
            self.note("portability", text.finding(anomaly))
            pages.written(self.config, anomaly, self.item.nodeid if self.item is not None else "")
        if self.config.get_verbosity() > 1:
            self.note("table", text.summary(report))
