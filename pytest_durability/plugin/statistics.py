"""The figures of a whole run, added up over its tests and, under xdist, over its worker processes.

Rule: a worker hands on plain data, the process that writes to the terminal adds it up; adding is commutative, so the
order in which workers end never shows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_durability.coverage import Coverage
    from pytest_durability.verdict import SweepReport

NUMBERS = ("calls", "examples", "states", "findings", "portability")
NEVER = (5, 20, 500)
"""So many lines of what was never reached are shown, by verbosity: plain, -v, -vv."""


class Statistics:
    """What the calls of the `durability` fixture did: `calls`, `examples`, crash `states`, `findings`, `portability`, `coverage`.

    `coverage` is None as long as no call measured it; `silent` counts the workers that ended without their figures.
    """

    def __init__(self) -> None:
        self.numbers = dict.fromkeys(NUMBERS, 0)
        self.coverage: Coverage | None = None
        self.silent = 0

    def add(self, report: SweepReport) -> None:
        """Count one call."""
        counted = (1, report.examples, report.states, len(report.anomalies), len(report.portability))
        for name, number in zip(NUMBERS, counted, strict=True):
            self.numbers[name] += number
        self._cover(report.coverage)

    def _cover(self, coverage: Coverage | None) -> None:
        if coverage is not None:
            self.coverage = coverage if self.coverage is None else self.coverage | coverage

    def to_data(self) -> dict[str, Any]:
        """As plain data, for another process."""
        return {**self.numbers, "coverage": None if self.coverage is None else self.coverage.to_data()}

    def merge(self, data: dict[str, Any] | None) -> None:
        """Add what a worker sent; None stands for one that ended before it could, and nothing for one without a call."""
        if data is None:
            self.silent += 1
        if not data:
            return
        for name in NUMBERS:
            self.numbers[name] += data[name]
        if data["coverage"] is not None:
            from pytest_durability.coverage import Coverage

            self._cover(Coverage.from_data(data["coverage"]))

    def lines(self, verbosity: int) -> Iterator[str]:
        """What the end of a run shows: nothing with -q or without a call; without -v, only what a measured coverage adds."""
        if verbosity < 0 or not self.numbers["calls"] or (self.coverage is None and verbosity < 1):
            return
        from pytest_durability.report.words import count, plain

        numbers = [
            count(self.numbers[name], noun)
            for name, noun in zip(NUMBERS, ("call", "example", "crash state", "finding", "portability finding"), strict=True)
            if self.numbers[name] or name == "findings"
        ]
        yield ", ".join(numbers)
        if self.silent:
            yield f"{count(self.silent, 'worker')} ended without handing on figures, which are missing here"
        if self.coverage is not None:
            yield from map(plain, self.coverage.lines(most(verbosity)))


def most(verbosity: int) -> int:
    """So many lines of what was never reached are shown at most."""
    return NEVER[max(0, min(verbosity, len(NEVER) - 1))]


def shortfall(statistics: Statistics, threshold: float | None, verbosity: int) -> list[str]:
    """Why the run fails for its fault coverage, as lines; none if it does not."""
    coverage = statistics.coverage
    if threshold is None or coverage is None or coverage.percent >= threshold:
        return []
    from pytest_durability.report.words import plain

    total = len(coverage.reached) + len(coverage.never)
    missed = f"{len(coverage.never)} of {total} points were never reached"
    never = coverage.lines(most(verbosity))[1:] if verbosity < 0 else []
    return [
        f"FAIL fault coverage of {coverage.figure()} is below --durability-fail-under={threshold:g}: {missed}",
        *map(plain, never),
    ]
