"""The patched state of the process: asked in a fresh one, because each question is put to every object of it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

CASES = Path(__file__).with_name("interposing.py")


def test_the_patched_state_is_complete_and_gone_without_a_trace():
    """Every place that holds a function, of every kind, while it lasts and afterwards; see `interposing.py`."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(CASES)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=CASES.parents[3], check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) >= 33
