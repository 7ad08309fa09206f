"""A message that only a lost write held may be missing; whether another copy of it is on disk is looked up here.

Rule: a message is excused if a file as the program wrote it holds it, the same file as it was stored does not, and no other
file that keeps messages does. A file that quotes a message is no copy of it, and neither is a left-over temporary file: what
keeps messages is of a role that a healthy session has and that held a message, at its acknowledgement, alone. In doubt a message
is excused; so is what no file ever showed in plain text, because whether it was lost cannot be told.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from pytest_durability.faults import role_of
from pytest_durability.history import Lane, Op
from pytest_durability.world.disk import effects as fx
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
    calls = (op for op in ops if op.lane is Lane.USER and op.kind in ("append", "append_many", "turn"))
    return Counter(token for op in calls for token in op.target.split(",") if token)


class Keepers(NamedTuple):
    """The roles of the files that keep messages, other than by quoting them.

    `sure`: one of these held a message alone when it was acknowledged. `once`: at any moment.
    """

    sure: frozenset[str]
    once: frozenset[str]


Holders = Mapping[str, Iterable[str]]
"""Tokens, and the files that hold them."""


def alone(moments: Iterable[Holders], published: frozenset[str]) -> frozenset[str]:
    """The roles of files that, at one of these moments, held a token alone."""
    found: set[str] = set()
    for moment in moments:
        for paths in moment.values():
            roles = {role_of(path) for path in paths if counts_as_copy(path, published)}
            if len(roles) == 1:
                found |= roles
    return frozenset(found)


def taken(lost: Collection[str], stored: Collection[str], keep: Keepers, times: int) -> bool:
    """Whether nobody can ask for a message that was said `times` times.

    `lost`: roles of files that lost a copy of it; `stored`: of those that still have one. What never was the only holder of
    anything may be a quote: losing it costs nothing as long as a file that was the only one still holds the message. Of a text
    that was said several times each copy may stand for another message, so one that is missing is enough.
    """
    if not lost or times > 1:
        return bool(lost)
    return keep.sure.isdisjoint(stored) and not (keep.once.isdisjoint(lost) and not keep.once.isdisjoint(stored))


def excused(
    written: Sequence[Op], stored: Sequence[Op], published: frozenset[str] = frozenset(), initial: Image = EMPTY
) -> dict[str, int | None]:
    """The messages that an overlay took (see `overlay`), each with the op from which on it must be there again.

    `written` and `stored` are the same log without and with the overlay. A message must be there again from the first
    acknowledgement on after a file that keeps messages holds it again, or after everything of it that was written is stored;
    None: never.
    """
    times, seen, differ = said(written), set[str](), False
    keep = _keepers_of(written, published, initial)
    wrote, there = _Disk(initial), _Disk(initial)
    missing: dict[str, int | None] = {}
    for op, kept in zip(written, stored, strict=True):
        differ = differ or op.effect != kept.effect
        wrote.apply(op.effect)
        there.apply(kept.effect)
        acknowledged = _acknowledges(op)
        if not acknowledged and (not differ or op.effect is None):
            continue
        now = wrote.roles()
        seen.update(now)
        if not differ:
            continue
        left, gone = there.roles(), wrote.lost_by(there)
        missing.update(dict.fromkeys(t for t, lost in gone.items() if taken(lost, left.get(t, ()), keep, times[t])))
        if acknowledged:
            back = [t for t in missing if t in left and (t not in gone or not keep.sure.isdisjoint(left[t]))]
            missing.update({t: op.seq for t in back if missing[t] is None and not (t in gone and times[t] > 1)})
    if differ:
        missing.update(dict.fromkeys(times.keys() - seen))
    return missing


def _acknowledges(op: Op) -> bool:
    return op.lane is Lane.USER and op.kind == "ack"


def _keepers_of(log: Sequence[Op], published: frozenset[str], initial: Image) -> Keepers:
    disk, acknowledged, moments = _Disk(initial), list[Holders](), list[Holders]()
    for op in log:
        disk.apply(op.effect)
        if _acknowledges(op):
            held = disk.holders()
            moments.append(held)
            acknowledged.append({token: held[token] for token in op.target.split(",") if token in held})
        elif isinstance(op.effect, fx.Rename | fx.Unlink | fx.Truncate | fx.Close):
            moments.append(disk.holders())
    return keepers(acknowledged, moments, published)


def keepers(acknowledged: Sequence[Holders], moments: Iterable[Holders], published: frozenset[str]) -> Keepers:
    """Who keeps messages, by who held them when they were acknowledged, and at all moments.

    A log in which nothing was acknowledged (a healing) shows it by its moments alone.
    """
    once = alone(moments, published)
    return Keepers(alone(acknowledged, published) if any(acknowledged) else once, once)


class _Disk:
    """One replay of a log, with the tokens of its files."""

    __slots__ = ("_files", "_known", "_tree")

    def __init__(self, initial: Image) -> None:
        self._tree = Tree.from_image(initial)
        self._known: dict[bytes, Counter[str]] = {}
        self._files: dict[str, Counter[str]] | None = None

    def apply(self, effect: object) -> None:
        """Take an effect over; None is no effect."""
        if effect is not None:
            self._tree.apply(effect)  # type: ignore[arg-type]
            self._files = None

    def files(self) -> dict[str, Counter[str]]:
        """The tokens of each file."""
        if self._files is None:
            self._files = {file.path: self._counted(file.data) for file in self._tree.image().files}
        return self._files

    def holders(self) -> dict[str, list[str]]:
        """The files that hold each token."""
        found: dict[str, list[str]] = {}
        for path, counted in self.files().items():
            for token in counted:
                found.setdefault(token, []).append(path)
        return found

    def roles(self) -> dict[str, set[str]]:
        """The roles of the files that hold each token."""
        return {token: {role_of(path) for path in paths} for token, paths in self.holders().items()}

    def lost_by(self, other: _Disk) -> dict[str, set[str]]:
        """The tokens of which a file here has more copies than the same file there, with the roles of such files."""
        others = other.files()
        found: dict[str, set[str]] = {}
        for path, counted in self.files().items():
            there = others.get(path, _NONE)
            if counted != there:
                for token in counted - there:
                    found.setdefault(token, set()).add(role_of(path))
        return found

    def _counted(self, data: bytes) -> Counter[str]:
        found = self._known.get(data)
        if found is None:
            found = self._known[data] = count(data)
        return found


_NONE: Counter[str] = Counter()
