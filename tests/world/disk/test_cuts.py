"""Crash states of logs that are small enough to say by hand what they are."""

from __future__ import annotations

import sys

import pytest

from pytest_durability.errors import RecorderError, UsageError
from pytest_durability.history import History, Lane, Op
from pytest_durability.persistence import EXT4_DELALLOC, EXT4_NOAUTO, MODELS, POSIX, PROCESS_KILL, STRICT
from pytest_durability.world.disk.chains import Chains
from pytest_durability.world.disk.cuts import Cut, find, walk
from pytest_durability.world.disk.effects import (
    Close,
    Create,
    Link,
    Mkdir,
    Rename,
    Rmdir,
    Symlink,
    Sync,
    SyncAll,
    SyncDir,
    Truncate,
    Unlink,
    Write,
)
from pytest_durability.world.disk.image import EMPTY, File, Image, number
from pytest_durability.world.disk.tree import Tree

LOCAL = [model for model in MODELS.values() if model.mount is None]
"""The models of local file systems."""

OLD = Image((File("s.json", b"old", 7),))


def log(*effects: object) -> list[Op]:
    """One disk op per effect; None stands for a failed one."""
    history = History()
    for effect in effects:
        history.add(Lane.DISK, type(effect).__name__.lower(), effect=effect, site=f"store.py:{len(history) + 1}")
    return list(history)


def cuts(model, *effects: object, image: Image = EMPTY, **bounds: int | None) -> list[Cut]:
    """All crash states of a log, without bounds unless they are given."""
    bounds = {"lagging": None, "versions": None, **bounds}
    return list(walk(Chains.build(image, log(*effects), model), **bounds))


def files_after(model, *effects: object, image: Image = EMPTY) -> list[dict[str, bytes]]:
    """What may be found if the crash comes after the last op; each content once."""
    found = {cut.content: cut.image().data() for cut in cuts(model, *effects, image=image) if cut.last == len(effects)}
    return list(found.values())


def same(found: list[dict[str, bytes]], *expected: dict[str, bytes]) -> bool:
    """Whether two collections of directory contents are equal, in any order."""
    return sorted(map(repr, map(sorted, (f.items() for f in found)))) == sorted(
        map(repr, map(sorted, (f.items() for f in expected)))
    )


def appends(count: int, sync_every: int = 0) -> list[object]:
    """A log file whose name is durable, then appends of 8 bytes."""
    made: list[object] = [Create(0, "log", 1), SyncDir(0)]
    for at in range(count):
        made.append(Write(1, at * 8, b"%07d\n" % at, append=True))
        if sync_every and at % sync_every == sync_every - 1:
            made.append(Sync(1))
    return made


# -- one file


@pytest.mark.parametrize(
    ("model", "states"),
    [(PROCESS_KILL, 18), (STRICT, 18), (EXT4_DELALLOC, 18), (EXT4_NOAUTO, 18), (POSIX, 154)],
    ids=str,
)
def test_sixteen_appends_in_one_page(model, states):
    """Every prefix under ext4, also prefixes with a tail of zeros under posix: 17 and 153, and the empty directory."""
    contents = {cut.content for cut in cuts(model, *appends(16))}
    assert len(contents) == states


def test_ext4_never_shows_zeros_after_an_append():
    """A size is on disk only with the pages it covers, so an unsynced append is there or not."""
    for cut in cuts(EXT4_DELALLOC, *appends(4)):
        assert b"\0" not in cut.image().data().get("log", b"")


def test_posix_may_keep_a_size_without_its_page():
    """Size and page persist independently, so a lost append may leave zeros."""
    assert {"log": bytes(8)} in files_after(POSIX, *appends(1))


@pytest.mark.parametrize("model", LOCAL, ids=str)
def test_nothing_synced_is_lost(model):
    """After fsync of file and directory one state is left."""
    effects = [Create(0, "log", 1), Write(1, 0, b"line\n"), Sync(1), SyncDir(0)]
    assert same(files_after(model, *effects), {"log": b"line\n"})


def test_posix_fsync_of_a_file_does_not_keep_its_name():
    """POSIX asks for fsync of the directory; ext4 commits the name with the file."""
    effects = [Create(0, "log", 1), Write(1, 0, b"line\n"), Sync(1)]
    assert same(files_after(POSIX, *effects), {"log": b"line\n"}, {})
    assert same(files_after(EXT4_DELALLOC, *effects), {"log": b"line\n"})


@pytest.mark.parametrize("model", LOCAL, ids=str)
def test_truncate_then_extend_never_shows_the_old_bytes(model):
    """What a truncation cut off does not come back under a later size."""
    effects = [Truncate(1, 1), Truncate(1, 3)]
    for cut in cuts(model, *effects, image=OLD):
        assert cut.image().data()["s.json"] in (b"old", b"o", b"o\0\0", b"\0\0\0", b"ol\0", b"o\0")


@pytest.mark.parametrize("model", [EXT4_DELALLOC, EXT4_NOAUTO], ids=str)
def test_an_overwrite_in_place_may_be_lost_although_a_later_truncation_is_kept(model):
    """ext4 journals the truncation and writes back the other page when it likes."""
    image = Image((File("a", b"x" * 9000, 1),))
    found = files_after(model, Write(1, 0, b"NEW"), Truncate(1, 8192), image=image)
    assert {"a": b"x" * 8192} in found
    assert {"a": b"NEW" + b"x" * 8997} in found


def test_ext4_loses_a_younger_size_with_an_older_name():
    """Names and sizes share one journal: an append is not kept if a rename before it is lost."""
    image = Image((File("a", b"1", 1), File("b", b"2", 2)))
    effects = [Rename(0, "a", 0, "c", 1, None), Write(2, 1, b"3", append=True)]
    assert {"a": b"1", "b": b"23"} not in files_after(EXT4_NOAUTO, *effects, image=image)
    assert {"a": b"1", "b": b"23"} in files_after(POSIX, *effects, image=image)


def test_a_failed_operation_has_no_effect():
    """An op without an effect is a moment, nothing more."""
    assert same(files_after(POSIX, None, Write(1, 3, b"er"), None, Sync(1), image=OLD), {"s.json": b"older"})


# -- saves


def save(*, sync: bool, dir_sync: bool = False) -> list[object]:
    """A save through a temporary file."""
    made = [Create(0, "tmp", 9), Write(9, 0, b"new!"), *([Sync(9)] if sync else []), Close(9)]
    return [*made, Rename(0, "tmp", 0, "s.json", 9, 1), *([SyncDir(0)] if dir_sync else [])]


def test_ext4_replaces_with_the_data_or_not_at_all():
    """auto_da_alloc: rename over an existing file carries the data along; without it an empty file is legal."""
    found = files_after(EXT4_DELALLOC, *save(sync=False), image=OLD)
    assert {files["s.json"] for files in found} == {b"old", b"new!"}
    found = files_after(EXT4_NOAUTO, *save(sync=False), image=OLD)
    assert {files["s.json"] for files in found} == {b"old", b"new!", b""}


def test_posix_may_lose_both_names_of_a_renamed_file():
    """The two names move independently: both, either, or (where nothing had the new name) neither."""
    image = Image((File("a", b"1", 1),))
    found = files_after(POSIX, Rename(0, "a", 0, "b", 1, None), image=image)
    assert same(found, {"a": b"1"}, {"b": b"1"}, {"a": b"1", "b": b"1"}, {})


def test_a_full_save_leaves_old_or_new_under_posix_too():
    """With fsync of file and directory there is no moment without a complete file."""
    for cut in cuts(POSIX, *save(sync=True, dir_sync=True), image=OLD):
        assert cut.image().data()["s.json"] in (b"old", b"new!")
    assert same(files_after(POSIX, *save(sync=True, dir_sync=True), image=OLD), {"s.json": b"new!"})


IN_PLACE = [Truncate(1, 0), Write(1, 0, b"new!"), Write(1, 4, b"more")]


def test_ext4_allocates_at_close_what_was_truncated_to_zero():
    """After the close the old file or the whole new one is found; before it, and without the option, also an empty one."""
    before = {files["s.json"] for files in files_after(EXT4_DELALLOC, *IN_PLACE, image=OLD)}
    after = {files["s.json"] for files in files_after(EXT4_DELALLOC, *IN_PLACE, Close(1), image=OLD)}
    without = {files["s.json"] for files in files_after(EXT4_NOAUTO, *IN_PLACE, Close(1), image=OLD)}
    assert before == without == {b"old", b"", b"new!", b"new!more"}
    assert after == {b"old", b"new!more"}


def test_the_state_before_the_truncation_outlives_the_close():
    """Its interval is one piece, around the versions that end at the close."""
    [old] = [cut for cut in cuts(EXT4_DELALLOC, *IN_PLACE, Close(1), None, image=OLD) if cut.first == 0]
    assert (old.first, old.last) == (0, 5)


@pytest.mark.parametrize("sync", [Sync(1), Sync(2), SyncDir(0)], ids=str)
def test_a_sync_after_the_truncation_leaves_no_old_file_to_fall_back_on(sync):
    """Once an fsync has committed the truncation, what came after it stays possible at the close."""
    image = Image((File("s.json", b"old", 1), File("z", b"", 2)))
    effects = [IN_PLACE[0], sync, *IN_PLACE[1:], Close(1)]
    found = {files["s.json"] for files in files_after(EXT4_DELALLOC, *effects, image=image)}
    assert found == {b"", b"new!", b"new!more"}


def test_a_truncation_takes_along_what_was_created_after_it():
    """If the truncated file is old, everything later in the journal is lost too."""
    effects = [Truncate(1, 0), Create(0, "b", 2), Write(1, 0, b"new"), Close(1)]
    assert same(files_after(EXT4_DELALLOC, *effects, image=OLD), {"s.json": b"old"}, {"s.json": b"new", "b": b""})


# -- names


@pytest.mark.parametrize("model", LOCAL, ids=str)
def test_a_directory_rename_is_one_step(model):
    """The directory is at one of the two places, with what was durable in it."""
    image = Image((File("d/x", b"x", 1),), ("d",))
    found = files_after(model, Rename(0, "d", 0, "e", 1, None, directory=True), image=image)
    assert all(files in ({"d/x": b"x"}, {"e/x": b"x"}) for files in found)


def test_a_directory_never_moves_into_one_that_is_not_there():
    """Under posix the new parent may be lost, but not with a directory that was durable before."""
    image = Image((File("d/x", b"x", 1),), ("d",))
    effects = [Mkdir(0, "e", 5), Rename(0, "d", 5, "d", 1, None, directory=True)]
    for files in files_after(POSIX, *effects, image=image):
        assert list(files) in (["d/x"], ["e/d/x"])


def test_syncing_one_parent_settles_both_halves_of_a_directory_rename():
    """Half of a directory rename cannot be durable."""
    image = Image((File("d/x", b"x", 1),), ("d",))
    effects = [Mkdir(0, "e", 5), SyncDir(0), Rename(0, "d", 5, "d", 1, None, directory=True), SyncDir(5)]
    assert same(files_after(POSIX, *effects, image=image), {"e/d/x": b"x"})


def test_an_open_file_that_lost_its_name_is_not_seen():
    """Writes to an unlinked file make no state of their own, except where the unlink may be lost."""
    effects = [Unlink(0, "s.json", 1), Write(1, 0, b"OLD")]
    assert len(cuts(PROCESS_KILL, *effects, image=OLD)) == 2
    assert same(files_after(POSIX, *effects, image=OLD), {}, {"s.json": b"old"}, {"s.json": b"OLD"})


def test_hard_links_show_one_file():
    """Both names show the same bytes in every state, and one of them may be lost."""
    effects = [Link(0, "b", 1), Write(1, 3, b"er", append=True)]
    found = files_after(EXT4_DELALLOC, *effects, image=OLD)
    assert same(found, {"s.json": b"old"}, {"s.json": b"old", "b": b"old"}, {"s.json": b"older", "b": b"older"})


def test_links_and_directories_are_part_of_a_state():
    """Symbolic links and empty directories come and go like files."""
    last = cuts(STRICT, Mkdir(0, "d", 1), Symlink(1, "ln", 2, "../x"), Mkdir(0, "e", 3), Rmdir(0, "e", 3))[-1]
    assert last.image() == Image((), ("d",), (("d/ln", "../x"),))
    assert last.last == 4


def test_sync_of_everything_leaves_one_state():
    """sync(2) makes files and names durable in every model."""
    for model in LOCAL:
        effects = [Mkdir(0, "d", 1), Create(1, "f", 2), Write(2, 0, b"x"), Truncate(2, 5), SyncAll()]
        assert same(files_after(model, *effects), {"d/f": b"x\0\0\0\0"})


def test_a_rename_onto_another_name_of_the_same_file_does_nothing():
    """rename(2) leaves both hard links alone."""
    image = Image((File("a", b"1", 1), File("b", b"1", 1)))
    assert len(cuts(POSIX, Rename(0, "a", 0, "b", 1, 1), image=image)) == 1


# -- the walk


def test_the_initial_state_comes_first_and_once():
    """Crash point 0: nothing has happened."""
    found = cuts(POSIX, *appends(2))
    assert [cut for cut in found if cut.first == 0] == [found[0]]
    assert found[0].image() == EMPTY
    assert [cut.first for cut in cuts(POSIX)] == [0]


def test_fewest_losses_come_first_over_the_whole_log():
    """Nothing behind at any op, then one chain behind, then two."""
    counts = [len(cut.lag) for cut in cuts(POSIX, *appends(6), lagging=2)]
    assert counts == sorted(counts)
    assert set(counts) == {0, 1}


def test_a_limit_takes_the_last_cuts_and_says_so():
    """`limited` is True only if something was left."""
    chains = Chains.build(EMPTY, log(*appends(4)), POSIX)
    everything = list(walk(chains))
    for limit in (0, 1, len(everything) - 1):
        limited = walk(chains, limit=limit)
        assert list(limited) == everything[:limit]
        assert limited.limited
        assert limited.cut_short
    enough = walk(chains, limit=len(everything))
    assert list(enough) == everything
    assert not enough.limited


def test_the_durable_version_is_within_any_bound():
    """A chain may be behind by few versions, or at its durable one."""
    effects = [*(Write(1, 0, b"%d" % at) for at in range(8)), Create(0, "other", 2)]
    bounded = walk(Chains.build(OLD, log(*effects), POSIX), lagging=1, versions=1)
    assert {cut.image().data()["s.json"] for cut in bounded if cut.first == len(effects)} == {b"7ld", b"6ld", b"old"}
    assert bounded.bounded


@pytest.mark.parametrize("name", ["lagging", "versions", "limit"])
def test_a_bound_below_zero_is_refused(name):
    """A bound that leaves nothing is a mistake of the caller."""
    with pytest.raises(UsageError, match=f"{name} is -1"):
        walk(Chains.build(EMPTY, [], POSIX), **{name: -1})


def test_a_thousand_files_do_not_recurse():
    """The walk is as deep as the number of chains behind, not as the number of files."""
    effects: list[object] = []
    for at in range(300):
        effects += [Create(0, f"f{at}", at + 1), Write(at + 1, 0, b"x")]
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(220)
    try:
        assert len(cuts(POSIX, *effects, lagging=2, limit=2000)) == 2000
    finally:
        sys.setrecursionlimit(limit)


# -- names of chains, losses


def test_lag_names_chains_by_path():
    """Names are readable, and those of removed or strange files stay unique."""
    effects = [Create(0, "a#1", 1), Write(1, 0, b"x"), Create(0, "a", 2), Unlink(0, "a", 2), Create(0, "a", 3), Write(3, 0, b"y")]
    names = {name for cut in cuts(POSIX, *effects, Write(1, 1, b"x")) for name in cut.lag}
    assert {"name(a##1)<-1", "size(a##1)<-1", "page(a##1,0)<-1", "name(a)<-1", "name(a)<-3", "size(a)<-1"} <= names
    assert "names<-1" in {name for cut in cuts(EXT4_NOAUTO, *save(sync=False), Write(1, 0, b"O"), image=OLD) for name in cut.lag}


@pytest.mark.parametrize(
    ("born", "lag"),
    [
        (3, ("size(nothing)<-1",)),
        (3, ("size(log)<-9",)),
        (3, ("size(log)<-x",)),
        (3, ("size(log)",)),
        (3, ("size(log)<-1", "size(log)<-1")),
        (2, ()),
        (99, ()),
        (3, ("name(log)<-1",)),
    ],
)
def test_a_cut_that_does_not_fit_is_refused(born, lag):
    """A case from another log or model says so instead of replaying something else."""
    with pytest.raises(UsageError, match="there is no crash state"):
        find(Chains.build(EMPTY, log(*appends(2)), POSIX), born, lag)


def test_losses_name_operation_place_and_rule():
    """A report can say what was lost, where it was written, and why the file system may."""
    effects = [*appends(3, sync_every=2)]
    [short] = [cut for cut in cuts(EXT4_DELALLOC, *effects) if cut.first == 4 and not cut.lag]
    [loss] = short.losses()
    assert (loss.seq, loss.what, loss.site) == (6, "write log 8 B", "store.py:6")
    assert loss.why == "ext4 keeps data in memory until writeback (delalloc); nothing synced log after op 4"
    assert short.losses(5) == []


def test_losses_of_names_say_which_directory_was_not_synced():
    """Each model gives its own reason."""
    found = {cut.lag: cut for cut in cuts(POSIX, *save(sync=True), image=OLD) if cut.first == 5}
    [loss] = found["name(s.json)<-1",].losses()
    assert loss.what == "rename tmp to s.json"
    assert "nothing synced the root" in loss.why
    [first] = [cut for cut in cuts(EXT4_NOAUTO, *save(sync=False), image=OLD) if cut.first == 0]
    assert [loss.what for loss in first.losses()] == ["create tmp", "rename tmp to s.json"]
    assert "one journal" in first.losses()[0].why
    [first] = [cut for cut in cuts(PROCESS_KILL, *save(sync=False), image=OLD) if cut.first == 0]
    assert first.losses(1)[0].why == "the process was killed before op 1"


def test_unchanged_contents_are_shared():
    """Images of two states hold the same bytes object for a file that does not differ."""
    image = Image((File("a", b"a" * 9000, 1), File("b", b"", 2)))
    first, second = cuts(STRICT, Write(2, 0, b"x"), image=image)
    assert first.image().data()["a"] is second.image().data()["a"]


# -- logs that do not fit together


@pytest.mark.parametrize("effect", [Write(9, 0, b"x"), Truncate(9, 0), Sync(9), Close(9), Create(9, "x", 1), Unlink(9, "x", 1)])
def test_an_effect_on_something_unknown_is_refused(effect):
    """Crash states of an incomplete log would be wrong, so none are made."""
    with pytest.raises(RecorderError, match="which nothing made"):
        Chains.build(EMPTY, log(effect), POSIX)


def test_ops_out_of_order_are_refused():
    """Op numbers are the time axis."""
    first, second = log(None, None)
    with pytest.raises(RecorderError, match="comes after"):
        Chains.build(EMPTY, [second, first], POSIX)


def test_an_unknown_effect_is_refused():
    """An effect that nobody knows how to lose is not passed over."""
    with pytest.raises(RecorderError, match="unknown type"):
        Chains.build(EMPTY, log("surprise"), POSIX)


def test_all_disk_logs_number_an_image_alike():
    """Recorder and chains agree on inode numbers, also for hard links and for names that sort before a slash."""
    image = Image((File("a-b", b"", 3), File("a.c", b"", 4), File("a/x", b"", 3), File("z", b"", 5)), ("a",), (("a/l", "x"),))
    assert number(image) == {"a": 1, "a/l": 2, "a/x": 3, "a-b": 3, "a.c": 4, "z": 5}
    tree = Tree.from_image(image)
    assert {path: tree.lookup(path) for path in number(image)} == number(image)
