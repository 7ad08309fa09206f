"""Shows what becomes of text that a user saw when its reply broke: a report with the lane of the stream, its replay, the repair.

Rule: nothing is staged; this is pytest on `demo/test_streams.py`, and the command that the report names is the one that is run.
"""

from __future__ import annotations

import re
import sys
import tempfile

from run import finding, pytest


def main() -> int:
    """Exit status 0 if the loss was reported and replayed, and the repaired store passed."""
    with tempfile.TemporaryDirectory() as cases:
        where = f"--durability-dir={cases}"
        print("1. A chat that saves a reply when it is whole. What the user had read of a broken one is struck out.")
        naive, report = pytest("test_streams.py::test_saves_at_the_end", where)
        found = re.search(r"--durability-replay=(\w+)", report)
        if found is None:
            print("the report names no command that reproduces it")
            return 1
        print("2. The command that the report names reproduces it, without any search.")
        again, repeated = pytest("test_streams.py::test_saves_at_the_end", f"--durability-replay={found[1]}", where)
        print("3. The repaired chat under the same search.")
        repaired, _ = pytest("test_streams.py::test_saves_in_any_case", where)
    struck = "~delivered" in report and "LOST" in report
    same = bool(finding(report)) and set(finding(repeated)) <= set(finding(report))
    print(
        f"saves at the end: {'LostDelivered, with its text struck out' if 'LostDelivered' in report and struck else 'NOT REPORTED'}"
    )
    print(f"replay: {'the same finding' if again == 1 and same else 'ANOTHER RESULT'}")
    print(f"repaired: {'passed' if repaired == 0 else 'FAILED'}")
    return 0 if (naive, again, repaired, same, struck) == (1, 1, 0, True, True) else 1


if __name__ == "__main__":
    sys.exit(main())
