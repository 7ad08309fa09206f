"""Prints what SQLite keeps in each of its modes, on this machine's SQLite, to be held against SQLite's documentation.

Rule: prints what was counted and judges nothing; `table` explains the columns and names the documents.
"""

from __future__ import annotations

import argparse
import sys

from pytest_durability.world.disk.calls import CALLS
from pytest_durability.world.disk.interpose import interposed
from pytest_durability.world.disk.sqlite.table import MODELS, measure, render


def main(arguments: list[str]) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m pytest_durability.world.disk.sqlite", description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=4, help="transactions per mode")
    parser.add_argument("--limit", type=int, default=4000, help="cuts per mode and model")
    parser.add_argument("--models", default=",".join(MODELS), help="persistence models, with commas")
    asked = parser.parse_args(arguments)
    with interposed():
        sys.stdout.write(f"{CALLS.sqlite.describe() if CALLS.sqlite else CALLS.sqlite_unseen}\n\n")
    sys.stdout.write(render(list(measure(models=asked.models.split(","), rows=asked.rows, limit=asked.limit))) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
