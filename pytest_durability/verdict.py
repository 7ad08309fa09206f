"""The names of everything that can be wrong, and the shape of an answer.

Rule: three values (VALID, INVALID, UNKNOWN), the worst wins, and UNKNOWN is never a pass. One bug has one identity:
(anomaly type, kind of the first witness, source line in the store).
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from pytest_durability.coverage import Coverage


class Verdict(enum.Enum):
    """Worst wins: INVALID over UNKNOWN over VALID."""

    VALID = "valid"
    UNKNOWN = "unknown"
    INVALID = "invalid"

    @classmethod
    def worst(cls, verdicts: Iterable[Verdict]) -> Verdict:
        """The worst of several; VALID for none."""
        order = [cls.VALID, cls.UNKNOWN, cls.INVALID]
        return max(verdicts, key=order.index, default=cls.VALID)


class Anomaly(AssertionError):
    """One named wrong thing.

    `summary` says it in one line; `because` proves it in a few lines; `witnesses` are numbers of ops of the history;
    `site` is the source line in the store that issued the witness. `result` is set when the run is finished, `report` when a sweep is.
    """

    __module__ = "durability"

    def __init__(
        self,
        summary: str,
        *,
        because: Iterable[str] = (),
        witnesses: Iterable[int] = (),
        kind: str = "",
        site: str = "",
    ) -> None:
        super().__init__(summary)
        self.summary = summary
        self.because = tuple(because)
        self.witnesses = tuple(witnesses)
        self.kind = kind
        self.site = site
        self.result: Result | None = None
        self.report: SweepReport | None = None

    @property
    def identity(self) -> tuple[str, str, str]:
        """(type, kind of the first witness, source line): equal for two sightings of one bug."""
        return (type(self).__name__, self.kind, self.site)

    def __reduce__(self) -> tuple[Any, ...]:
        return (_restored, (type(self).__name__, self.summary), self.__dict__)  # `durability` is no module to import from

    def __str__(self) -> str:
        if not self.because:
            return self.summary
        return "\n".join([self.summary, "", "Because", *(f"  {line}" for line in self.because)])


def _restored(name: str, summary: str) -> Anomaly:
    return ANOMALIES.get(name, Anomaly)(summary)


class LostAcknowledged(Anomaly):
    """A message that the store acknowledged is gone."""


class LostDelivered(Anomaly):
    """Text that the user saw is gone."""


class LostInput(Anomaly):
    """An accepted user message is gone."""


class SplitBatch(Anomaly):
    """A batch is there in part (I8)."""


class WindowBroken(Anomaly):
    """A window or compaction boundary cut what belongs together (I21)."""


class LegacyLost(Anomaly):
    """A session of an earlier release does not load in full, or its first write destroys something (I24)."""


class Duplicate(Anomaly):
    """A message is there more often than it was said."""


class Resurrected(Anomaly):
    """A message that was archived or removed, and acknowledged so, is live again."""


class EffectRepeated(Anomaly):
    """An effect that was recorded as done happened again (I18)."""


class RetryDoubled(Anomaly):
    """A retry of the provider call left its input twice (I23)."""


class Reordered(Anomaly):
    """Messages come back in another order than they were said in."""


class Phantom(Anomaly):
    """A row that nobody said."""


class NotSerialisable(Anomaly):
    """No serial order of whole turns explains the history."""


class StaleReplace(Anomaly):
    """A replacement computed from an old snapshot undid newer data."""


class Unloadable(Anomaly):
    """The session cannot be opened or read."""


class SilentEmpty(Anomaly):
    """The session opens as an empty one although its bytes are there."""


class DamageSpread(Anomaly):
    """One damaged record costs others that are intact (I13)."""


class StoresDisagree(Anomaly):
    """Two records of the same thing differ after recovery."""


class NotDeterministic(Anomaly):
    """Equal bytes gave different sessions (I25)."""


class HealNotIdempotent(Anomaly):
    """Opening a healed session changes it again."""


class HealedHealthy(Anomaly):
    """Opening a healthy session changes its content."""


class UnsoundHeal(Anomaly):
    """Healing removed or invented something (I11)."""


class Wedged(Anomaly):
    """The next turn cannot complete."""


class LeftLocked(Anomaly):
    """A lock or transaction stays held after the operation that took it has ended."""


class UnansweredCall(Anomaly):
    """A tool call without its result is sent, or the reverse."""


class ForeignReasoning(Anomaly):
    """A reasoning item is replayed where it is not valid."""


class VacuousRun(Anomaly):
    """Nothing bad happened in the whole run, so its success says nothing."""


ANOMALIES: dict[str, type[Anomaly]] = {kind.__name__: kind for kind in Anomaly.__subclasses__()}
"""Every anomaly by its name."""
for _kind in ANOMALIES.values():
    _kind.__module__ = "durability"


@dataclass(frozen=True, slots=True)
class Loss:
    """One operation that a crash state lost: its number, what it was, where it came from, and why losing it is legal."""

    seq: int
    what: str
    site: str
    why: str


@dataclass(frozen=True, slots=True)
class Result:
    """One finished test case: everything that a report needs.

    `fails_under` and `holds_under`: the models under which the same story shows the same anomaly, and those under which it
    does not (both empty: not asked). `disk`: the kind of disk it ran on.
    """

    adapter: str
    workload: Any
    schedule: Any
    history: Any
    verdict: Verdict
    anomaly: Anomaly | None = None
    model: str = ""
    crash_after: int = 0
    losses: tuple[Loss, ...] = ()
    expected: tuple[str, ...] = ()
    observed: tuple[str, ...] = ()
    fatal: bool = True
    case_id: str = ""
    note: str = ""
    fails_under: tuple[str, ...] = ()
    holds_under: tuple[str, ...] = ()
    disk: str = "files"


@dataclass(frozen=True, slots=True)
class ModelReport:
    """What was tried under one persistence model."""

    model: str
    crash_points: int
    cuts: int
    states: int
    judged: int
    repeats: int
    lagging: int
    versions: int
    limit: int
    cut_short: bool
    findings: int = 0
    deeper: int = 0


@dataclass(frozen=True, slots=True)
class SweepReport:
    """What a sweep or a search tried and found, as numbers and anomalies.

    `examples`: how many workloads a search drew (0 for a sweep). `coverage`: where its faults struck (None: not measured).
    `holds_under`: models that the promise does not name, and under which nothing was found; `stronger`: the promise that
    would have held too. `databases`: `state.db: journal_mode=wal, synchronous=full`, as SQLite really ran.
    `disk`: the kind of disk it ran on.
    """

    adapter: str
    steps: int
    operations: int
    models: tuple[ModelReport, ...]
    anomalies: tuple[Anomaly, ...] = ()
    portability: tuple[Anomaly, ...] = ()
    unknown: tuple[str, ...] = ()
    seconds: float = field(default=0.0, compare=False)
    store_share: float = field(default=0.0, compare=False)
    depth: int = 1
    coverage: Coverage | None = None
    examples: int = 0
    holds_under: tuple[str, ...] = ()
    stronger: str = ""
    databases: tuple[str, ...] = ()
    disk: str = "files"

    @property
    def states(self) -> int:
        """Distinct crash states, all models together."""
        return sum(model.states for model in self.models)

    @property
    def verdict(self) -> Verdict:
        """INVALID with an anomaly, UNKNOWN if something could not be judged, else VALID."""
        if self.anomalies:
            return Verdict.INVALID
        return Verdict.UNKNOWN if self.unknown else Verdict.VALID
