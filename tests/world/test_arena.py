"""The directory in which a store lives and dies: where it is, that it is given back, and who may use it."""

from __future__ import annotations

import gc
import os
import threading

import pytest

from pytest_durability.errors import UsageError
from pytest_durability.world import arena as arena_module
from pytest_durability.world.arena import GRAVES, Arena, memory_directory
from pytest_durability.world.disk.image import File, Image, snapshot
from pytest_durability.world.process import in_child

SHM = "/dev/shm"  # noqa: S108  where Linux has its tmpfs
IMAGE = Image((File("a", b"one", 1), File("d/b", b"two", 2), File("d/c", b"two", 2)), ("d", "e"), (("l", "a"),))


def test_a_mounted_image_is_what_is_read_back():
    """Files, hard links, directories and symbolic links; a second mount replaces all of it, in new inodes."""
    with Arena() as arena:
        arena.mount(IMAGE)
        assert snapshot(arena.root).key() == IMAGE.key()
        assert (arena.root / "d/b").stat().st_nlink == 2
        before = (arena.root / "a").stat().st_ino
        arena.mount(IMAGE)
        assert snapshot(arena.root).key() == IMAGE.key()
        assert (arena.root / "a").stat().st_ino != before


def test_without_memory_it_works_on_disk(monkeypatch, tmp_path):
    """No tmpfs: the temporary directory serves."""
    monkeypatch.setattr(arena_module, "memory_directory", lambda: None)
    monkeypatch.setattr(arena_module.tempfile, "gettempdir", lambda: str(tmp_path))
    with Arena() as arena:
        assert tmp_path.resolve() in arena.root.parents
        arena.mount(IMAGE)
        assert snapshot(arena.root).key() == IMAGE.key()
    assert list(tmp_path.iterdir()) == []


def test_the_root_has_a_path_of_the_same_length_each_time():
    """Stores may write their path to disk, and the layout of pages must not depend on the process number."""
    lengths = set()
    for _ in range(2):
        with Arena() as arena:
            lengths.add(len(str(arena.root)))
    assert len(lengths) == 1


class Grave:
    """Something that tries to write when it is finalised."""

    def __init__(self, path):
        self.path = path

    def __del__(self):
        with open(self.path, "w") as file:
            file.write("from the grave")

    def finalise(self):
        """Nothing to do before that."""


def test_the_dead_cannot_write():
    """Finalisers of buried lives run with the root gated shut."""
    with Arena() as arena:
        path = arena.root / "haunted"
        for _ in range(GRAVES):
            arena.bury(Grave(path))
        gc.collect()
        assert not path.exists()


def test_dead_cycles_cannot_write_either():
    """The same for objects that only the garbage collector finds."""
    with Arena() as arena:
        path = arena.root / "haunted"
        grave = Grave(path)
        grave.me = grave
        arena.bury(grave)
        del grave
        arena.bury_all()
        assert not path.exists()


def test_a_forked_child_leaves_the_directory_alone():
    """A child that inherited the arena may open its own, and takes nothing away from its parent."""

    def child():
        with Arena() as own:
            own.mount(IMAGE)
            return str(own.root)

    with Arena() as arena:
        arena.mount(IMAGE)
        ended = in_child(child)
        assert ended.error is None
        assert ended.value != str(arena.root)
        assert snapshot(arena.root).key() == IMAGE.key()


def test_the_garbage_collector_is_left_as_it_was():
    """What the arena froze is thawed."""
    before = gc.get_freeze_count()
    with Arena():
        assert gc.get_freeze_count() > before
    assert gc.get_freeze_count() <= before


def test_a_second_arena_is_refused_from_any_thread():
    """The patches are process-wide, so a thread cannot have a world of its own."""
    errors = []

    def other():
        try:
            with Arena():
                pass
        except UsageError as error:
            errors.append(str(error))

    with Arena():
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert len(errors) == 1


@pytest.mark.skipif(not os.path.isdir(SHM), reason="this system has no tmpfs there")
def test_memory_is_used_where_there_is_some():
    """On Linux the root is on tmpfs."""
    assert memory_directory() == SHM
