"""A disk that lies acknowledges a write and never stores it; these rewrite a log into what such a disk really holds.

Rule: only effects change, never op numbers or acknowledgements, and the result is a log that fits together: what needs a file
that was never stored vanishes, an append lands at the end that the file really has. Every persistence model then applies to
the result as to any other log.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from pytest_durability.errors import UsageError
from pytest_durability.history import Lane, Op
from pytest_durability.world.disk import effects as fx
from pytest_durability.world.disk.image import EMPTY, Image, number


def drop(ops: Sequence[Op], seqs: Iterable[int], *, initial: Image = EMPTY) -> list[Op]:
    """The log as if these operations had been acknowledged and never stored.

    `initial` is what the log starts from; without it the sizes of old files are inferred from where appends landed.

    Raises:
        UsageError: a number is not that of an operation on the disk.
    """
    wanted = set(seqs)
    for seq in sorted(wanted):
        _disk_op(ops, seq, "lose")
    return _Rewrite(initial, dict.fromkeys(wanted)).run(ops)


def tear(ops: Sequence[Op], seq: int, keep: int, *, initial: Image = EMPTY) -> list[Op]:
    """The log as if write `seq` had been acknowledged in full and stored only up to `keep` bytes.

    Raises:
        UsageError: `seq` is no write, or `keep` is negative or more than it wrote.
    """
    effect = _disk_op(ops, seq, "tear").effect
    if not isinstance(effect, fx.Write):
        raise UsageError(f"op {seq} is a {type(effect).__name__}, not a write", why="only a write can be torn")
    if not 0 <= keep <= len(effect.data):
        raise UsageError(
            f"cannot keep {keep} bytes of op {seq}, which wrote {len(effect.data)}",
            why="a torn write leaves a beginning of what was written",
            fix="keep 0 bytes or more, and at most all of them",
        )
    return _Rewrite(initial, {seq: replace(effect, data=effect.data[:keep])}).run(ops)


def save_around(ops: Sequence[Op], seq: int) -> set[int]:
    """The whole save that operation `seq` belongs to: losing it leaves the file as it was before.

    A save runs from the open that made or emptied the file to its close, together with the rename that publishes it. An
    operation on a file that was neither made nor emptied since its last close or sync is a save by itself.

    Raises:
        UsageError: `seq` is not the number of an operation on the disk.
    """
    effect = _disk_op(ops, seq, "lose").effect
    ino = getattr(effect, "ino", None)
    if ino is None or isinstance(effect, fx.Mkdir | fx.Rmdir | fx.Symlink | fx.Unlink):
        return {seq}
    own = [op for op in ops if op.effect is not None and getattr(op.effect, "ino", None) == ino]
    at = next(index for index, op in enumerate(own) if op.seq == seq)
    start = _opening(own, at)
    if start is None:
        return {seq}
    end = _closing(own, start)
    published = [op for op in own[start : end + 1] if isinstance(op.effect, fx.Rename | fx.Link)]
    if at > end or (not published and any(isinstance(op.effect, fx.Sync) for op in own[start:at])):
        return {seq}
    if not published:
        end = next((index for index in range(at, end + 1) if isinstance(own[index].effect, fx.Sync)), end)
    return {op.seq for op in own[start : end + 1]}


def _opening(own: Sequence[Op], at: int) -> int | None:
    """Where the save that operation `at` of a file belongs to begins: the last creation or emptying before it."""
    for index in range(at, -1, -1):
        effect = own[index].effect
        if isinstance(effect, fx.Create) or (isinstance(effect, fx.Truncate) and effect.size == 0):
            return index
    return None


def _closing(own: Sequence[Op], start: int) -> int:
    """Where it ends: at the close, and the names that the file is given after that, before it is changed again."""
    closed = False
    end = start
    for index in range(start + 1, len(own)):
        effect = own[index].effect
        change = isinstance(effect, fx.Write | fx.Truncate)
        if (change and (closed or (isinstance(effect, fx.Truncate) and effect.size == 0))) or isinstance(effect, fx.Create):
            break
        closed = closed or isinstance(effect, fx.Close)
        end = index
        if closed and isinstance(effect, fx.Rename):
            break
    return end


def _disk_op(ops: Sequence[Op], seq: int, verb: str) -> Op:
    found = next((op for op in ops if op.seq == seq), None)
    if found is None or found.lane is not Lane.DISK or found.effect is None:
        what = (
            "there is no such op" if found is None else f"it is {found.kind!r} on the {found.lane.value} lane, without an effect"
        )
        raise UsageError(
            f"cannot {verb} op {seq}: {what}",
            why="only what reached the disk can be lost on it",
            fix="give the number of a disk operation that succeeded",
        )
    return found


class _Rewrite:
    """Replays a log twice at once: as it was recorded, and as it was stored."""

    def __init__(self, initial: Image, changed: Mapping[int, object]) -> None:
        self._changed = changed
        inos = {"": fx.ROOT, **number(initial)}
        self._gone: set[int] = set()
        self._names: dict[tuple[int, str], int | None] = {}
        self._recorded = {inos[file.path]: len(file.data) for file in initial.files}
        self._stored = dict(self._recorded)

    def run(self, ops: Iterable[Op]) -> list[Op]:
        return [self._op(op) for op in ops]

    def _op(self, op: Op) -> Op:
        effect = op.effect
        if op.lane is not Lane.DISK or effect is None:
            return op
        if isinstance(effect, fx.Write):
            self._learn(effect)
        stored = self._changed.get(op.seq, effect)
        if stored is not None:
            stored = self._fitted(stored)
        if isinstance(effect, fx.Write | fx.Truncate | fx.Create):
            self._resize(self._recorded, effect)
            if stored is not None:
                self._resize(self._stored, stored)
        if stored is None:
            self._lose(effect)
        else:
            self._note(stored)
        return op if stored == effect else replace(op, effect=stored)

    def _lose(self, effect: object) -> None:
        """Remember what the disk does not have, or still has, because this was not stored."""
        match effect:
            case fx.Create(parent=parent, name=name, ino=ino) | fx.Mkdir(parent=parent, name=name, ino=ino):
                self._gone.add(ino)
                self._names.setdefault((parent, name), None)
            case fx.Symlink(parent=parent, name=name, ino=ino):
                self._gone.add(ino)
                self._names.setdefault((parent, name), None)
            case fx.Link(parent=parent, name=name):
                self._names.setdefault((parent, name), None)
            case fx.Unlink(parent=parent, name=name, ino=ino) | fx.Rmdir(parent=parent, name=name, ino=ino):
                self._names.setdefault((parent, name), ino)
            case fx.Rename():
                self._names.setdefault((effect.parent, effect.name), effect.ino)
                self._names.setdefault((effect.new_parent, effect.new_name), effect.replaced)

    def _note(self, effect: object) -> None:
        match effect:
            case fx.Rename() if effect.replaced != effect.ino:
                self._names[effect.parent, effect.name] = None
                self._names[effect.new_parent, effect.new_name] = effect.ino
            case fx.Unlink(parent=parent, name=name) | fx.Rmdir(parent=parent, name=name):
                self._names[parent, name] = None
            case fx.Create() | fx.Mkdir() | fx.Symlink() | fx.Link():
                self._names[effect.parent, effect.name] = effect.ino

    def _fitted(self, effect: object) -> object:
        """The same effect on what is really there; None if there is nothing that it could act on."""
        if getattr(effect, "ino", None) in self._gone or getattr(effect, "parent", None) in self._gone:
            return None
        match effect:
            case fx.Write(ino=ino, append=True):
                return replace(effect, offset=self._stored.get(ino, effect.offset))
            case fx.Unlink(parent=parent, name=name, ino=ino) | fx.Rmdir(parent=parent, name=name, ino=ino):
                return effect if self._names.get((parent, name), ino) == ino else None
            case fx.Rename(ino=ino):
                if effect.new_parent in self._gone or self._names.get((effect.parent, effect.name), ino) != ino:
                    return None
                return replace(effect, replaced=self._names.get((effect.new_parent, effect.new_name), effect.replaced))
        return effect

    def _learn(self, effect: fx.Write) -> None:
        """Infer the size of a file from before the log: an append shows it, any other write is taken to start at the end."""
        known = self._recorded.get(effect.ino)
        if known is None or (effect.append and effect.offset > known):
            self._recorded[effect.ino] = self._stored[effect.ino] = effect.offset

    @staticmethod
    def _resize(sizes: dict[int, int], effect: object) -> None:
        match effect:
            case fx.Create(ino=ino):
                sizes[ino] = 0
            case fx.Truncate(ino=ino, size=size):
                sizes[ino] = size
            case fx.Write(ino=ino, offset=offset, data=data):
                sizes[ino] = max(sizes.get(ino, 0), offset + len(data))
