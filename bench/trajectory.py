"""How far a search of the reference trajectory comes in a given time, under every model of a local disk, and whether it finds anything.

Rule: nothing here passes or fails by a time; the exit status tells only whether something was found.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from transcript import searched

from pytest_durability.explore.settings import Context
from tests.reference_impl.trajectory.adapter import ReferenceTrajectory

MODELS = ("process-kill", "strict", "ext4-delalloc", "posix")


def main() -> int:
    """Exit status 0 if nothing was found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="CPU seconds of the search (0: one batch)")
    with tempfile.TemporaryDirectory() as folder:
        context = Context(directory=Path(folder))
        seeds, examples, states, clean = searched(ReferenceTrajectory, MODELS, parser.parse_args().seconds, context)
    outcome = "nothing" if clean else "SOMETHING"
    print(f"trajectory, profile deep: {examples} stories from {seeds} seeds, {states} states, {outcome} found")
    return 0 if clean else 1


if __name__ == "__main__":
    sys.exit(main())
