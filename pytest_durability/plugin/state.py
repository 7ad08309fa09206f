"""What the hooks share during one run of pytest, apart from the fixture, which only a test that uses it has to load.

Rule: everything hangs on the `pytest.Config` of the run, so that two runs in one process never see each other.
"""

from __future__ import annotations

import sys
from functools import cached_property
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_durability.plugin.options import Options
    from pytest_durability.plugin.statistics import Statistics
    from pytest_durability.verdict import Anomaly


class State:
    """What the plugin remembers of one run.

    `item`: the test that is running. `said`: what each test said for the end of the run. `statistics`: figures of all
    calls in this process and in the workers that have ended.
    """

    def __init__(self, options: Options) -> None:
        self.options = options
        self.item: pytest.Item | None = None
        self.said: dict[str, list[tuple[str, str]]] = {}

    @cached_property
    def statistics(self) -> Statistics:
        """Loaded when there is something to count."""
        from pytest_durability.plugin.statistics import Statistics

        return Statistics()

    @property
    def counted(self) -> bool:
        """Whether anything was counted."""
        return "statistics" in self.__dict__


STATE = pytest.StashKey[State]()
"""Where the state of a run hangs on its `pytest.Config`."""


def anomalies(error: BaseException | None) -> list[Anomaly]:
    """The anomalies of an exception: itself, or those in an exception group."""
    # Before this module is loaded no anomaly can exist, and an unrelated run must not load it.
    verdict = sys.modules.get("pytest_durability.verdict")
    if verdict is None or error is None:
        return []
    if isinstance(error, BaseExceptionGroup):
        return [anomaly for part in error.exceptions for anomaly in anomalies(part)]
    return [error] if isinstance(error, verdict.Anomaly) else []
