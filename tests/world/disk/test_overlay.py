"""Dropped and torn writes rewrite the log; the result is what such a disk holds, under every model."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_durability.errors import UsageError
from pytest_durability.history import History, Lane, Op
from pytest_durability.persistence import MODELS, PROCESS_KILL
from pytest_durability.world.disk.chains import Chains
from pytest_durability.world.disk.cuts import walk
from pytest_durability.world.disk.effects import (
    Close,
    Create,
    Link,
    Mkdir,
    Rename,
    Symlink,
    Sync,
    SyncDir,
    Truncate,
    Unlink,
    Write,
)
from pytest_durability.world.disk.image import EMPTY, File, Image
from pytest_durability.world.disk.overlay import drop, save_around, tear

OLD = Image((File("s.json", b"old", 1),))


def log(*effects: object) -> list[Op]:
    """One disk op per effect."""
    history = History()
    for effect in effects:
        history.add(Lane.DISK, type(effect).__name__.lower(), effect=effect)
    return list(history)


def final(ops: list[Op], image: Image = EMPTY) -> dict[str, bytes]:
    """What is on disk at the end, if nothing more is lost."""
    return list(walk(Chains.build(image, ops, PROCESS_KILL)))[-1].image().data()


def test_an_append_after_a_dropped_one_lands_at_the_real_end():
    """The lost line leaves no hole, because O_APPEND writes to the end that the file has."""
    ops = log(Create(0, "log", 1), *(Write(1, at * 2, b"%d\n" % at, append=True) for at in range(3)), Sync(1))
    assert final(drop(ops, {3})) == {"log": b"0\n2\n"}


def test_a_write_after_a_dropped_one_keeps_its_place():
    """A plain write goes to its offset; what was lost before it reads as zeros."""
    ops = log(Create(0, "log", 1), Write(1, 0, b"0\n"), Write(1, 2, b"1\n"), Write(1, 4, b"2\n"))
    assert final(drop(ops, {3})) == {"log": b"0\n\0\0" + b"2\n"}


@pytest.mark.parametrize("initial", [OLD, EMPTY], ids=["known", "inferred"])
def test_the_end_of_an_old_file_is_known_or_inferred(initial):
    """Appends to a file from before the log show how long it was."""
    ops = log(Write(1, 3, b"1", append=True), Write(1, 4, b"2", append=True), Write(1, 5, b"3", append=True))
    assert final(drop(ops, {1}, initial=initial), OLD) == {"s.json": b"old23"}
    assert final(drop(ops, {2}, initial=initial), OLD) == {"s.json": b"old13"}


def test_a_file_whose_creation_was_dropped_never_exists():
    """Writes, syncs and names of it vanish with it."""
    ops = log(Create(0, "t", 2), Write(2, 0, b"x"), Sync(2), Close(2), Link(0, "u", 2), Rename(0, "t", 0, "s.json", 2, 1))
    assert final(drop(ops, {1}, initial=OLD), OLD) == {"s.json": b"old"}


def test_what_is_in_a_dropped_directory_never_exists():
    """Files, links and directories below it vanish."""
    ops = log(
        Mkdir(0, "d", 2), Create(2, "f", 3), Write(3, 0, b"x"), Mkdir(2, "e", 4), Symlink(4, "ln", 5, "f"), Unlink(4, "ln", 5)
    )
    assert final(drop(ops, {1})) == {}


def test_a_dropped_rename_leaves_the_previous_version():
    """The new content stays under its temporary name, and later renames see the file that is there."""
    ops = log(Create(0, "t", 2), Write(2, 0, b"new"), Rename(0, "t", 0, "s.json", 2, 1), SyncDir(0))
    assert final(drop(ops, {3}), OLD) == {"s.json": b"old", "t": b"new"}
    ops += [Op(5, Lane.DISK, "rename", effect=Rename(0, "s.json", 0, "b.json", 2, None))]
    assert final(drop(ops, {3}), OLD) == {"s.json": b"old", "t": b"new"}


def test_a_dropped_unlink_leaves_the_file_to_be_replaced():
    """A rename onto the name replaces what is really there, which carries its data under ext4 as any replace does."""
    ops = log(Unlink(0, "s.json", 1), Create(0, "t", 2), Write(2, 0, b"new"), Rename(0, "t", 0, "s.json", 2, None))
    stored = drop(ops, {1})
    assert stored[3].effect == Rename(0, "t", 0, "s.json", 2, 1)
    assert final(stored, OLD) == {"s.json": b"new"}


def test_a_dropped_write_is_lost_although_it_was_synced():
    """The sync lied; the numbers and acknowledgements of the log stay."""
    ops = log(Write(1, 3, b"er"), Sync(1))
    stored = drop(ops, {1})
    assert [(op.seq, op.kind) for op in stored] == [(1, "write"), (2, "sync")]
    for model in [model for model in MODELS.values() if model.mount is None]:
        assert {cut.image().data()["s.json"] for cut in walk(Chains.build(OLD, stored, model))} == {b"old"}


def test_nothing_dropped_is_nothing_changed():
    """The log itself comes back, op by op."""
    ops = log(Create(0, "log", 1), Write(1, 0, b"x", append=True))
    assert [old is new for old, new in zip(ops, drop(ops, ()), strict=True)] == [True, True]


def test_a_torn_write_keeps_its_beginning():
    """Later appends go on where it really ended."""
    ops = log(Create(0, "log", 1), Write(1, 0, b"first\n", append=True), Write(1, 6, b"second\n", append=True))
    assert final(tear(ops, 2, 2)) == {"log": b"fisecond\n"}
    assert final(tear(ops, 3, 0)) == {"log": b"first\n"}
    assert final(tear(ops, 3, 7)) == final(ops)


@pytest.mark.parametrize("keep", [-1, 2])
def test_a_tear_is_within_the_write(keep):
    """More than was written cannot be kept."""
    with pytest.raises(UsageError, match=f"cannot keep {keep} bytes"):
        tear(log(Create(0, "log", 1), Write(1, 0, b"x")), 2, keep)


def test_only_what_reached_the_disk_can_be_lost():
    """Acknowledgements, failed operations and unknown numbers are refused."""
    history = History(log(Create(0, "log", 1)))
    history.add(Lane.USER, "append", "t1")
    history.add(Lane.DISK, "write", "log")
    for seq in (2, 3, 4):
        with pytest.raises(UsageError, match=f"cannot lose op {seq}"):
            drop(list(history), {seq})
    with pytest.raises(UsageError, match="not a write"):
        tear(list(history), 1, 0)


SAVE = [
    Create(0, "t", 2),
    Write(2, 0, b"ne"),
    Write(2, 2, b"w"),
    Sync(2),
    Close(2),
    Rename(0, "t", 0, "s.json", 2, 1),
    SyncDir(0),
]


@pytest.mark.parametrize("seq", [1, 2, 3, 4, 5, 6])
def test_a_save_is_everything_from_open_to_rename(seq):
    """Whichever op is named, the file keeps its previous version and the temporary file is gone."""
    ops = log(*SAVE)
    assert save_around(ops, seq) == {1, 2, 3, 4, 5, 6}
    assert final(drop(ops, save_around(ops, seq)), OLD) == {"s.json": b"old"}


def test_a_save_in_place_is_everything_from_truncation_to_close():
    """The earlier save of the same file and the later append are not part of it."""
    ops = log(
        Truncate(1, 0), Write(1, 0, b"a"), Close(1), Truncate(1, 0), Write(1, 0, b"b"), Close(1), Write(1, 1, b"c", append=True)
    )
    assert save_around(ops, 2) == {1, 2, 3}
    assert save_around(ops, 5) == {4, 5, 6}
    assert save_around(ops, 7) == {7}
    assert final(drop(ops, {4, 5, 6}, initial=OLD), OLD) == {"s.json": b"ac"}


def test_an_append_to_a_file_that_is_held_open_is_a_save_by_itself():
    """What was synced before it is not lost with it."""
    ops = log(Create(0, "log", 1), Write(1, 0, b"a"), Sync(1), Write(1, 1, b"b"), Sync(1))
    assert save_around(ops, 4) == {4}
    assert save_around(ops, 2) == {1, 2, 3}


@pytest.mark.parametrize("effect", [Unlink(0, "s.json", 1), Mkdir(0, "d", 5), SyncDir(0), Symlink(0, "ln", 6, "x")])
def test_other_operations_are_saves_by_themselves(effect):
    """An unlink or a directory belongs to no save."""
    assert save_around(log(*SAVE, effect), 8) == {8}


@settings(max_examples=100, deadline=None)
@given(lines=st.lists(st.binary(min_size=1, max_size=5000), min_size=1, max_size=6), data=st.data())
def test_dropping_appends_is_writing_the_others(lines, data):
    """Any appends may be lost: the rest of the file is as if they had never been made."""
    effects: list[object] = [Create(0, "log", 1)]
    for line in lines:
        effects.append(Write(1, sum(len(e.data) for e in effects if isinstance(e, Write)), line, append=True))
    lost = data.draw(st.sets(st.integers(2, len(effects))))
    kept = [line for at, line in enumerate(lines, start=2) if at not in lost]
    assert final(drop(log(*effects), lost)) == {"log": b"".join(kept)}
