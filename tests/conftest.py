"""What is not installed is found in the source tree, but only after what is installed: under tox that is the wheel."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = str(Path(__file__).parent.parent)
if ROOT not in sys.path:
    sys.path.append(ROOT)
