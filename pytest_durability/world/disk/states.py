"""A persistence model is either a cache of pages or a mount that PUTs whole files; whoever crashes a log need not know which.

Rule: nothing is decided here. Both kinds have the same questions: build from a log, walk, find again by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from pytest_durability.history import Op
from pytest_durability.persistence import PersistenceModel
from pytest_durability.world.disk import cuts, netput
from pytest_durability.world.disk.chains import Chains
from pytest_durability.world.disk.image import Image
from pytest_durability.world.disk.objects import Objects

Log: TypeAlias = Chains | Objects
"""What one log made: versions of pages, sizes and names, or whole objects."""

State: TypeAlias = cuts.Cut | netput.PutCut
"""One crash state."""


def build(initial: Image, ops: Iterable[Op], model: PersistenceModel) -> Log:
    """Read a whole log under a model; see `Chains.build`."""
    if model.mount is not None:
        return Objects.build(initial, ops, model)
    return Chains.build(initial, ops, model)


def walk(log: Log, *, lagging: int | None = 2, versions: int | None = 4, limit: int | None = None) -> cuts.Walk | netput.PutWalk:
    """Iterate over the crash states; see `cuts.walk`. On a mount, `lagging` counts the PUTs that misbehave."""
    if isinstance(log, Objects):
        return netput.PutWalk(log, lagging, versions, limit)
    return cuts.walk(log, lagging=lagging, versions=versions, limit=limit)


def find(log: Log, born: int, lag: Sequence[str]) -> State:
    """The crash state that was made at op `born` with this lag; see `cuts.find`.

    Raises:
        UsageError: there is no such state in this log, or it is not legal.
    """
    if isinstance(log, Objects):
        return netput.find(log, born, lag)
    return cuts.find(log, born, lag)


def bounds(model: PersistenceModel, lagging: int, versions: int) -> tuple[int, int]:
    """The bounds that hold for a model when these are asked for: a mount has a budget of its own."""
    if model.mount is None:
        return lagging, versions
    return min(lagging, model.mount.faults), min(versions, model.mount.late)
