"""A commit that was computed from an old snapshot writes back a past in which newer messages do not exist (I16).

Rule: a message is lost to a replacement if its turn returned while the replacement was under way, and no order of the two explains
that it is gone.
"""

from __future__ import annotations

from collections.abc import Sequence

from pytest_durability.checkers.serialisable import missing
from pytest_durability.checkers.wholes import DONE, Cut, Whole
from pytest_durability.verdict import StaleReplace


def stale_replace(turns: Sequence[Whole], shown: Sequence[str], cuts: Sequence[Cut]) -> StaleReplace | None:
    """`StaleReplace` for a turn that a commit undid, which overlapped it; None if there is none, or nothing is gone."""
    mine = {token for turn in turns for token in turn.tokens}
    found = missing(turns, [token for token in shown if token in mine], cuts) if cuts else None
    if found is None:
        return None
    for turn in (found[0], *turns):
        absent = [token for token in turn.tokens if token not in shown]
        if turn.ended != DONE or not absent:
            continue
        for cut in cuts:
            if cut.began < turn.over and turn.began < cut.over and turn.over > 0:
                return StaleReplace(
                    f"{absent[0]} of {turn.name} is gone: {cut.name} wrote back what it had read before",
                    because=(
                        f"op {cut.began}  {cut.name} began",
                        f"op {turn.over}  {turn.name} returned",
                        f"op {cut.over}  {cut.name} returned",
                        f"shown {', '.join(shown[:12]) or 'nothing'}",
                    ),
                    witnesses=(turn.over, cut.began),
                    kind="commit",
                )
    return None
