"""A search that never reached the dangerous places proves little: this is the measure of which places it reached.

Rule: a point reached anywhere is reached; what could not happen in a store is no point at all. Values are plain data, so
that worker processes can hand them on.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, order=True)
class Point:
    """One place where one fault can strike.

    `kind`: kind of the operation (`write`, `fsync`, ...). `role`: role of its file in the store, as faults name it.
    `fault`: what strikes (`Crash`, `ENOSPC`, `LostWrite`, ...).
    """

    kind: str
    role: str
    fault: str


@dataclass(frozen=True, slots=True)
class Coverage:
    """Which points were struck, and which ones the store offered and nothing ever struck."""

    reached: frozenset[Point] = frozenset()
    never: frozenset[Point] = frozenset()

    def __post_init__(self) -> None:
        object.__setattr__(self, "reached", frozenset(self.reached))
        object.__setattr__(self, "never", frozenset(self.never) - self.reached)

    def __or__(self, other: Coverage) -> Coverage:
        """Both together."""
        return Coverage(self.reached | other.reached, self.never | other.never)

    def __bool__(self) -> bool:
        """Whether there is any point."""
        return bool(self.reached or self.never)

    @property
    def percent(self) -> float:
        """The part of all points that was reached, from 0.0 to 100.0; 100.0 when there is no point, for none was missed."""
        total = len(self.reached) + len(self.never)
        return 100.0 * len(self.reached) / total if total else 100.0

    def figure(self) -> str:
        """The percentage with one decimal, rounded down, so that `100.0%` means every point."""
        return f"{math.floor(self.percent * 10) / 10:.1f}%"

    def lines(self, limit: int | None = None) -> list[str]:
        """One line of figures, then one for each operation and file with the faults that never struck there.

        At most `limit` of the latter (None: all), and then the number of those left out. File names are not escaped.
        """
        missed: dict[tuple[str, str], list[str]] = {}
        for point in sorted(self.never):
            missed.setdefault((point.kind, point.role), []).append(point.fault)
        rows = [f"  never: {kind} {role}: {', '.join(faults)}" for (kind, role), faults in missed.items()]
        shown = rows if limit is None else rows[:limit]
        left = [f"  ... {len(rows) - len(shown)} more left out"] if len(shown) < len(rows) else []
        return [
            f"fault coverage {self.figure()}, {len(self.reached)} of {len(self.reached) + len(self.never)} points",
            *shown,
            *left,
        ]

    def to_data(self) -> dict[str, list[list[str]]]:
        """Lists of texts, in a fixed order, as JSON and xdist carry them."""
        return {"reached": _listed(self.reached), "never": _listed(self.never)}

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> Coverage:
        """The reverse of `to_data`.

        Raises:
            KeyError, TypeError, ValueError: the data has another shape.
        """
        return cls(_points(data["reached"]), _points(data["never"]))


def _listed(points: Iterable[Point]) -> list[list[str]]:
    return [[point.kind, point.role, point.fault] for point in sorted(points)]


def _points(rows: Iterable[Iterable[str]]) -> frozenset[Point]:
    return frozenset(Point(kind, role, fault) for kind, role, fault in rows)
