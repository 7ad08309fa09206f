"""Turns that overlap must leave what they would have left one after the other, in some order (I17).

Rule: each turn that returned is there as a whole, in one piece; one that refused left nothing, if refusing is promised; one that was stopped
left a beginning of what it carried, or nothing. A turn that was over before another began comes first. A commit may have taken
a beginning of everything, of what some order puts before it.

Deciding that is quick, although it is not in general: every row carries the mark of one message of one turn, so the rows
themselves say in which order the turns would have to have been. There is one candidate, read off in one pass, and all
that is left is to hold it against the rule: O(rows + turns * turns).
"""

from __future__ import annotations

from collections.abc import Sequence

from pytest_durability.checkers.wholes import DONE, RAISED, REFUSED, Cut, Whole
from pytest_durability.verdict import NotSerialisable


def not_serialisable(
    turns: Sequence[Whole], shown: Sequence[str], *, cuts: Sequence[Cut] = (), promised: str = "serialise"
) -> NotSerialisable | None:
    """`NotSerialisable` if no order of whole turns leaves these rows (tokens in order; those of nobody here are passed over)."""
    for turn in turns:
        if turn.ended == RAISED or (turn.ended == REFUSED and promised != "refuse"):
            return _found(turn, f"raised {turn.told or 'an error'}, though nothing but another turn was in its way", turns, shown)
    if promised == "refuse" and turns and all(turn.ended == REFUSED for turn in turns):
        return _found(turns[0], "was refused, and so was everybody else", turns, shown)
    owner = {token: turn for turn in turns for token in turn.tokens}
    rows = [token for token in shown if token in owner]
    order = list(dict.fromkeys(owner[token].name for token in rows))
    by_name = {turn.name: turn for turn in turns}
    broken = _torn(rows, owner) or _early([by_name[name] for name in order])
    if broken is not None:
        return _found(*broken, turns, shown)
    lacking = missing(turns, rows, cuts)
    return None if lacking is None else _found(*lacking, turns, shown)


def missing(turns: Sequence[Whole], rows: Sequence[str], cuts: Sequence[Cut] = ()) -> tuple[Whole, str] | None:
    """The first turn that is not there as it should be, and in what way; `rows`: the tokens of these turns, in order."""
    there = set(rows)
    first = next((turn for turn in turns if rows and rows[0] in turn.tokens), None)
    gone = 0
    for turn in turns:
        shown = [token for token in turn.tokens if token in there]
        if turn.ended == REFUSED and shown:
            return turn, f"was refused, and yet {shown[0]} is there"
        if turn.ended != DONE:
            if tuple(shown) != turn.tokens[: len(shown)]:
                return turn, f"was stopped, and left {', '.join(shown)}, which is no beginning of it"
            continue
        if len(shown) == len(turn.tokens):
            continue
        absent = [token for token in turn.tokens if token not in there]
        older = [other for other in turns if other.precedes(turn) and there.intersection(other.tokens)]
        whole_beginning = tuple(shown) == turn.tokens[len(absent) :] and (turn is first if shown else not older)
        if not whole_beginning or not any(_may_take(cut, turn) for cut in cuts):
            return turn, f"returned, and {absent[0]} is gone"
        gone += len(absent)
    if gone and not any(gone + cut.keep <= _before(cut, turns) for cut in cuts):
        return turns[0], f"and others lost {gone} messages, more than any commit may take"
    return None


def _may_take(cut: Cut, turn: Whole) -> bool:
    """Whether some order puts the commit behind the turn."""
    return not cut.over < turn.began


def _before(cut: Cut, turns: Sequence[Whole]) -> int:
    """How many messages there can have been at the moment of a commit."""
    return sum(len(turn.tokens) for turn in turns if _may_take(cut, turn))


def _torn(rows: Sequence[str], owner: dict[str, Whole]) -> tuple[Whole, str] | None:
    """A turn whose rows do not stand together."""
    closed: set[str] = set()
    last: Whole | None = None
    for token in rows:
        turn = owner[token]
        if last is not None and turn is not last:
            closed.add(last.name)
            if turn.name in closed:
                return turn, f"is not in one piece: {token} comes after a message of {last.name}"
        last = turn
    return None


def _early(order: Sequence[Whole]) -> tuple[Whole, str] | None:
    """A turn that stands before one which was over when it began."""
    for place, turn in enumerate(order):
        for later in order[place + 1 :]:
            if later.precedes(turn):
                return later, f"was over when {turn.name} began, and yet comes after it"
    return None


def _found(turn: Whole, why: str, turns: Sequence[Whole], shown: Sequence[str]) -> NotSerialisable:
    said = (f"{one.name} ({one.ended}) carried {', '.join(one.tokens) or 'nothing'}" for one in turns)
    return NotSerialisable(
        f"no order of whole turns explains the history: {turn.name} {why}",
        because=(*said, f"shown {', '.join(shown[:12]) or 'nothing'}"),
        witnesses=tuple(op for op in (turn.began, turn.over) if op),
        kind="raised" if turn.ended in (RAISED, REFUSED) else "ack",
    )
