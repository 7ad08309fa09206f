"""Turns a judgement about a crash state into an anomaly that a reader can check: which write was lost, and why that is legal.

Rule: evidence is read from the recording; it never changes the verdict.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from pytest_durability.faults import Crash, Schedule, place_of
from pytest_durability.history import History, Lane, Op
from pytest_durability.ledger import Expectation
from pytest_durability.observation import Observation, entry_line, observed_lines
from pytest_durability.tokens import mark
from pytest_durability.verdict import Anomaly, Loss, Result, Verdict
from pytest_durability.workload import Workload

SHOWN = 3
"""How many lost operations the proof names; the report lists all of them."""


def crash_fault(ops: Sequence[Op], model: str, *, first: int, point: int, lag: Sequence[str]) -> Crash | None:
    """The crash as a fault that finds its place again in another run; None for a crash before the first operation."""
    if point < 1:
        return None
    after = str(place_of(ops, point))
    born = str(place_of(ops, first)) if first not in (0, point) else ""
    if first == 0 and point != 0:
        born = "-:start:1"
    return Crash(after=after, model=model, born=born, lag=tuple(lag))


def explain(
    anomaly: Anomaly,
    *,
    adapter: str,
    workload: Workload,
    schedule: Schedule,
    history: History,
    seen: Observation,
    due: Expectation,
    model: str,
    point: int,
    losses: Sequence[Loss],
    fatal: bool,
    notes: Sequence[str] = (),
    strikes: Collection[int] = (),
) -> Anomaly:
    """Complete an anomaly: its proof (with `notes` at its end), its place in the store, and the result that reports are made from.

    `strikes`: the ops that a fault struck. The last one before the crash is the place of the bug, unless the crash lost something.
    """
    relevant = _relevant(anomaly, history, losses)
    lines = [f"op {loss.seq}  {loss.what} was lost{_at(loss.site)}: {loss.why}" for loss in relevant[:SHOWN]]
    if len(losses) > SHOWN:
        lines.append(f"and   {len(losses) - SHOWN} more operations were lost")
    if not losses:
        lines.append(_killed(history, point))
    lines += notes
    told = type(anomaly)(
        anomaly.summary,
        because=(*anomaly.because, *lines),
        witnesses=(*anomaly.witnesses, *(loss.seq for loss in relevant[:SHOWN])),
        kind=anomaly.kind or "ack",
        site=anomaly.site or _site(history, point, relevant, strikes),
    )
    told.result = Result(
        adapter=adapter,
        workload=workload,
        schedule=schedule,
        history=history,
        verdict=Verdict.INVALID,
        anomaly=told,
        model=model,
        crash_after=point,
        losses=tuple(losses),
        expected=tuple(entry_line(entry.token, entry.say.role, entry.say.text) for entry in due.must),
        observed=observed_lines(seen),
        fatal=fatal,
    )
    return told


def _relevant(anomaly: Anomaly, history: History, losses: Sequence[Loss]) -> list[Loss]:
    """The losses, those first whose bytes carry the mark of a message that the anomaly is about, then those of its files."""
    tokens = {token for seq in anomaly.witnesses for token in history[seq - 1].target.split(",")}
    marks = [mark(token).encode() for token in tokens if token]

    effects = [op.effect for op in history]
    files = {getattr(e, "ino", None) for e in effects if any(needle in getattr(e, "data", b"") for needle in marks)}

    def rank(loss: Loss) -> int:
        effect = effects[loss.seq - 1]
        if any(needle in getattr(effect, "data", b"") for needle in marks):
            return 0
        return 1 if getattr(effect, "ino", None) in files else 2

    return sorted(losses, key=lambda loss: (rank(loss), loss.seq))


def _killed(history: History, point: int) -> str:
    rest = next((op for op in history[point:] if op.lane is Lane.DISK), None)
    if rest is None:
        return f"the process ended after op {point}; nothing that it wrote was lost"
    return f"the process ended after op {point}, before op {rest.seq}  {rest.kind} {rest.target}{_at(rest.site)}"


def _site(history: History, point: int, losses: Sequence[Loss], strikes: Collection[int]) -> str:
    if losses:
        return losses[0].site
    before = [op for op in history[:point] if op.seq in strikes or op.kind == "crash"]
    if before:  # what went wrong in the story; of a death in it, the operation that was the last
        done = [op for op in history[: before[-1].seq] if op.lane is Lane.DISK and op.site]
        return done[-1].site if done else ""
    rest = next((op for op in history[point:] if op.lane is Lane.DISK), None)
    return rest.site if rest is not None else ""


def _at(site: str) -> str:
    return f"  ({site})" if site else ""
