"""The kill matrix of the reference store: saved cases, what each of them shows today, and the table that follows from it.

Rule: a cell is what a replay raised, never what a file claims.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pytest_durability.errors import UsageError
from pytest_durability.explore import case as cases
from pytest_durability.explore.case import Case
from pytest_durability.explore.replay import replay
from pytest_durability.explore.settings import Context
from pytest_durability.verdict import Anomaly

FOLDER = Path(__file__).parent / "cases"
TABLE = Path(__file__).parent / "matrix.txt"
NOT_STAGED = "cannot be staged"


def saved() -> dict[str, list[Case]]:
    """The cases of each variant, by its name."""
    found: dict[str, list[Case]] = {}
    for path in sorted(FOLDER.glob("*.json")):
        found.setdefault(path.stem.rpartition("-")[0], []).append(cases.load(str(path), FOLDER))
    return found


def shown(case: Case, adapter: Any, folder: Path) -> str:
    """What a replay shows: the name of an anomaly, "" for a pass, `NOT_STAGED` if the store does not do what the case needs."""
    try:
        result = replay(case, adapter=adapter, context=Context(directory=folder))
    except Anomaly as anomaly:
        return type(anomaly).__name__
    except (cases.CaseError, UsageError):
        return NOT_STAGED
    return NOT_STAGED if result.note else ""


def table(cells: Iterable[tuple[str, str]]) -> str:
    """Rows are variants, columns anomalies, `x` a variant that was caught by an anomaly."""
    caught = set(cells)
    columns = sorted({anomaly for _, anomaly in caught})
    rows = sorted({variant for variant, _ in caught})
    width = max(map(len, rows))
    head = f"{'':{width}}  {'  '.join(columns)}"
    body = [_row(f"{row:{width}}", [((row, name) in caught, len(name)) for name in columns]) for row in rows]
    return "\n".join(line.rstrip() for line in [head, *body]) + "\n"


def _row(head: str, cells: Iterable[tuple[bool, int]]) -> str:
    return "  ".join([head, *(f"{'x' if caught else '.':{width}}" for caught, width in cells)])
