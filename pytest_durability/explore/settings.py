"""What a test run was told (options, marker, the test itself) reaches the exploration as one plain value.

Rule: a context is data; it knows neither pytest nor the store, so that a worker process can be given one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pytest_durability.explore.case import Case

PROFILES = ("dev", "ci", "deep")
"""How much is tried, from a quick look to a long search."""


@dataclass(frozen=True, slots=True)
class Context:
    """Where and how one call of the `durability` fixture runs.

    `directory`: where cases are saved. `test`: the pytest node id of the running test ("" outside of a test).
    `models`: names from marker or option (None: follow the promise). `replay`: the case that is asked for instead.
    """

    directory: Path = field(default_factory=lambda: Path(".durability"))
    test: str = ""
    models: tuple[str, ...] | None = None
    seed: int = 0
    profile: str = "dev"
    rootdir: Path = field(default_factory=Path)
    replay: Case | None = None
