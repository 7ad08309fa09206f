"""All checkers in the order of how specific their answer is, so that one state gets one verdict.

Rule: a checker is a pure function of what was seen and what is due; one that raises makes the verdict UNKNOWN, which
fails, and never passes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pytest_durability.checkers import (
    acknowledged,
    archive,
    batch,
    damage,
    delivered,
    deterministic,
    disagree,
    duplicate,
    effects,
    empty,
    foreign,
    healing,
    healthy,
    loadable,
    order,
    phantom,
    resurrected,
    sendable,
    unanswered,
    wedged,
    window,
)
from pytest_durability.checkers import input as accepted
from pytest_durability.ledger import Expectation
from pytest_durability.observation import Observation
from pytest_durability.verdict import Anomaly, Verdict

Checker = Callable[[Observation, Expectation], Anomaly | None]

CHECKERS: tuple[tuple[str, Checker], ...] = (
    ("loadable", loadable.check),
    ("deterministic", deterministic.check),
    ("empty", empty.check),
    ("resurrected", resurrected.check),
    ("archive", archive.check),
    ("disagree", disagree.check),
    ("damage", damage.check),
    ("batch", batch.check),
    ("input", accepted.check),
    ("delivered", delivered.check),
    ("acknowledged", acknowledged.check),
    ("duplicate", duplicate.check),
    ("phantom", phantom.check),
    ("order", order.check),
    ("window", window.check),
    ("foreign", foreign.check),
    ("effects", effects.check),
    ("sendable", sendable.check),
    ("unanswered", unanswered.check),
    ("onward", wedged.onward),
    ("healing", healing.check),
    ("healthy", healthy.check),
)
"""Name and function of every checker, most specific first."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """VALID, or INVALID with the anomaly, or UNKNOWN with the reason; `rank`: 0 for the most specific checker, then 1, 2 ..."""

    verdict: Verdict
    anomaly: Anomaly | None = None
    reason: str = ""
    rank: int = 0


VALID = Judgement(Verdict.VALID)


def judge(seen: Observation, due: Expectation, checkers: tuple[tuple[str, Checker], ...] = CHECKERS) -> Judgement:
    """Ask every checker in order; the first anomaly is the verdict."""
    unknown = ""
    for rank, (name, check) in enumerate(checkers):
        try:
            anomaly = check(seen, due)
        except Exception as error:  # noqa: BLE001  a crashed checker must become UNKNOWN, whatever it raised
            unknown = unknown or f"checker {name} crashed: {type(error).__name__}: {error}"
            continue
        if anomaly is not None:
            return Judgement(Verdict.INVALID, anomaly, rank=rank)
    return Judgement(Verdict.UNKNOWN, reason=unknown) if unknown else VALID
