"""What a tool did cannot be undone: once its result is recorded, a resume or a retry that runs it again pays twice (I18).

Rule: at most once after the record. An effect before its record may happen again, because nobody can know of it; the record is
the turn that returned, or the result in the session that was opened again.
"""

from __future__ import annotations

from collections.abc import Sequence

from pytest_durability.history import Lane, Op
from pytest_durability.ledger import Expectation
from pytest_durability.observation import Observation
from pytest_durability.turn import EFFECT
from pytest_durability.verdict import Anomaly, EffectRepeated


def check(seen: Observation, due: Expectation) -> Anomaly | None:
    """`EffectRepeated` for the first call that the next turn runs although the reopened session holds its result."""
    if seen.rows is None or seen.onward is None:
        return None
    held = {entry.answers: entry for entry in due.said if entry.answers}
    for name in seen.onward.effects:
        row = next((row for row in seen.rows if row.answers == name and row.tokens), None)
        if row is not None:
            entry = held.get(name)
            return EffectRepeated(
                f"{name} was run, its result is in the session, and the next turn runs it again",
                because=(
                    *((f"op {entry.call}  the turn that called {name} began",) if entry else ()),
                    f"the reopened session holds its result: {row.tokens[0]}",
                    f"but   in the turn after that the tool was run for {name} once more",
                ),
                witnesses=[entry.call] if entry else [],
                kind="effect",
            )
    return None


def repeated(history: Sequence[Op]) -> EffectRepeated | None:
    """`EffectRepeated` for the first effect that happened again after the turn that had it was over, and said so by returning."""
    first: dict[str, Op] = {}
    done = {op.call: op for op in history if op.lane is Lane.USER and op.kind == "ack"}
    for op in history:
        if op.lane is not Lane.STREAM or op.kind != EFFECT:
            continue
        before = first.setdefault(op.target, op)
        end = done.get(before.call)
        if before is not op and end is not None and end.seq < op.seq:
            return EffectRepeated(
                f"{op.target} was run, its turn returned, and it was run again",
                because=(
                    f"op {before.seq}  the tool was run for {op.target}",
                    f"op {end.seq}  the turn returned, so this was recorded",
                    f"op {op.seq}  the tool was run for {op.target} once more",
                ),
                witnesses=[before.seq, end.seq, op.seq],
                kind="effect",
            )
    return None
