"""Lets Hypothesis search each planted flaw of reasoning replay with nothing told, and plays every disturbed story with the reference.

Rule: the search knows the steps and the invariants, not the flaw; what it finds is shrunk and printed. Nothing here passes or fails.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.planted.replays import VARIANTS, Variant
from tests.reference_impl.replay.driver import Driver
from tests.reference_impl.replay.rules import Broken
from tests.reference_impl.replay.steps import disturbed
from tests.reference_impl.replay.test_machine import ReplayMachine

EXAMPLES, STEPS = 300, 15


@dataclass(slots=True)
class Found:
    """What a search came to: the invariant that failed first and last, after how many examples, and the shortest steps."""

    rules: tuple[str, ...] = ()
    examples: int = 0
    steps: tuple[tuple[Any, ...], ...] = ()
    seconds: float = 0.0


def searched(variant: Variant, examples: int) -> Found:
    """Search one flaw until it is found, then shrink what found it."""
    found = Found()

    def made(form: str) -> Driver:
        found.examples += not found.rules
        return Driver(variant.parts, form)

    class Machine(ReplayMachine):
        make_driver = staticmethod(made)

        def step(self, *step: Any) -> None:
            try:
                super().step(*step)
            except Broken as broken:
                found.rules, found.steps = (*found.rules[:1], broken.rule), tuple(self.steps)
                raise

    began = time.process_time()
    chosen = settings(
        max_examples=examples,
        stateful_step_count=STEPS,
        derandomize=True,
        database=None,
        deadline=None,
        report_multiple_bugs=False,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    # A failing machine prints how to repeat it; the table says that in a line.
    with contextlib.suppress(Broken), contextlib.redirect_stdout(io.StringIO()):
        run_state_machine_as_test(Machine, settings=chosen)  # type: ignore[no-untyped-call]
    found.seconds = time.process_time() - began
    return found


def stories() -> tuple[int, int]:
    """How many disturbed stories the reference was told, in both forms of its file, and how many it failed."""
    told = failed = 0
    for form in ("native", "legacy"):
        for steps in disturbed():
            told += 1
            try:
                Driver(form=form).play(steps)
            except Broken as broken:
                failed += 1
                print(f"the reference breaks {broken.rule}: {'; '.join(' '.join(map(str, step)) for step in steps)}")
    return told, failed


def main() -> None:
    """Print one line a flaw, then the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=EXAMPLES, help="runs of the machine for each flaw (default: %(default)s)")
    examples = parser.parse_args().examples
    print(f"{'planted flaw':<40} {'breaks':<7} {'examples':>8} {'seconds':>8}  shortest steps")
    kept: list[Found] = []
    for variant in VARIANTS:
        found = searched(variant, examples)
        kept += [found] if found.rules else []
        shown = "; ".join(" ".join(map(str, step)) for step in found.steps) or f"not found in {examples} examples"
        print(
            f"{variant.name:<40} {(found.rules or ('-',))[-1]:<7} {found.examples:>8} {found.seconds:>8.2f}  {shown}", flush=True
        )
    print(f"{len(kept)} of {len(VARIANTS)} flaws found unaided", end="")
    if kept:
        seconds = [found.seconds for found in kept]
        print(f"; median {statistics.median(seconds):.2f} s to find and shrink, slowest {max(seconds):.2f} s", end="")
    told, failed = stories()
    print(f"\n{told} disturbed stories, of which the reference fails {failed}")


if __name__ == "__main__":
    main()
