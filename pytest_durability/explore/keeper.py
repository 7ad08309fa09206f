"""Every finding is kept as a case, so that the report can name the command that reproduces it.

Rule: keeping never hides the finding: a directory that cannot be written is told in the result, and the test still
fails with what was found.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from pytest_durability.errors import CaseError
from pytest_durability.explore.case import Case, save
from pytest_durability.explore.settings import Context
from pytest_durability.verdict import Anomaly, Result, SweepReport


class Keeper:
    """Saves the findings about one adapter for one test."""

    def __init__(self, reference: str, context: Context, disk: str = "files") -> None:
        self._reference, self._context, self._disk = reference, context, disk

    def keep(self, report: SweepReport) -> None:
        """Save each finding of a sweep, and let it know its case and the report."""
        for anomaly in (*report.anomalies, *report.portability):
            self.keep_one(anomaly)
            anomaly.report = report

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Save an anomaly that leaves the block before it was saved (one that needs no fault at all)."""
        __tracebackhide__ = True
        try:
            yield
        except Anomaly as anomaly:
            self.keep_one(anomaly)
            raise

    def keep_one(self, anomaly: Anomaly) -> None:
        """Save one finding, once."""
        result = anomaly.result
        if result is None or result.case_id:
            return
        case = Case(
            adapter=self._reference,
            workload=str(result.workload),
            schedule=str(result.schedule),
            test=self._context.test,
            anomaly=type(anomaly).__name__,
            summary=anomaly.summary,
            seed=self._context.seed,
            models=(result.model,) if result.model else (),
            disk=self._disk,
        )
        anomaly.result = replace(result, case_id=case.id, note=self._save(case, result), disk=self._disk)

    def _save(self, case: Case, result: Result) -> str:
        try:
            save(case, self._context.directory)
        except (OSError, CaseError) as error:
            return f"{result.note}; the case was not saved: {error}".lstrip("; ")
        return result.note
