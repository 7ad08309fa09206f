"""After an operation failed, somebody else must be able to write: a transaction that stays open locks everybody out.

Rule: what was held before the operation began and is held after it proves nothing against that operation.
"""

from __future__ import annotations

from collections.abc import Sequence

from pytest_durability.verdict import LeftLocked


def left_locked(before: Sequence[str], after: Sequence[str], call: str, *, witness: int = 0, site: str = "") -> LeftLocked | None:
    """The verdict on an operation that raised: None, or the finding that it left a lock.

    Args:
        before: the locks that kept other writers out when the operation began, each as text.
        after: those that do so after it raised, and after everything that was injected is over.
        call: what the operation was, for people.
        witness: the number of its op in the history.
        site: the line of the store that issued it.
    """
    new = [lock for lock in after if lock not in before]
    if not new:
        return None
    return LeftLocked(
        f"{call} raised and left a lock behind: {'; '.join(new)}",
        because=(
            "the transaction of the operation that failed is still open",
            "no other connection can write until this one ends its transaction, or its process",
        ),
        witnesses=(witness,) if witness else (),
        kind="raised",
        site=site,
    )
