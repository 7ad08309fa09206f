"""The functions of `os`: each one is carried out, recorded with what it did, and explained by the log afterwards."""

from __future__ import annotations

import os
import shutil
import stat

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_durability.errors import RecorderError
from pytest_durability.history import History, Outcome
from pytest_durability.world.disk import effects as fx
from pytest_durability.world.disk.image import EMPTY, snapshot
from pytest_durability.world.disk.interpose import interposed
from pytest_durability.world.disk.recorder import Recorder
from pytest_durability.world.disk.verify import verify

FLAGS = os.O_CREAT | os.O_RDWR


@pytest.fixture
def fd(bench):
    """A descriptor of the new file `f`, open for reading and writing, holding 0123456789."""
    number = os.open(bench.root / "f", FLAGS)
    os.write(number, b"0123456789")
    yield number
    os.close(number)


def content(bench, name="f"):
    """What the log says about a file."""
    return bench.recorder.tree.image().data()[name]


def test_flags_of_os_open(bench):
    """O_CREAT makes, O_TRUNC cuts, O_EXCL refuses, O_APPEND appends, and plain opens leave no op."""
    os.close(os.open(bench.root / "a", os.O_CREAT | os.O_WRONLY))
    fd = os.open(bench.root / "a", os.O_WRONLY | os.O_APPEND)
    os.write(fd, b"one")
    os.pwrite(fd, b"two", 0)
    os.close(fd)
    assert content(bench, "a") == b"onetwo"
    os.close(os.open(bench.root / "a", os.O_WRONLY | os.O_TRUNC))
    os.close(os.open(bench.root / "a", os.O_CREAT | os.O_WRONLY))
    os.close(os.open(bench.root / "a", os.O_RDONLY))
    with pytest.raises(FileExistsError):
        os.open(bench.root / "a", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    mutating = [kind for kind in bench.kinds() if kind != "close"]
    assert mutating == ["create", "write", "write", "truncate", "create"]
    assert bench.last().outcome is Outcome.FAILED


def test_writes_of_every_kind(bench, fd):
    """write, pwrite, writev and pwritev are recorded where they wrote."""
    os.pwrite(fd, b"AB", 2)
    os.writev(fd, [b"cd", bytearray(b"ef")])
    os.pwritev(fd, [b"X", memoryview(b"Y")], 20)
    os.lseek(fd, 1, os.SEEK_SET)
    assert os.write(fd, memoryview(b"zz")) == 2
    assert content(bench) == b"0zzB456789cdef\0\0\0\0\0\0XY"


@pytest.mark.skipif(not hasattr(os, "copy_file_range"), reason="Linux only")
def test_bytes_that_the_kernel_copies(bench, fd):
    """copy_file_range, sendfile and splice are recorded with the bytes that arrived, also into write-only files."""
    (bench.outside / "source").write_bytes(b"source bytes")
    source = os.open(bench.outside / "source", os.O_RDONLY)
    target = os.open(bench.root / "g", os.O_CREAT | os.O_WRONLY)
    assert os.copy_file_range(source, target, 6) == 6
    assert os.copy_file_range(source, target, 5, offset_src=7, offset_dst=10) == 5
    assert content(bench, "g") == b"source\0\0\0\0bytes"
    assert os.sendfile(target, source, 0, 100) == 12
    assert os.sendfile(target, source, None, 3) == 3
    assert content(bench, "g") == b"sourcesource bytes by"
    reader, writer = os.pipe()
    os.write(writer, b"pipe")
    assert os.splice(reader, fd, 4, offset_dst=3) == 4
    assert content(bench) == b"012pipe789"
    for number in (source, target, reader, writer):
        os.close(number)


def test_lengths(bench, fd):
    """Ftruncate and truncate cut and extend, by descriptor and by path; fallocate extends only."""
    os.ftruncate(fd, 4)
    os.truncate(bench.root / "f", 6)
    os.truncate(fd, 5)
    os.posix_fallocate(fd, 0, 3)
    os.posix_fallocate(fd, 4, 4)
    assert content(bench) == b"0123\0\0\0\0"
    assert [op.size for op in bench.history if op.kind == "truncate"] == [4, 6, 5, 8]


def test_syncs(bench, fd):
    """Fsync and fdatasync of files, of read-only descriptors and of directories, and sync, are told apart."""
    reader, folder = os.open(bench.root / "f", os.O_RDONLY), os.open(bench.root, os.O_RDONLY)
    before = len(bench.history)
    os.fsync(fd)
    os.fdatasync(fd)
    os.fsync(reader)
    os.fsync(folder)
    os.sync()
    with open(bench.root / "f", "rb") as file:
        os.fsync(file)
    for number in (reader, folder):
        os.close(number)
    assert [op.kind for op in bench.history[before:]] == ["fsync", "fsync", "fsync", "fsync-dir", "sync", "fsync"]
    assert bench.effects()[before:] == [fx.Sync(1), fx.Sync(1), fx.Sync(1), fx.SyncDir(0), fx.SyncAll(), fx.Sync(1)]


def test_synchronous_descriptors(bench):
    """Each write through O_DSYNC is followed by a sync of the file, also after fdopen."""
    fd = os.open(bench.root / "a", FLAGS | os.O_DSYNC)
    os.write(fd, b"x")
    with os.fdopen(fd, "wb", 0) as file:
        file.write(b"y")
    assert bench.kinds() == ["create", "write", "fsync", "write", "fsync", "close"]


def test_duplicates_are_one_open(bench, fd):
    """Writes through dup and dup2 reach the same file; only the last close is a close."""
    copy = os.dup(fd)
    other = os.open(bench.root / "other", FLAGS)
    os.dup2(copy, other)
    os.write(other, b"!")
    os.write(copy, b"?")
    os.close(copy)
    os.close(other)
    assert content(bench) == b"0123456789!?"
    assert [op.target for op in bench.history if op.kind == "close"] == ["other"]


def test_dup2_over_the_descriptor_of_a_file_object(bench, fd):
    """What a file object writes goes where dup2 led its descriptor."""
    with open(bench.root / "a", "wb", 0) as file:
        file.write(b"a")
        os.dup2(fd, file.fileno())
        file.write(b"b")
    assert bench.recorder.tree.image().data() == {"a": b"a", "f": b"0123456789b"}


def test_directory_descriptors(bench):
    """Names relative to a directory descriptor are found, also after the directory was renamed."""
    os.mkdir(bench.root / "d")
    folder = os.open(bench.root / "d", os.O_RDONLY)
    os.rename(bench.root / "d", bench.root / "e")
    os.close(os.open("a", FLAGS, dir_fd=folder))
    os.mkdir("sub", dir_fd=folder)
    os.rename("a", "sub/b", src_dir_fd=folder, dst_dir_fd=folder)
    os.link("sub/b", "c", src_dir_fd=folder, dst_dir_fd=folder)
    os.symlink("c", "s", dir_fd=folder)
    os.unlink("sub/b", dir_fd=folder)
    os.rmdir("sub", dir_fd=folder)
    os.fsync(folder)
    os.close(folder)
    assert [op.target for op in bench.history if op.kind != "close"] == [
        *("d", "e", "e/a", "e/sub", "e/sub/b", "e/c", "e/s", "e/sub/b", "e/sub", "e")
    ]


def test_names(bench):
    """mknod, link, replace, unlink, remove, mkdir and rmdir are recorded with their inodes."""
    os.mknod(bench.root / "a", 0o600 | stat.S_IFREG)
    os.link(bench.root / "a", bench.root / "b")
    (bench.root / "c").write_text("c")
    os.replace(bench.root / "c", bench.root / "a")
    with open(bench.root / "b", "w") as file:
        file.write("still there")
    os.mkdir(bench.root / "d")
    os.renames(bench.root / "b", bench.root / "n" / "m" / "b")
    os.remove(bench.root / "a")
    os.rmdir(bench.root / "d")
    assert [effect for effect in bench.effects() if isinstance(effect, fx.Rename)] == [
        fx.Rename(0, "c", 0, "a", 2, 1),
        fx.Rename(0, "b", 5, "b", 1, None),
    ]
    assert bench.recorder.tree.image().data() == {"n/m/b": b"still there"}


def test_renaming_one_name_of_a_file_to_another_does_nothing(bench):
    """POSIX: rename of a file onto a hard link of itself leaves both names, so that there is no op."""
    (bench.root / "a").write_text("x")
    os.link(bench.root / "a", bench.root / "b")
    before = len(bench.history)
    os.rename(bench.root / "a", bench.root / "b")
    assert len(bench.history) == before
    assert sorted(os.listdir(bench.root)) == ["a", "b"]


def test_a_directory_is_renamed_with_what_is_in_it(bench):
    """Files keep their inodes, and their paths follow the directory, also over an empty one."""
    os.makedirs(bench.root / "d" / "e")
    file = open(bench.root / "d" / "e" / "f", "wb", 0)
    os.mkdir(bench.root / "g")
    os.rename(bench.root / "d", bench.root / "g")
    file.write(b"x")
    file.close()
    assert bench.last().target == "g/e/f"
    assert content(bench, "g/e/f") == b"x"


def test_a_file_that_comes_from_outside_arrives_whole(bench):
    """What is moved or linked in is created under another name, synced and renamed: no crash shows half of it."""
    (bench.outside / "a").write_text("new")
    (bench.root / "b").write_text("old")
    before = len(bench.history)
    os.replace(bench.outside / "a", bench.root / "b")
    assert [op.kind for op in bench.history[before:]] == ["create", "write", "fsync", "rename"]
    (bench.outside / "c").write_text("linked")
    os.link(bench.outside / "c", bench.root / "d")
    with open(bench.root / "d", "a") as file:
        file.write("!")
    assert bench.recorder.tree.image().data() == {"b": b"new", "d": b"linked!"}


def test_a_file_that_leaves_is_unlinked(bench):
    """Moving out of the root removes the name; a name outside leads to the same file."""
    (bench.root / "a").write_text("x")
    (bench.root / "b").write_text("y")
    os.rename(bench.root / "a", bench.outside / "a")
    assert bench.last().kind == "unlink"
    os.link(bench.root / "b", bench.outside / "b")
    fd = os.open(bench.outside / "b", os.O_WRONLY | os.O_APPEND)
    os.write(fd, b"z")
    os.close(fd)
    assert content(bench, "b") == b"yz"


@pytest.mark.parametrize("inwards", [True, False], ids=["in", "out"])
def test_a_whole_tree_may_not_cross_the_border(space, inwards):
    """A directory that is moved across the border of the root is refused, and verify remembers it."""
    (space / "root" / "d").mkdir(parents=True)
    (space / "e").mkdir()
    with interposed():
        recorder = Recorder(space / "root", History(), snapshot(space / "root"))
        with recorder, pytest.raises(RecorderError, match="is moved"):
            os.rename(*((space / "e", space / "root" / "e") if inwards else (space / "root" / "d", space / "d")))
        with pytest.raises(RecorderError, match="is moved"):
            verify(recorder)


def test_an_unlinked_file_is_known_by_any_descriptor(bench, fd):
    """A write through a second descriptor of a file that lost this name reaches its other name."""
    with open(bench.root / "a", "w") as file:
        file.write("x")
    second = os.open(bench.root / "a", os.O_WRONLY | os.O_APPEND)
    os.link(bench.root / "a", bench.root / "b")
    os.unlink(bench.root / "a")
    os.write(second, b"y")
    os.close(second)
    assert content(bench, "b") == b"xy"


def test_pipes_and_other_files_are_left_alone(bench):
    """Calls on pipes and on files outside of the root are the real ones, and leave no op."""
    reader, writer = os.pipe()
    os.write(writer, b"x")
    os.close(writer)
    assert os.read(reader, 2) == b"x"
    with pytest.raises(OSError, match="Invalid argument"):
        os.fsync(reader)
    os.close(reader)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.write(reader, b"x")
    (bench.outside / "a").write_text("x")
    os.truncate(bench.outside / "a", 0)
    os.rename(bench.outside / "a", bench.outside / "b")
    os.unlink(bench.outside / "b")
    assert len(bench.history) == 0


def test_wrong_arguments_raise_as_ever(bench, fd):
    """Type errors are those of the real functions, and leave no op."""
    before = len(bench.history)
    for call in (
        lambda: os.write(fd, "text"),
        lambda: os.fsync("fd"),
        lambda: os.mkdir(None),
        lambda: os.rename(bench.root / "f", 3),
        lambda: os.open(3.5, os.O_RDONLY),
        lambda: open(None, "w"),
        lambda: os.unlink(bench.root / "f", 1),
    ):
        with pytest.raises(TypeError):
            call()
    with pytest.raises(ValueError, match="null"):
        open(f"{bench.root}/a\0b", "w")
    assert len(bench.history) == before


NAMES = st.sampled_from(["a", "b", "d", "d/a", "d/b", "l", "l/a", "no/x", "d/../a"])
DATA = st.binary(min_size=0, max_size=5)
STEP = st.one_of(
    st.tuples(st.sampled_from(["w", "a", "x", "r+", "w+", "a+"]).map("open {}".format), NAMES, DATA),
    st.tuples(st.sampled_from(["mkdir", "rmdir", "unlink", "mknod"]), NAMES),
    st.tuples(st.sampled_from(["rename", "replace", "link", "symlink"]), NAMES, NAMES),
    st.tuples(st.just("truncate"), NAMES, st.integers(-1, 9)),
    st.tuples(st.just("fd"), NAMES, st.sampled_from([0, os.O_APPEND, os.O_TRUNC, os.O_EXCL, os.O_NOFOLLOW]), DATA),
    st.tuples(st.just("hold"), NAMES),
    st.tuples(st.just("held"), DATA, st.integers(0, 9)),
    st.tuples(st.just("drop")),
)


class Player:
    """Carries out generated steps in one directory and tells what came out of each."""

    def __init__(self, root):
        self.root, self.held = f"{root}/", []

    def play(self, step):
        """The result of one step, or its exception."""
        try:
            return self.step(*step)
        except (OSError, ValueError) as error:
            names = [str(name).replace(self.root, "") for name in (error.filename, error.filename2)]
            return type(error), error.errno, str(error).replace(self.root, ""), names

    def step(self, name, *rest):
        """One step; raises as the real functions do."""
        paths = [self.root + item if isinstance(item, str) else item for item in rest]
        if name.startswith("open "):
            with open(paths[0], name[5:] + "b") as file:
                return file.write(paths[1]), file.tell()
        if name == "fd":
            fd = os.open(paths[0], os.O_CREAT | os.O_RDWR | paths[1])
            try:
                return os.write(fd, paths[2]), os.pwrite(fd, paths[2], 1), os.fstat(fd).st_size
            finally:
                os.close(fd)
        if name in ("held", "drop"):
            return self.held and (os.pwrite(self.held[-1], *paths) if rest else os.close(self.held.pop()))
        if name == "hold":
            return self.held.append(os.open(paths[0], os.O_WRONLY))
        if name == "symlink":
            paths[0] = rest[0]
        return getattr(os, name)(*paths)

    def end(self):
        """Close what is still open."""
        while self.held:
            os.close(self.held.pop())


@given(steps=st.lists(STEP, max_size=25))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
def test_recorded_and_real_file_systems_agree(space, steps):
    """Any sequence of operations gives the same results, exceptions and files with and without the recorder."""
    for name in ("root", "plain"):
        os.mkdir(space / name)
    try:
        recorder = Recorder(space / "root", History(), EMPTY)
        with interposed(), recorder:
            recorded, plain = Player(space / "root"), Player(space / "plain")
            for step in steps:
                assert recorded.play(step) == plain.play(step), step
            recorded.end()
            plain.end()
        assert snapshot(space / "root").key() == snapshot(space / "plain").key()
        verify(recorder)
    finally:
        for name in ("root", "plain"):
            shutil.rmtree(space / name)
