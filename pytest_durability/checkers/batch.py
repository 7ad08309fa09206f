"""Half a batch is a conversation that nobody had: a call without its result, an answer without its question (I8).

Rule: a batch that was never acknowledged is there wholly or not at all. (For an acknowledged one each missing message is
lost, and one that a commit may have divided is not asked.)
"""

from __future__ import annotations

from collections import Counter

from pytest_durability.ledger import Entry, Expectation
from pytest_durability.observation import Observation
from pytest_durability.verdict import Anomaly, SplitBatch


def check(seen: Observation, due: Expectation) -> Anomaly | None:
    """`SplitBatch` for the first batch of which some messages are there and others are not."""
    if seen.rows is None or not due.batches:
        return None
    shown = Counter(seen.tokens())
    shown.update(token for row in seen.archived or () for token in row.tokens)
    for batch in due.batches:
        wanted = Counter(entry.token for entry in batch)
        # A text that was also said elsewhere may be there for that reason, so it proves nothing.
        own = [token for token, count in wanted.items() if due.allowed[token] == count]
        there = [token for token in own if shown[token]]
        missing = [token for token in own if shown[token] < wanted[token]]
        if there and missing:
            return _split(batch, there, missing)
    return None


def _split(batch: tuple[Entry, ...], there: list[str], missing: list[str]) -> SplitBatch:
    return SplitBatch(
        f"a batch of {len(batch)} messages is there in part: {there[0]} without {missing[0]}",
        because=(
            f"op {batch[0].call}  {', '.join(entry.token for entry in batch[:8])} were given as one batch",
            f"but   the reopened session holds {', '.join(there[:8])} and lacks {', '.join(missing[:8])}",
        ),
        witnesses=[batch[0].call],
        kind="append_many",
    )
