"""Searches every planted variant of the reference store for its anomalies, and prints what that took.

Rule: what is found is only kept as a case if the store without the bug does not show it. `--write` renews the saved cases.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pytest_durability.explore import case as cases
from pytest_durability.explore.case import Case
from pytest_durability.explore.factory import reference_of
from pytest_durability.explore.gate import check
from pytest_durability.explore.settings import Context
from pytest_durability.explore.sweep import sweep
from pytest_durability.faults import LostWrite, WriteError
from pytest_durability.verdict import Anomaly
from pytest_durability.workload import Workload
from tests.planted.four import side_by_side
from tests.planted.matrix import FOLDER, NOT_STAGED, TABLE, shown, table
from tests.planted.reference import OUT_OF_REACH, VARIANTS, sound

MODELS = ("process-kill", "ext4-delalloc", "posix", "netput")
EXAMPLES, SEED = 40, 1

GUIDED: dict[str, dict[str, Any]] = {
    "ArchiveReused": {"max_examples": 400, "models": ["process-kill"]},
    "DoneAlone": {
        "faults": [LostWrite("write:session/history/archive_#/.overview.md.#.tmp:1")],
        "models": ["process-kill"],
    },
    "ReadErrorIsEmpty": {"faults": [WriteError("open:session/messages.jsonl:2", "EIO")], "models": ["process-kill"]},
    "SwallowsSyncError": {"faults": [WriteError("fsync:session/messages.jsonl:1", "EIO")], "models": ["posix"]},
}
"""What the search is told besides for a variant: more examples, the one fault that matters, or only the one model."""


@dataclass(slots=True)
class Row:
    """What was found on one variant: the shortest case of each anomaly type, and what it took."""

    variant: str
    found: dict[str, Case] = field(default_factory=dict)
    steps: dict[str, tuple[int, int]] = field(default_factory=dict)
    ways: dict[str, str] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    examples: int = 0
    seconds: float = 0.0


def searched(variant: str) -> Row:
    """Search one variant by a sweep and by drawn workloads."""
    row, start = Row(variant), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        for way, anomaly in _anomalies(variant, Path(folder), row):
            _consider(row, way, anomaly, Path(folder))
    row.seconds = time.process_time() - start
    return row


def _anomalies(variant: str, folder: Path, row: Row) -> Iterator[tuple[str, Anomaly]]:
    """What the searches raise, with the name of the search."""
    adapter, context = VARIANTS[variant], Context(directory=folder)
    asked = [("check", {"models": MODELS, "max_examples": EXAMPLES}), ("sweep", {"models": MODELS})]
    if variant in GUIDED:
        asked.append(("guided", GUIDED[variant]))
    for way, options in asked:
        try:
            if way == "sweep":
                sweep(adapter, depth=1, context=context, **options)
            else:
                row.examples += options.get("max_examples", EXAMPLES)
                check(adapter, seed=SEED, context=context, **options)
        except* Anomaly as group:
            yield from [(way, error) for error in group.exceptions if isinstance(error, Anomaly)]


def _consider(row: Row, way: str, anomaly: Anomaly, folder: Path) -> None:
    """Keep a finding if it is the shortest of its type so far, and none of the store without the bug."""
    result, name = anomaly.result, type(anomaly).__name__
    if result is None:
        return
    case = Case(
        adapter=reference_of(VARIANTS[row.variant]),
        workload=str(result.workload),
        schedule=str(result.schedule),
        anomaly=name,
        summary=anomaly.summary,
        models=(result.model,) if result.model else (),
    )
    if name in row.steps and row.steps[name] <= (len(result.workload), len(result.schedule)):
        return
    without = shown(case, sound(row.variant), folder)
    if without not in ("", NOT_STAGED):
        row.refused.append(f"{name} ({way}): the store without the bug shows {without}")
        return
    case = _shortened(case, row.variant, folder)
    size = (len(Workload.parse(case.workload)), len(result.schedule))
    if name not in row.steps or size < row.steps[name]:
        row.found[name], row.steps[name], row.ways[name] = case, size, way


def _shortened(case: Case, variant: str, folder: Path) -> Case:
    """The case without the steps that it does not need; a sweep does not shrink, and later steps never matter to it."""
    steps = list(Workload.parse(case.workload))
    for i in range(len(steps) - 1, -1, -1):
        fewer = replace(case, workload=str(Workload((*steps[:i], *steps[i + 1 :]))))
        same = shown(fewer, VARIANTS[variant], folder) == case.anomaly
        if same and shown(fewer, sound(variant), folder) in ("", NOT_STAGED):
            case = fewer
            del steps[i]
    return case


def write(rows: list[Row]) -> None:
    """Replace the saved cases and the table."""
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.glob("*.json"):
        old.unlink()
    for row in rows:
        for n, name in enumerate(sorted(row.found), start=1):
            (FOLDER / f"{row.variant}-{n}.json").write_text(cases.dumps(row.found[name]), "utf-8")
    TABLE.write_text(table((row.variant, name) for row in rows for name in row.found), "utf-8")


def four() -> None:
    """Print the four tests of the reported bug beside what the harness finds without being told."""
    with tempfile.TemporaryDirectory() as folder:
        print(side_by_side(Path(folder)))


def matrix(*, keep: bool = False) -> None:
    """Search all variants and print the matrix; `keep` renews what is saved."""
    with ProcessPoolExecutor() as pool:
        rows = list(pool.map(searched, VARIANTS))
    print("matrix: variant                anomaly            by      model          steps  faults  examples   CPU s")
    for row in rows:
        for name, case in sorted(row.found.items()):
            steps, faults = row.steps[name]
            model = case.models[0] if case.models else "no fault"
            print(
                f"        {row.variant:21}  {name:17}  {row.ways[name]:6}  {model:13}  {steps:5}  {faults:6}"
                f"  {row.examples:8}  {row.seconds:6.1f}"
            )
        for what in row.refused:
            print(f"        {row.variant:21}  not kept: {what}")
        if not row.found:
            print(f"        {row.variant:21}  NOT CAUGHT")
    for bug, why in OUT_OF_REACH.items():
        print(f"        no row for {bug}: {why}")
    print(f"        {sum(row.seconds for row in rows):.0f} CPU s in all")
    if keep:
        write(rows)


if __name__ == "__main__":
    four()
    matrix(keep="--write" in sys.argv[1:])
