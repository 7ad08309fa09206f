"""Shows in seconds what the plugin says about a sound store, about a naive one, and how a finding is reproduced.

Rule: nothing is staged; this is pytest on the tests in `demo`, and the commands it prints are the ones it runs.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent


def pytest(*arguments: str) -> tuple[int, str]:
    """Run pytest as a user would, print what it prints, and return its exit status and its output."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(HERE),
        "--confcutdir",
        str(HERE),
        *arguments,
    ]
    print(
        f"\n$ pytest {' '.join(argument for argument in arguments if not argument.startswith('--durability-dir'))}\n", flush=True
    )
    done = subprocess.run(command, cwd=HERE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    print(done.stdout, flush=True)
    return done.returncode, done.stdout


def finding(output: str) -> list[str]:
    """The part of a report that says what is wrong: it must be the same when the case is replayed."""
    lines = output.splitlines()
    return [line for line in lines if line.startswith("E  ") and line.strip() != "E"]


def main() -> int:
    """Exit status 0 if the sound store passed, the naive one failed, and its replay failed in the same way."""
    with tempfile.TemporaryDirectory() as cases:
        where = f"--durability-dir={cases}"
        print("1. A sound JSON Lines store: every crash state of every model is opened and judged.")
        sound, _ = pytest("test_stores.py::test_sound_store", "-vv", where)
        print("2. The same store as it is often written: a failure report.")
        naive, report = pytest("test_stores.py::test_naive_store", where)
        found = re.search(r"--durability-replay=(\w+)", report)
        if found is None:
            print("the report names no command that reproduces it")
            return 1
        print("3. The command that the report names reproduces it, without any search.")
        again, repeated = pytest("test_stores.py::test_naive_store", f"--durability-replay={found[1]}", where)
        print("4. A lost clear, as it was reported: the archived messages of a store that trusts its live file are live again.")
        before, lost = pytest("test_reference.py::test_before", "-q", where)
        print("5. The reference store under the same faults: healed, and healing twice changes nothing.")
        after, _ = pytest("test_reference.py::test_after", "-vv", where)
    same = bool(finding(report)) and set(finding(repeated)) <= set(finding(report))
    print(f"sound store: {'passed' if sound == 0 else 'FAILED'}")
    print(f"naive store: {'reported, as it should be' if naive == 1 else 'NOT REPORTED'}")
    print(f"replay: {'the same finding' if again == 1 and same else 'ANOTHER RESULT'}")
    print(
        f"lost clear: {'Resurrected' if 'Resurrected' in lost else 'NOT FOUND'}; reference store: {'passed' if after == 0 else 'FAILED'}"
    )
    return 0 if (sound, naive, again, same, before, after) == (0, 1, 1, True, 1, 0) and "Resurrected" in lost else 1


if __name__ == "__main__":
    sys.exit(main())
