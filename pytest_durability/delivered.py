"""What a user typed and what a user was shown is owed like an acknowledged message; from when on is read here, off the history.

Rule: input is accepted at the first request of its turn, at the first text that was shown, or when the call returned. Shown
text is due when the promise says so; a turn that failed by itself, and said so by raising, owes only what was promised before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

from pytest_durability.adapter import Promise
from pytest_durability.history import History, Lane, Op, Outcome
from pytest_durability.tokens import find
from pytest_durability.turn import DELIVERED

TURN, STOPPED, CUT = "turn", "stopped", "cut"
"""Kinds of ops: a turn that was called (user lane), a turn that the user stopped and a reply that was cut (stream lane)."""

AT_ONCE = ("process-kill", "power-loss")
"""Promises of delivered text that begin when it is shown, not when the turn is over."""


@dataclass(frozen=True, slots=True)
class Told:
    """One turn as it happened. `accepted`: the op at which the input was accepted (None: never).

    `shown`: for each reply the text that is due, as (op from which on, how many characters of it), growing.
    """

    accepted: int | None
    shown: tuple[tuple[tuple[int, int], ...], ...]


def call_id(number: int) -> str:
    """What the model calls the call of a tool in turn `number` of a run."""
    return f"call_{number + 1}"


def told(history: History, call: Op, end: Op | None, replies: Sequence[str], promise: Promise) -> Told:
    """What is owed of the turn that began at `call` and ended at `end` (None: it never did), with these replies one after the other."""
    during = _during(history, call, end)
    asks = not _abandoned(history, call)
    answered = [op.seq for op in during if _answers(op, call) or (asks and op.lane is Lane.PROVIDER)]
    returned = end is not None and end.kind == "ack"
    accepted = answered[0] if answered else end.seq if returned and end is not None else None
    pieces = _pieces(during, replies)
    if promise.delivered in AT_ONCE:
        return Told(accepted, tuple(map(tuple, pieces)))
    if end is None or not _owes(during, end, promise):
        return Told(accepted, ((),) * len(replies))
    return Told(accepted, tuple(((end.seq, found[-1][1]),) if found else () for found in pieces))


def _answers(op: Op, call: Op) -> bool:
    """Whether something of a reply to this turn came."""
    return op.lane is Lane.STREAM and op.call == call.seq and op.kind != STOPPED


def _abandoned(history: History, call: Op) -> bool:
    """Whether a turn before, in the same life, was stopped: what its store still does in the background looks like this turn's."""
    for op in reversed(history[: call.seq - 1]):
        if op.kind == STOPPED or (op.lane is Lane.USER and op.kind == "open"):
            return op.kind == STOPPED
    return False


def _during(history: History, call: Op, end: Op | None) -> Sequence[Op]:
    """The ops of a turn; one that never ended lasts until the user does something else."""
    if end is not None:
        return history[call.seq : end.seq]
    return list(takewhile(lambda op: op.lane is not Lane.USER and op.kind != "crash", history[call.seq :]))


def _pieces(during: Sequence[Op], replies: Sequence[str]) -> list[list[tuple[int, int]]]:
    """For each reply after which op how many characters of it had been shown, once its mark was among them."""
    said, at, found = "", 0, [list[tuple[int, int]]() for _ in replies]
    for op in during:
        if op.lane is not Lane.STREAM or op.kind != DELIVERED:
            continue
        if at + 1 < len(replies) and find(op.target)[:1] == find(replies[at + 1])[:1]:  # each reply begins with its mark
            said, at = "", at + 1
        said += op.target
        known = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(said.lstrip(), replies[at], strict=False)))
        if find(replies[at][:known]) and (not found[at] or known > found[at][-1][1]):
            found[at].append((op.seq, known))
    return found


def _owes(during: Sequence[Op], end: Op, promise: Promise) -> bool:
    """Whether the end of a turn makes what was shown due, under a promise that begins there."""
    broken = any(op.lane is Lane.STREAM and op.kind in (CUT, STOPPED) for op in during)
    if promise.delivered == "complete-only":
        return end.kind == "ack" and not broken
    failed = any(op.lane is Lane.DISK and op.outcome is Outcome.FAILED for op in during)
    return end.kind == "ack" or (broken and not failed)
