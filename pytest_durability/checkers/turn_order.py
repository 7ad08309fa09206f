"""Whatever the order of turns, within each of them it is known: an answer does not come before its question (I7).

Rule: the messages of one turn that are there must stand in the order in which the turn said them.
"""

from __future__ import annotations

from collections.abc import Sequence

from pytest_durability.checkers.wholes import Whole
from pytest_durability.verdict import Reordered


def reordered(turns: Sequence[Whole], shown: Sequence[str]) -> Reordered | None:
    """`Reordered` for the first turn whose own messages change places."""
    for turn in turns:
        mine = [token for token in shown if token in turn.tokens]
        said = [token for token in turn.tokens if token in mine]
        if mine != said:
            place = next(i for i, (one, other) in enumerate(zip(mine, said, strict=True)) if one != other)
            return Reordered(
                f"{mine[place]} comes before {said[place]}, which {turn.name} had said first",
                because=(f"{turn.name} said {', '.join(said)}", f"shown {', '.join(mine)}"),
                witnesses=(turn.began,) if turn.began else (),
                kind="ack",
            )
    return None
