"""Images: the content of a tree as a value, with a key that tells any two apart."""

from __future__ import annotations

import os

from hypothesis import given
from hypothesis import strategies as st

from pytest_durability.world.disk.image import EMPTY, File, Image, number, snapshot

paths = st.text("ab1:/fdl", min_size=1, max_size=4)
contents = st.binary(max_size=4) | st.sampled_from([b"f1:a0:", b"1:a", b"d1:a"])


@st.composite
def images(draw):
    """Images with names and contents that look like each other's keys."""
    files = draw(st.dictionaries(paths, contents, max_size=3))
    return Image(
        tuple(File(path, data, ino) for ino, (path, data) in enumerate(sorted(files.items()), 1)),
        tuple(sorted(draw(st.sets(paths, max_size=2)))),
        tuple(sorted(draw(st.dictionaries(paths, paths, max_size=2)).items())),
    )


def content(image):
    """What a program can read."""
    return (image.data(), image.dirs, image.links)


@given(images(), images())
def test_keys_are_equal_exactly_if_contents_are(one, two):
    """Whatever names and bytes look like."""
    assert (one.key() == two.key()) == (content(one) == content(two))


def test_keys_do_not_run_names_and_bytes_together():
    """Moving the border between name, content, directory and link changes the key."""
    near = [
        EMPTY,
        Image((File("a", b"b", 1),)),
        Image((File("ab", b"", 1),)),
        Image((File("a", b"", 1), File("b", b"", 2))),
        Image(dirs=("a", "b")),
        Image(dirs=("ab",)),
        Image(links=(("a", "b"),)),
        Image(links=(("ab", ""),)),
        Image((File("\u00e9", b"", 1),)),
        Image((File("e", b"\xcc\x81", 1),)),
        Image((File("\udcff", b"", 1),)),
    ]
    assert len({image.key() for image in near}) == len(near)


def test_numbers_count_up_over_all_paths():
    """Files, directories and links share one sorted count from 1; hard links of a file have its number."""
    image = Image((File("a", b"", 50), File("d/x", b"", 50), File("z", b"", 7)), ("d",), (("b", "a"),))
    assert number(image) == {"a": 1, "b": 2, "d": 3, "d/x": 1, "z": 4}
    assert number(EMPTY) == {}


def test_a_snapshot_holds_what_a_program_can_read(tmp_path):
    """Files with their bytes, empty directories, links (also dangling ones and loops), hidden names; nothing else."""
    (tmp_path / "d" / "empty").mkdir(parents=True)
    (tmp_path / "d" / "f").write_bytes(b"\0\xff")
    os.link(tmp_path / "d" / "f", tmp_path / "hard")
    (tmp_path / ".hidden").write_bytes(b"")
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to(".")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / os.fsdecode(b"\xff\xfe")).write_bytes(b"x" * 3_000_000)
    image = snapshot(tmp_path)
    assert image.data() == {".hidden": b"", "d/f": b"\0\xff", "hard": b"\0\xff", "\udcff\udcfe": b"x" * 3_000_000}
    assert image.dirs == ("d", "d/empty")
    assert image.links == (("dangling", "nowhere"), ("loop", "."))
    inos = {file.path: file.ino for file in image.files}
    assert inos["d/f"] == inos["hard"] != inos[".hidden"]
    assert [file.path for file in image.files] == sorted(inos)


def test_an_empty_directory_is_the_empty_image(tmp_path):
    """So is what it gives to compare with."""
    assert snapshot(tmp_path) == EMPTY
    assert snapshot(os.fsencode(tmp_path).decode()).key() == EMPTY.key()
