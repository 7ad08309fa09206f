"""A message that only a lost write held may be missing; whether another copy of it is on disk is looked up here.

Rule: a message is excused if the disk as the program wrote it holds it and the disk as it was stored does not. Of what was
stored only files count that a healthy session has too, because nobody recovers from left-over temporary files. What no file
ever showed in plain text is excused as well: whether it was lost cannot be told.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from pytest_durability.faults import role_of
from pytest_durability.history import Lane, Op
from pytest_durability.world.disk.image import EMPTY, Image
from pytest_durability.world.disk.tree import Tree

_MARK = re.compile(rb"z([a-y][1-9][0-9]{0,6})z")


def count(data: bytes) -> Counter[str]:
    """How often each token's mark stands in the bytes of a file."""
    return Counter(name.decode() for name in _MARK.findall(data))


def counts_as_copy(path: str, published: frozenset[str]) -> bool:
    """Whether a store can be asked to recover from this file (`published`: roles of a healthy session; none: all count)."""
    return not published or role_of(path) in published


def said(ops: Iterable[Op]) -> Counter[str]:
    """How often each token was said in a history."""
    calls = (op for op in ops if op.lane is Lane.USER and op.kind in ("append", "append_many"))
    return Counter(token for op in calls for token in op.target.split(",") if token)


def taken(wrote: int, stored: int, times: int) -> bool:
    """Whether a message that was said `times` times was lost, by the number of its copies that were written and are stored.

    Of a text that was said several times each copy may stand for another message, so one that is missing is enough.
    """
    return stored < wrote and (not stored or times > 1)


def excused(
    written: Sequence[Op], stored: Sequence[Op], published: frozenset[str] = frozenset(), initial: Image = EMPTY
) -> dict[str, int | None]:
    """The messages that an overlay took (see `overlay`), each with the op from which on it must be there again.

    `written` and `stored` are the same log without and with the overlay. A message must be there again from the first
    acknowledgement on after a file holds it again; None: never.
    """
    times, seen, differ = said(written), set[str](), False
    wrote, there = _Disk(initial, frozenset()), _Disk(initial, published)
    missing: dict[str, int | None] = {}
    for op, kept in zip(written, stored, strict=True):
        differ = differ or op.effect != kept.effect
        wrote.apply(op.effect)
        there.apply(kept.effect)
        acknowledged = op.lane is Lane.USER and op.kind == "ack"
        if not acknowledged and (not differ or op.effect is None):
            continue
        now, left = wrote.counts(), there.counts()
        seen.update(now)
        lost = {token for token, number in now.items() if differ and taken(number, left[token], times[token])}
        missing.update(dict.fromkeys(lost))
        if acknowledged:
            missing.update(
                {token: op.seq for token, since in missing.items() if since is None and left[token] and token not in lost}
            )
    if differ:
        missing.update(dict.fromkeys(times.keys() - seen))
    return missing


class _Disk:
    """One replay of a log, with the tokens of its files."""

    __slots__ = ("_known", "_published", "_total", "_tree")

    def __init__(self, initial: Image, published: frozenset[str]) -> None:
        self._tree, self._published = Tree.from_image(initial), published
        self._known: dict[bytes, Counter[str]] = {}
        self._total: Counter[str] | None = None

    def apply(self, effect: object) -> None:
        """Take an effect over; None is no effect."""
        if effect is not None:
            self._tree.apply(effect)  # type: ignore[arg-type]
            self._total = None

    def counts(self) -> Counter[str]:
        """The tokens of all files that count, together."""
        if self._total is None:
            self._total = Counter()
            for file in self._tree.image().files:
                if counts_as_copy(file.path, self._published):
                    self._total.update(self._counted(file.data))
        return self._total

    def _counted(self, data: bytes) -> Counter[str]:
        found = self._known.get(data)
        if found is None:
            found = self._known[data] = count(data)
        return found
