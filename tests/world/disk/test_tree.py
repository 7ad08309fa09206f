"""The mirror of the root: fed by effects alone, it shows what the log explains."""

from __future__ import annotations

import pytest

from pytest_durability.world.disk import effects as fx
from pytest_durability.world.disk.image import EMPTY, File, Image, number
from pytest_durability.world.disk.tree import Tree

IMAGE = Image(
    files=(File("a", b"one", 70), File("d/b", b"two", 71), File("d/c", b"one", 70)),
    dirs=("d", "d/e"),
    links=(("s", "a"),),
)


def test_an_untouched_tree_is_its_image():
    """Nothing was applied: the image comes back as it was given."""
    assert Tree.from_image(IMAGE).image() is IMAGE


def test_inodes_are_those_of_the_common_numbering():
    """The tree and everybody else number an initial image alike; hard links share a number."""
    tree = Tree.from_image(IMAGE)
    assert {path: tree.lookup(path) for path in number(IMAGE)} == number(IMAGE)
    assert tree.lookup("a") == tree.lookup("d/c")
    assert (tree.lookup(""), tree.lookup(".")) == (0, 0)
    assert tree.fresh() == max(number(IMAGE).values()) + 1


@pytest.mark.parametrize("path", ["x", "a/x", "d/x", "d/e/x", "s/x"])
def test_what_is_not_there_is_not_found(path):
    """A name that does not exist, or that lies below a file, has no inode."""
    assert Tree.from_image(IMAGE).lookup(path) is None


def test_paths_follow_renames_and_links():
    """path_of gives a present name as long as there is one, then the last one."""
    tree = Tree.from_image(EMPTY)
    for effect in (fx.Mkdir(0, "d", 1), fx.Create(1, "a", 2), fx.Link(0, "b", 2)):
        tree.apply(effect)
    assert tree.path_of(2) == "d/a"
    tree.apply(fx.Rename(0, "d", 0, "e", 1, None, directory=True))
    assert (tree.path_of(1), tree.path_of(2)) == ("e", "e/a")
    tree.apply(fx.Unlink(1, "a", 2))
    assert (tree.path_of(2), tree.linked(2)) == ("b", True)
    tree.apply(fx.Unlink(0, "b", 2))
    assert (tree.path_of(2), tree.linked(2)) == ("b", False)
    tree.apply(fx.Rmdir(0, "e", 1))
    assert tree.image() == EMPTY


def test_contents_follow_writes_and_truncates():
    """Holes and extensions are zeros; sync and close change nothing."""
    tree = Tree.from_image(Image(files=(File("a", b"12345", 1),)))
    for effect in (fx.Write(1, 7, b"xy"), fx.Truncate(1, 8), fx.Truncate(1, 10), fx.Write(1, 0, b"ab"), fx.Sync(1), fx.Close(1)):
        tree.apply(effect)
    assert tree.image().data() == {"a": b"ab345\0\0x\0\0"}


def test_a_replaced_file_is_gone_and_the_new_one_has_its_name():
    """A rename over a name takes that name from the file that had it."""
    tree = Tree.from_image(IMAGE)
    new = tree.fresh()
    old = tree.lookup("d/b")
    tree.apply(fx.Create(0, "tmp", new))
    tree.apply(fx.Rename(0, "tmp", tree.lookup("d"), "b", new, old))
    assert tree.lookup("d/b") == new
    assert not tree.linked(old)
    assert tree.image().data() == {"a": b"one", "d/b": b"", "d/c": b"one"}


def test_an_image_is_taken_anew_after_each_change():
    """An image that was asked for is not changed by later effects."""
    tree = Tree.from_image(IMAGE)
    tree.apply(fx.Write(1, 0, b"ONE"))
    first = tree.image()
    assert tree.image() is first
    tree.apply(fx.Symlink(0, "t", tree.fresh(), "d"))
    assert tree.symlinks
    assert first.links == (("s", "a"),)
    assert tree.image().links == (("s", "a"), ("t", "d"))
    assert tree.image().data() == {"a": b"ONE", "d/b": b"two", "d/c": b"ONE"}
    assert (tree.is_dir(tree.lookup("d")), tree.is_link(tree.lookup("t")), tree.entries(0)["t"]) == (True, True, tree.lookup("t"))
