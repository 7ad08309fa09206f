"""What is not installed is found in the source tree, but only after what is installed: under tox that is the wheel."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

from hypothesis import settings

ROOT = str(Path(__file__).parent.parent)
if ROOT not in sys.path:
    sys.path.append(ROOT)

# The same examples in every run and on every machine, however slow it is: a red run is red again.
settings.register_profile("project", deadline=None, derandomize=True, database=None)
settings.load_profile("project")

# All tests together keep half a million objects, and every full collection looks at each of them.
gc.set_threshold(20_000, 20, 20)
