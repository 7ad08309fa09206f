"""Everything here needs pyfakefs, which is optional."""

from __future__ import annotations

import importlib.util

collect_ignore_glob = [] if importlib.util.find_spec("pyfakefs") else ["test_*.py"]
