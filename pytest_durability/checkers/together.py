"""A story in which calls were made at once has no one order of saying, so it is judged by what its session shows in the end.

Rule: asked of a whole history. Every call is a turn, whether it overlapped or not; one that a fault may have hurt owes nothing but a
beginning of itself. What stands still for ever is a lock that was left, if somebody was stopped before; else the store is wedged.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from pytest_durability.checkers.overlapped import judge_overlap
from pytest_durability.checkers.wholes import DONE, RAISED, REFUSED, STOPPED, Cut, Whole
from pytest_durability.delivered import TURN
from pytest_durability.history import History, Lane, Op, Outcome
from pytest_durability.ledger import APPENDS
from pytest_durability.observation import Failure
from pytest_durability.tokens import find
from pytest_durability.turn import DELIVERED
from pytest_durability.verdict import Anomaly, LeftLocked, Wedged

CANCELLED = "cancelled"
"""The note on the end of a call that was cancelled."""

STUCK = ("Deadlock", "Livelock")
"""Kinds of failure of a call that never came to an end."""


def check(
    history: History,
    failures: Sequence[tuple[int, Failure]],
    shown: Sequence[str],
    *,
    promised: str = "serialise",
    strikes: Collection[int] = (),
    exempt: Collection[str] = (),
) -> Anomaly | None:
    """What is wrong with a story some of whose calls were made at once; `shown`: the tokens of the transcript, in order.

    `failures`: what calls raised, by the number of the call. `strikes`: ops at which something else went wrong too.
    `exempt`: messages that a store may refuse.
    """
    told = {seq: failed for seq, failed in failures if not set(history[seq - 1].target.split(",")) & set(exempt)}
    calls = [op for op in history.lane(Lane.USER) if op.kind in (*APPENDS, TURN, "commit")]
    ends = {op.call: op for op in history.lane(Lane.USER) if op.kind in ("ack", "raised")}
    stuck = _stuck(calls, ends, told)
    if stuck is not None:
        return stuck
    if any("handle" in call.note for call in calls):
        promised = "refuse"  # one of two store objects may always say that it is the stale one
    turns = [
        Whole(_name(call), _tokens(history, call), call.seq, _over(history, call, ends), *_ended(call, ends, told, strikes))
        for call in calls
        if call.kind != "commit"
    ]
    cuts = [Cut(_name(call), call.size, call.seq, _over(history, call, ends)) for call in calls if call.kind == "commit"]
    found = judge_overlap(turns, shown, cuts=cuts, promised=promised)
    if found is not None and not found.site:
        found.site = next((failed.site for _, failed in failures if failed.site), "") or _last_write(history, found.witnesses)
    return found


def _name(call: Op) -> str:
    return f"{call.kind} {call.target}".strip()


def _over(history: History, call: Op, ends: Mapping[int, Op]) -> int:
    return ends[call.seq].seq if call.seq in ends else len(history)


def _ended(call: Op, ends: Mapping[int, Op], told: Mapping[int, Failure], strikes: Collection[int]) -> tuple[str, str]:
    end, failed = ends.get(call.seq), told.get(call.seq)
    if end is not None and end.kind == "ack" and end.outcome is Outcome.OK:
        return DONE, ""
    if failed is None or strikes:
        return STOPPED, end.note if end is not None else ""
    return (REFUSED if failed.refused else RAISED), str(failed)


def _tokens(history: History, call: Op) -> tuple[str, ...]:
    """The messages of a call; of a turn the reply that it was really given, which a shared provider may have mixed up."""
    tokens = tuple(token for token in call.target.split(",") if token)
    if call.kind != TURN:
        return tokens
    pieces = [op.target for op in history[call.seq :] if op.lane is Lane.STREAM and op.kind == DELIVERED and op.call == call.seq]
    return (tokens[0], *(find("".join(pieces)) or tokens[1:]))


def _stuck(calls: Sequence[Op], ends: Mapping[int, Op], told: Mapping[int, Failure]) -> Anomaly | None:
    """The verdict on a call that never came to an end."""
    call = next((call for call in calls if call.seq in told and told[call.seq].kind in STUCK), None)
    if call is None:
        return None
    failed = told[call.seq]
    before = [
        other
        for other in calls
        if other.seq in ends and ends[other.seq].kind == "raised" and getattr(told.get(other.seq), "kind", "") not in STUCK
    ]
    if failed.kind == "Deadlock" and before:
        return LeftLocked(
            f"{_name(call)} waits for ever: {_name(before[0])} ended without an answer and left what it held",
            because=(
                f"op {before[0].seq}  {_name(before[0])}: {ends[before[0].seq].note}",
                f"op {call.seq}  {_name(call)}: {failed.message}",
            ),
            witnesses=(before[0].seq, call.seq),
            kind="raised",
            site=failed.site,
        )
    return Wedged(
        f"{_name(call)} never ends, though nothing but another turn was in its way",
        because=(f"op {call.seq}  {_name(call)}: {failed.message}",),
        witnesses=(call.seq,),
        kind=failed.kind,
        site=failed.site,
    )


def _last_write(history: History, witnesses: Sequence[int]) -> str:
    """The line that wrote last in the call that a finding is about, or at all."""
    done = [op for op in history.lane(Lane.DISK) if op.site and op.effect is not None]
    own = [op for op in done if op.call in witnesses]
    return (own or done)[-1].site if done else ""
