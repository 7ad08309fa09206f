"""What it takes to try the reference transcript everywhere: one sweep whose crash points span a JSON Lines log and SQLite, then a search.

Rule: the sweep is printed as it is, with the operations of each file; the search is boxed in CPU seconds and says how far it got.
Anything that is found is printed and makes the exit status 1.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pytest_durability import Schedule, Workload
from pytest_durability.explore.gate import check
from pytest_durability.explore.settings import Context
from pytest_durability.explore.sweep import sweep
from pytest_durability.faults import role_of
from pytest_durability.persistence import model as model_named
from pytest_durability.runner import Runner
from pytest_durability.verdict import Anomaly, SweepReport
from pytest_durability.world.arena import Arena
from pytest_durability.world.disk.states import build, walk
from tests.reference_impl.transcript_adapter import ReferenceTools

STORY = Workload.parse(
    'Ask("zu1z what is it?", "za1z one moment", "zt1z 42", "za2z it is 42"); Commit(1); Ask("zu2z and then?", "za3z nothing more")'
)
MODELS = ("process-kill", "ext4-delalloc")
BATCH = 3
"""Examples between two looks at the clock; each batch has a seed of its own."""


def spanning(name: str) -> tuple[Counter[str], int, int]:
    """The operations of each file, the crash states, and in how many of them a log of shown text stands beside the database."""
    with Arena() as arena:
        case = Runner(ReferenceTools, arena).prepare(STORY, Schedule())
        files: Counter[str] = Counter(role_of(op.target) for op in case.ops if op.effect is not None)
        both = states = 0
        for cut in walk(build(case.recording.initial, case.ops, model_named(name)), lagging=2, versions=4, limit=40_000):
            names = {file.path for file in cut.image().files}
            states += 1
            both += any(path.endswith(".jsonl") for path in names) and any(path.startswith("state.db") for path in names)
    return files, states, both


def swept(context: Context) -> SweepReport | None:
    """The sweep, with crashes during healing; None if something was found, which is printed."""
    try:
        return sweep(ReferenceTools, STORY, models=list(MODELS), depth=2, context=context)
    except* Anomaly as group:
        _tell(group)
    return None


def searched(adapter: Any, models: Sequence[str], seconds: float, context: Context) -> tuple[int, int, int, bool]:
    """Batches of the deep profile until the time is over: seeds, examples, states, and whether nothing was found."""
    end, seeds, examples, states, clean = time.process_time() + seconds, 0, 0, 0, True
    while clean and (time.process_time() < end or not seeds):
        seeds += 1
        deep = Context(directory=context.directory, seed=seeds, profile="deep")
        try:
            report = check(adapter, models=list(models), max_examples=BATCH, seed=seeds, context=deep)
            examples, states = examples + report.examples, states + report.states
        except* Anomaly as group:
            _tell(group)
            clean = False
    return seeds, examples, states, clean


def _tell(group: BaseExceptionGroup[Any]) -> None:
    for anomaly in group.exceptions:
        print(f"FOUND {type(anomaly).__name__}: {anomaly}")


def main() -> int:
    """Exit status 0 if nothing was found."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=60.0, help="CPU seconds of the search (0: one batch)")
    seconds = parser.parse_args().seconds
    files, states, both = spanning("process-kill")
    print("operations that change something, by file (numbers folded to #)")
    for name, count in files.most_common():
        print(f"  {count:5}  {name or '(the root)'}")
    print(f"states of a kill: {states}; in {both} of them a log of shown text (JSON Lines) stands beside the database (SQLite)")
    with tempfile.TemporaryDirectory() as folder:
        context = Context(directory=Path(folder))
        report = swept(context)
        for model in report.models if report is not None else ():
            print(
                f"{model.model:14} {model.crash_points} crash points, {model.states} states, "
                f"{model.deeper} more during healing, {model.findings} findings"
            )
        seeds, examples, more, clean = searched(ReferenceTools, MODELS, seconds, context)
    print(
        f"search, profile deep: {examples} stories from {seeds} seeds, {more} states, {'nothing' if clean else 'SOMETHING'} found"
    )
    return 0 if report is not None and clean and not report.portability else 1


if __name__ == "__main__":
    sys.exit(main())
