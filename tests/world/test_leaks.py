"""Nothing of a world stays behind in the process: asked in a fresh one, because it compares all of it before and after."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CASES = Path(__file__).with_name("leaks.py")


def test_nothing_stays_behind():
    """Each way to end (success, a finding, an exception, Ctrl-C) of each way in; see `leaks.py`."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(CASES)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=CASES.parents[2], check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    assert " passed" in done.stdout
