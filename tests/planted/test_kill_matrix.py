"""The kill matrix: every planted bug is caught, by the anomaly that names it, and the sound store by none."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_durability.explore.settings import Context
from pytest_durability.explore.sweep import sweep
from pytest_durability.verdict import Anomaly
from tests.planted import stores

MODELS = ["process-kill", "ext4-delalloc", "posix"]

MATRIX = {
    "Sound": set(),
    "TwoWrites": set(),
    "NoSync": {"LostAcknowledged"},
    "NoDirectorySync": {"LostAcknowledged"},
    "Brick": {"Unloadable"},
    "InPlace": {"LostAcknowledged"},
    "SilentEmpty": {"SilentEmpty"},
    "DropsNeighbour": {"DamageSpread", "LostAcknowledged"},
    "TornAsText": {"Phantom"},
    "HealGrows": {"HealNotIdempotent"},
    "RewritesHealthy": {"HealedHealthy"},
    "JournalTwice": {"Duplicate"},
    "LosesOrder": {"Reordered"},
    "SplitsBatch": {"SplitBatch"},
    "ClearsFirst": {"LostAcknowledged"},
    "TrustsLive": {"Duplicate", "Resurrected"},
    "GluesTail": set(),
    "WedgedByError": set(),
    "WedgedByTail": set(),
    "Rereads": set(),
    "SharesArchive": set(),
    "RefusesText": set(),
    "Clips": {"LostAcknowledged"},
}
"""Some rows are empty: what a death in the middle, a failed write, a second session or a hostile text shows, a sweep does not."""


MOUNT = {
    "Brick": {"Unloadable"},
    "RewritesHealthy": {"HealedHealthy"},
    "JournalTwice": {"Duplicate"},
    "LosesOrder": {"Reordered"},
    "SplitsBatch": {"SplitBatch"},
    "ClearsFirst": {"LostAcknowledged"},
    "TrustsLive": {"Duplicate", "Resurrected"},
}
"""On a mount that PUTs whole files: missing syncs and torn lines do no harm there, so the other rows are empty."""


def findings(store, tmp_path: Path, models=MODELS) -> set[str]:
    """The names of all fatal anomalies that a sweep finds."""
    found: set[str] = set()
    try:
        sweep(stores.adapter(store), models=models, context=Context(directory=tmp_path))
    except* Anomaly as group:
        found.update(type(error).__name__ for error in group.exceptions)
    return found


@pytest.mark.parametrize("name", MATRIX)
def test_each_planted_bug_is_caught_by_its_anomaly(name, tmp_path):
    """A row of the matrix: exactly these anomalies, no more and no fewer."""
    assert findings(getattr(stores, name), tmp_path) == MATRIX[name]


@pytest.mark.parametrize("name", MATRIX)
def test_what_a_mount_that_puts_whole_files_shows(name, tmp_path):
    """The same table for lost and late PUTs, which make other bugs visible than power cuts do."""
    assert findings(getattr(stores, name), tmp_path, ["netput"]) == MOUNT.get(name, set())


def test_the_matrix_has_every_store():
    """A planted store that is in no row would never be run."""
    planted = {name for name, kind in vars(stores).items() if isinstance(kind, type) and issubclass(kind, stores.Sound)}
    assert planted == set(MATRIX)
