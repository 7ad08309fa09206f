"""Calls that were made at once get a column each, so that a reader sees who went on while somebody else stood still.

Rule: what overlapped is read off the history: calls that have the number of a turn, up to the end of the last of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from pytest_durability.history import Lane, Op
from pytest_durability.lanes import lanes

_TURN = re.compile(r"(?:^|, )turn (\d+)$")


@dataclass(frozen=True, slots=True)
class Group:
    """Calls that were made at once, and the numbers of the first and the last op of them."""

    calls: tuple[Op, ...]
    first: int
    last: int


def groups(ops: Sequence[Op]) -> list[Group]:
    """The overlaps of a history, in order."""
    ends = {op.call: op.seq for op in ops if op.lane is Lane.USER and op.call}
    found: list[Group] = []
    for op in ops:
        if op.lane is not Lane.USER or not _TURN.search(op.note):
            continue
        end = ends.get(op.seq, ops[-1].seq)
        if found and op.seq < found[-1].last:
            before = found[-1]
            found[-1] = Group((*before.calls, op), before.first, max(before.last, end))
        else:
            found.append(Group((op,), op.seq, end))
    return [group for group in found if len(group.calls) > 1]


def columns(group: Group, ops: Sequence[Op], words: Callable[[Op], str], marked: Collection[int] = ()) -> list[str]:
    """The lines of one overlap; what belongs to none of its calls stands in the first column."""
    places = {call.seq: at for at, call in enumerate(group.calls)}
    heads = [f"turn {found[1]}" for call in group.calls if (found := _TURN.search(call.note))]

    def row(op: Op) -> tuple[int, int, str]:
        text = words(op) if op.seq not in places else f"{op.kind} {op.target}".strip()
        return op.seq, places.get(op.seq, places.get(op.call, 0)), text

    return lanes(heads, map(row, ops), marked=marked).splitlines()
