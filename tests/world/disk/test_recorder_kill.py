"""Death of a process: what it had in memory is lost, and what is left of it can do no harm."""

from __future__ import annotations

import fcntl
import gc
import os
import sys

import pytest

from pytest_durability.errors import RecorderError
from pytest_durability.history import History
from pytest_durability.world.disk.image import snapshot
from pytest_durability.world.disk.recorder import Recorder


@pytest.fixture
def unraised(monkeypatch):
    """The exceptions that Python could only print."""
    seen = []
    monkeypatch.setattr(sys, "unraisablehook", seen.append)
    return seen


def test_buffered_data_is_lost(bench, unraised):
    """What was not flushed before the kill never reaches the disk, whatever the program does with the file later."""
    text, binary = open(bench.root / "a", "w"), open(bench.root / "b", "w+b")
    text.write("in the buffer")
    binary.write(b"x")
    binary.flush()
    binary.write(b"y")
    bench.recorder.kill()
    text.write("more")
    text.flush()
    text.close()
    binary.seek(0)
    binary.write(b"z")
    binary.truncate(0)
    del text, binary
    gc.collect()
    assert (bench.root / "a").read_bytes() == b""
    assert (bench.root / "b").read_bytes() == b"x"
    assert unraised == []


def test_unbuffered_writes_after_death_vanish(bench):
    """A raw file takes what a dead program writes, and says that it did."""
    file = open(bench.root / "a", "wb", 0)
    file.write(b"x")
    bench.recorder.kill()
    assert file.write(b"yy") == 2
    assert file.truncate(0) == 0
    assert not file.closed
    file.close()
    assert file.closed
    assert (bench.root / "a").read_bytes() == b"x"


def test_descriptors_are_closed_and_locks_are_released(bench):
    """Descriptors of files, directories, duplicates and readers are closed, so that no lock outlives the process."""
    first = os.open(bench.root / "lock", os.O_CREAT | os.O_RDWR)
    copy = os.dup(first)
    folder = os.open(bench.root, os.O_RDONLY)
    reader = open(bench.root / "lock")
    fcntl.flock(reader, fcntl.LOCK_EX)
    number = reader.fileno()
    bench.recorder.kill()
    for fd in (first, copy, folder, number):
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)
    with open(bench.root / "lock", "r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_file_with_a_borrowed_number_dies_too(bench):
    """A file object that does not own its descriptor writes nothing after the kill, even if the number is reused."""
    fd = os.open(bench.root / "a", os.O_CREAT | os.O_RDWR)
    file = open(fd, "wb", 0, closefd=False)
    file.write(b"x")
    bench.recorder.kill()
    stranger = os.open(bench.outside / "b", os.O_CREAT | os.O_RDWR)
    assert stranger == fd
    assert file.write(b"y") == 1
    file.close()
    os.close(stranger)
    assert (bench.outside / "b").read_bytes() == b""


def test_many_readers_are_not_kept(bench):
    """Files that were read and closed are forgotten, however many there are."""
    (bench.root / "a").write_text("x")
    for _ in range(1000):
        (bench.root / "a").read_text()
    assert len(bench.recorder._held) < 100


def test_numbers_that_others_own_are_not_closed(bench):
    """A number that C code closed and that is another file's by now stays open."""
    fd = os.open(bench.root / "a", os.O_CREAT | os.O_RDWR)
    os.closerange(fd, fd + 1)
    stranger = os.open(bench.outside, os.O_RDONLY)
    assert stranger == fd
    bench.recorder.kill()
    os.fstat(stranger)
    os.close(stranger)


def test_a_kill_is_not_an_operation_of_the_program(bench):
    """The closing at death is the kernel's: no op is added, and a second kill does nothing."""
    file = open(bench.root / "a", "w")
    before = bench.kinds()
    bench.recorder.kill()
    bench.recorder.kill()
    file.close()
    assert bench.kinds() == before == ["create"]


def test_a_recorder_can_start_again_after_a_kill(bench):
    """The next life is recorded into the same history, with what the first one left."""
    file = open(bench.root / "a", "w")
    bench.recorder.kill()
    bench.recorder.start()
    file.write("dead")
    file.close()
    with open(bench.root / "a", "a") as again:
        again.write("alive")
    assert bench.kinds() == ["create", "write", "close"]


class Saver:
    """An object of a store that saves when it is finalised."""

    def __init__(self, root):
        self.root, self.fd = root, os.open(root / "fd", os.O_CREAT | os.O_WRONLY)
        self.file = open(root / "file", "w")

    def __del__(self):
        for save in (self.rewrite, self.rename, self.low_level, self.names):
            save()

    def rewrite(self):
        self.file.write("late")
        self.file.close()
        with open(self.root / "kept", "w") as file:
            file.write("late")
        with open(self.root / "new", "x") as file:
            file.write("late")

    def rename(self):
        os.replace(self.root / "kept", self.root / "gone")

    def low_level(self):
        os.write(self.fd, b"late")
        os.fsync(self.fd)
        os.ftruncate(self.fd, 100)
        os.close(self.fd)
        fd = os.open(self.root / "made", os.O_CREAT | os.O_WRONLY)
        os.write(fd, b"late")
        os.pwrite(fd, b"late", 2)
        os.close(fd)

    def names(self):
        os.unlink(self.root / "kept")
        os.mkdir(self.root / "d")
        os.rmdir(self.root / "d")
        os.symlink("kept", self.root / "s")
        os.link(self.root / "kept", self.root / "h")
        os.truncate(self.root / "kept", 0)


def test_finalisers_behind_the_gate_change_nothing(bench, unraised):
    """With the root gated shut a finaliser that saves runs without an exception and without a trace."""
    (bench.root / "kept").write_text("kept")
    saver = Saver(bench.root)
    bench.recorder.kill()
    before = snapshot(bench.root)
    with bench.interposition.gated(bench.root):
        del saver
        gc.collect()
    assert snapshot(bench.root) == before
    assert unraised == []


def test_a_dead_number_is_not_closed_behind_the_gate(bench):
    """A finaliser that closes its dead descriptor does not close the stranger that has the number now."""
    saver = Saver(bench.root)
    dead = saver.fd
    bench.recorder.kill()
    stranger = os.open(bench.outside, os.O_RDONLY)
    while stranger != dead:
        stranger = os.dup(stranger)
    with bench.interposition.gated(bench.root):
        del saver
    os.fstat(dead)
    os.closerange(dead, stranger + 1)


def test_files_that_were_never_killed_are_gated_too(bench):
    """A file that is still open when its recorder stopped cannot write behind the gate."""
    file = open(bench.root / "a", "w")
    file.write("late")
    bench.recorder.stop()
    with bench.interposition.gated(bench.root):
        file.close()
    assert (bench.root / "a").read_bytes() == b""


def test_the_gate_leaves_other_trees_alone(bench):
    """Only the gated root is shut: writing, moving and reading elsewhere go on."""
    (bench.root / "a").write_text("x")
    bench.recorder.stop()
    with bench.interposition.gated(bench.root):
        (bench.outside / "b").write_text("y")
        os.rename(bench.outside / "b", bench.outside / "c")
        assert (bench.outside / "c").read_text() == "y"
        assert (bench.root / "a").read_text() == "x"


def test_misuse_is_refused(bench, space):
    """A second recorder, and a gate beside a running recorder, are refused with the reason."""
    with pytest.raises(RecorderError, match="another recorder is running"):
        Recorder(space, History(), snapshot(bench.root)).start()
    with pytest.raises(RecorderError, match="cannot be gated shut"), bench.interposition.gated(bench.root):
        pass


def test_a_recorder_needs_the_interposition(space):
    """Starting a recorder while nothing is patched would record nothing, and is refused."""
    with pytest.raises(RecorderError, match="not interposed"):
        Recorder(space, History(), snapshot(space)).start()
