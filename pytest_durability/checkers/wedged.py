"""A store that survives a fault and then takes no more messages has lost the session all the same (the next turn cannot complete).

Rule: asked of a whole history, and of one more turn after a reopen where there is one. An append that raises is a finding if nothing struck while it ran, a healthy run of the same
steps takes the message, and something had happened before: a fault in the same life, a restart, or the end of the machine.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from pytest_durability.delivered import TURN
from pytest_durability.history import History, Lane, Op
from pytest_durability.ledger import APPENDS, Expectation
from pytest_durability.notes import is_retry
from pytest_durability.observation import Failure, Observation
from pytest_durability.verdict import Anomaly, Wedged

IGNORES = "generator ignored GeneratorExit"
"""What Python says of a generator that goes on when it is closed."""


def check(
    history: History, failures: Sequence[tuple[int, Failure]], strikes: Collection[int], exempt: Collection[str] = ()
) -> Anomaly | None:
    """`Wedged` for the first append that raised without a reason of its own.

    `failures`: what calls raised, by the number of the call. `strikes`: the ops at which a fault struck. `exempt`: messages
    that a store may refuse.
    """
    for seq, failed in failures:
        call = history[seq - 1]
        if call.kind == TURN and IGNORES in failed.message:
            return _unstoppable(call, failed)
        if (
            call.kind not in (*APPENDS, TURN)
            or failed.refused
            or is_retry(call.note)
            or set(call.target.split(",")) & set(exempt)
        ):
            continue
        end = next((op.seq for op in history[seq:] if op.lane is Lane.USER and op.call == seq), len(history))
        cause = _cause(history, seq, strikes)
        if cause and not any(seq <= strike <= end for strike in strikes):
            return _wedged(call, failed, cause)
    return None


def onward(seen: Observation, due: Expectation) -> Anomaly | None:
    """`Wedged` if one more turn fails after the reopen, although it succeeds where nothing bad happened."""
    failed = seen.onward.failure if seen.onward is not None else None
    if failed is None or failed.refused or not due.calibration.goes_on:
        return None
    return Wedged(
        f"the next turn cannot complete: {failed.kind}",
        because=(
            f"the session opens, and then {failed}" + (f"  ({failed.site})" if failed.site else ""),
            "but   nothing struck during that turn, and on a session to which nothing bad happened it succeeds",
        ),
        witnesses=[entry.call for entry in due.said[-1:]],
        kind=failed.kind,
        site=failed.site,
    )


def _unstoppable(call: Op, failed: Failure) -> Wedged:
    return Wedged(
        f"the turn of {call.target} cannot be stopped",
        because=(
            f"op {call.seq}  the turn began, and the user stopped it",
            f"but   it went on: {failed}" + (f"  ({failed.site})" if failed.site else ""),
        ),
        witnesses=[call.seq],
        kind=failed.kind,
        site=failed.site,
    )


def _cause(history: History, seq: int, strikes: Collection[int]) -> tuple[int, str, bool] | None:
    """The last thing before a call that may have broken the store: its op, its words, and whether it was in the same life."""
    opens = [op.seq for op in history[: seq - 1] if op.lane is Lane.USER and op.kind == "open"]
    struck = [strike for strike in strikes if strike < seq]
    started = opens[-1] if opens else 0
    if struck and max(struck) > started:
        return max(struck), f"a fault struck: {_words(history, max(struck))}", True
    crash = next((op for op in reversed(history[: seq - 1]) if op.kind == "crash"), None)
    if crash is not None:
        return crash.seq, f"the machine ended ({crash.target}), and the session was opened again", False
    if len(opens) > 1:
        return started, "the session was opened again", False
    return None


def _words(history: History, seq: int) -> str:
    op = history[seq - 1]
    return " ".join(part for part in (op.kind, op.target, op.note) if part)


def _wedged(call: Op, failed: Failure, cause: tuple[int, str, bool]) -> Wedged:
    seq, told, same = cause
    advice = ("if the store must not be used after an error, say so with after_error = 'reopen' in the adapter",) if same else ()
    return Wedged(
        f"{call.target or call.kind} cannot be stored any more: {failed.kind}",
        because=(
            f"op {seq}  {told}",
            f"op {call.seq}  {call.kind} {call.target}: {failed}" + (f"  ({failed.site})" if failed.site else ""),
            "but   nothing struck during that call, and without the fault it succeeds",
            *advice,
        ),
        witnesses=[seq, call.seq],
        kind=failed.kind,
        site=failed.site,
    )
