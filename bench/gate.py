"""What the one line `durability.check(adapter)` is worth: which planted bugs it finds, how soon, how short, and whether they repeat.

Rule: everything goes through what users type (the fixture, the options, the printed command), in fresh processes; the
settings are the defaults, and only the seed is fixed. Nothing here passes or fails.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.planted import reference, stores
from tests.planted.matrix import saved
from tests.planted.test_kill_matrix import MATRIX

ROOT = Path(__file__).resolve().parent.parent
MEDIAN, SLOWEST = 2.0, 20.0
STEPS, FAULTS = 3, 1

TEST = '''
import json
import sys
import time
from pathlib import Path

from pytest_durability import Anomaly

sys.path.append(ROOT)  # behind the installed package: Hypothesis reads the source of whatever is not installed, which takes a second

from tests.planted import reference, stores


def found(error):
    """The anomalies of an exception."""
    if isinstance(error, ExceptionGroup):
        return [anomaly for part in error.exceptions for anomaly in found(part)]
    return [error] if isinstance(error, Anomaly) else []


def told(anomaly):
    result = anomaly.result
    return {
        "anomaly": type(anomaly).__name__,
        "summary": anomaly.summary,
        "model": result.model,
        "steps": len(result.workload),
        "faults": len(result.schedule),
        "case": result.case_id,
    }


def test_planted(durability):
    start, failed, report = time.process_time(), None, None
    try:
        report = durability.check(ADAPTER)
    except (Anomaly, ExceptionGroup) as error:
        failed = error
        raise
    finally:
        seconds = time.process_time() - start
        rows = [told(anomaly) for anomaly in found(failed) if anomaly.result]
        reports = [anomaly.report for anomaly in found(failed) if anomaly.report]
        report = report or (reports[0] if reports else None)
        examples = (report.examples or report.steps) if report else 0
        Path("told.json").write_text(json.dumps({"seconds": seconds, "examples": examples, "found": rows}))
'''

DEEP = """
import json
import sys
import time
from pathlib import Path

sys.path.append(ROOT)

from tests.reference_impl.adapter import ReferenceSession


def test_deep(durability):
    start, cpu = time.monotonic(), time.process_time()
    examples = states = seed = 0
    while time.monotonic() - start < BOX:
        report = durability.check(ReferenceSession, max_examples=PART, seed=seed)
        examples, states, seed = examples + (report.examples or report.steps), states + report.states, seed + 1
        told = [time.monotonic() - start, time.process_time() - cpu, examples, states]
        Path("told.json").write_text(json.dumps(told))
"""
PART = 5
"""So many examples are drawn from one seed before the clock is looked at."""


@dataclass(slots=True)
class Row:
    """What one search of one variant gave, and whether the printed commands gave it again."""

    variant: str
    planted: frozenset[str]
    examples: int = 0
    seconds: float = 0.0
    found: list[dict[str, Any]] = field(default_factory=list)
    repeated: list[bool] = field(default_factory=list)
    trouble: str = ""


def variants() -> dict[str, tuple[str, frozenset[str]]]:
    """Expression for the adapter and planted anomalies, by name; the stores without a bug come first and have none."""
    rows = {"(sound)": ("stores.adapter(stores.Sound)", frozenset[str]())}
    rows["(reference store)"] = ("reference.ReferenceSession", frozenset())
    for name, kind in vars(stores).items():
        if isinstance(kind, type) and issubclass(kind, stores.Sound) and kind is not stores.Sound:
            rows[name] = (f"stores.adapter(stores.{name})", frozenset(MATRIX[name]))
    cases = saved()
    for name in reference.VARIANTS:
        planted = frozenset(case.anomaly for case in cases.get(name, ()))
        rows[f"reference {name}"] = (f"reference.VARIANTS[{name!r}]", planted)
    return rows


def project(folder: Path, source: str) -> None:
    """A project with one test and this plugin only."""
    (folder / "test_it.py").write_text(f"ROOT = {str(ROOT)!r}\n{source}")
    (folder / "pytest.ini").write_text("[pytest]\naddopts = -p pytest_durability.plugin -p no:cacheprovider\n")


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Pytest in a process of its own."""
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "NO_COLOR": "1"}
    command = [sys.executable, "-m", "pytest", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def searched(name: str, expression: str, planted: frozenset[str], seed: int) -> Row:
    """Search one variant, then run each printed command in a process of its own."""
    row = Row(name, planted)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        project(home, f"{TEST.rstrip()}\n\n\nADAPTER = {expression}\n")
        done = run(home, f"--durability-seed={seed}")
        if not (home / "told.json").exists() or done.returncode not in (0, 1):
            row.trouble = _last(done)
            return row
        told = json.loads((home / "told.json").read_text())
        row.examples, row.seconds, row.found = told["examples"], told["seconds"], told["found"]
        if done.returncode and not row.found:
            row.trouble = _last(done)
        row.found.sort(key=lambda one: (one["steps"], one["faults"], one["anomaly"]))
        row.repeated = [_repeated(home, done.stdout, one) for one in row.found]
    return row


def _last(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR", "E  "))]
    return (lines or [*done.stdout.splitlines(), *done.stderr.splitlines(), "no output"])[-1][:160]


def _repeated(home: Path, output: str, one: dict[str, Any]) -> bool:
    """Whether the command that the report printed for this finding gives the same one, in the same words."""
    commands = [line.split(None, 1)[1] for line in output.splitlines() if line.startswith("  exact ")]
    mine = [command for command in commands if f"--durability-replay={one['case']}" in command]
    if not mine:
        return False
    (home / "told.json").unlink()
    done = run(home, *shlex.split(mine[0])[1:])
    told = json.loads((home / "told.json").read_text()) if (home / "told.json").exists() else {"found": []}
    return done.returncode == 1 and [again | {"case": ""} for again in told["found"]] == [one | {"case": ""}]


def show(results: Iterable[Row]) -> None:
    """The table, row by row, and what it comes to."""
    print("gate: variant                          anomaly              examples   CPU s  steps  faults  replayed")
    rows = []
    for row in results:
        print("\n".join(_told(row)), flush=True)
        rows.append(row)
    planted = [row for row in rows if row.planted]
    found = [row for row in planted if row.found]
    times = sorted(row.seconds for row in found) or [0.0]
    findings = [one for row in found for one in row.found]
    replays = [again for row in found for again in row.repeated]
    short = sum(one["steps"] <= STEPS and one["faults"] <= FAULTS for one in findings)
    print(
        f"      found {len(found)} of {len(planted)} planted bugs, {sum(_as_planted(row) for row in found)} by an anomaly of the kill "
        f"matrix; {short} of {len(findings)} findings within {STEPS} steps and {FAULTS} fault (a crash is one); "
        f"{sum(replays)} of {len(replays)} printed commands reproduce"
    )
    print(
        f"      to find and shrink: median {statistics.median(times):.2f} CPU s (must {MEDIAN:.0f}, aim 0.5), "
        f"slowest {times[-1]:.2f} (must {SLOWEST:.0f}, aim 5)"
    )


def _as_planted(row: Row) -> bool:
    return any(one["anomaly"] in row.planted for one in row.found)


def _told(row: Row) -> Iterable[str]:
    head = f"      {row.variant:31}"
    effort = f"{row.examples:8}  {row.seconds:6.2f}"
    if row.trouble:
        yield f"{head}  TROUBLE: {row.trouble}"
    elif not row.found:
        yield f"{head}  {'NOT FOUND' if row.planted else 'nothing found':19}  {effort}"
    for number, (one, again) in enumerate(zip(row.found, row.repeated, strict=True)):
        name = one["anomaly"] + ("" if one["anomaly"] in row.planted else " (other)")
        shown = head if number == 0 else f"      {'':31}"
        costs = effort if number == 0 else " " * len(effort)
        yield f"{shown}  {name:19}  {costs}  {one['steps']:5}  {one['faults']:6}  {'yes' if again else 'NO'}"


def deep(box: float) -> None:
    """The reference store under the profile `deep`, one seed after the other, until so many seconds have passed."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        project(home, DEEP.replace("BOX", str(box)).replace("PART", str(PART)))
        done = run(home, "--durability-profile=deep")
        text = (home / "told.json").read_text() if (home / "told.json").exists() else "[0, 0, 0, 0]"
    seconds, cpu, examples, states = json.loads(text)
    outcome = "no anomaly" if done.returncode == 0 else f"FAILED: {_last(done)}"
    commands = [line.split(None, 1)[1] for line in done.stdout.splitlines() if line.startswith("  exact ")]
    faults = [line.split(None, 1)[1] for line in done.stdout.splitlines() if line.startswith("  fault ")]
    print(f"deep: reference store, {examples} examples, {states} crash states in {seconds:.0f} s ({cpu:.0f} CPU s): {outcome}")
    for line in [*commands, *faults]:
        print(f"      {line}")


def main(arguments: Sequence[str]) -> None:
    """Print the table, the baseline and the deep search."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--box", type=float, default=600.0, metavar="SECONDS", help="for the deep search (0: none)")
    parser.add_argument("--no-baseline", dest="baseline", action="store_false", help="leave out the hand-written machine")
    parser.add_argument("--seed", type=int, default=1, help="of every search")
    parser.add_argument("--only", default="", metavar="TEXT", help="only variants whose name holds this text")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="searches at a time")
    told = parser.parse_args(arguments)
    chosen = {name: row for name, row in variants().items() if told.only in name}
    with ThreadPoolExecutor(max_workers=told.jobs) as pool:
        asked = [pool.submit(searched, name, *row, told.seed) for name, row in chosen.items()]
        show(one.result() for one in asked)
    if told.baseline:
        from baseline import compared

        compared([name for name in chosen if MATRIX.get(name)])
    if told.box:
        deep(told.box)


if __name__ == "__main__":
    main(sys.argv[1:])
