"""The gate: what it is asked, and what its decisions do."""

from __future__ import annotations

import errno
import os

import pytest

from pytest_durability.history import Outcome
from pytest_durability.world.disk.gate import Fail, Mark, Short


class Asked:
    """A gate that notes what it is asked and gives one prepared decision per kind."""

    def __init__(self, **decisions):
        self.decisions, self.seen = decisions, []

    def before(self, kind, path, size, recorder):
        """Note and answer."""
        self.seen.append((kind, path, size))
        return self.decisions.get(kind.replace("-", "_"))


@pytest.fixture
def gated(bench):
    """Begin anew with a gate that has these decisions."""

    def begin(**decisions):
        bench.recorder.stop()
        gate = Asked(**decisions)
        bench.begin(gate)
        return gate

    return begin


def test_every_mutating_operation_is_asked_about(bench, gated):
    """Kind, path and size are those of the op that follows; reading and closing are not asked about."""
    gate = gated()
    with open(bench.root / "a", "w") as file:
        file.write("12345")
        file.flush()
        os.fsync(file.fileno())
        file.truncate(2)
    (bench.root / "a").read_text()
    with open(bench.root / "a", "w"):
        pass
    os.mkdir(bench.root / "d")
    os.rename(bench.root / "a", bench.root / "d" / "b")
    os.link(bench.root / "d" / "b", bench.root / "c")
    os.symlink("c", bench.root / "s")
    fd = os.open(bench.root / "d", os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)
    os.sync()
    os.unlink(bench.root / "d" / "b")
    os.rmdir(bench.root / "d")
    recorded = [(op.kind, op.target, op.size) for op in bench.history if op.kind != "close"]
    assert gate.seen == recorded
    assert len(recorded) == 13


def test_a_failure_is_raised_and_recorded_and_nothing_is_done(bench, gated):
    """`Fail` raises the right class with errno, text and file names, as the system would."""
    (bench.root / "a").write_text("x")
    gated(
        create=Fail("EACCES"),
        truncate=Fail("EIO"),
        write=Fail("ENOSPC"),
        rename=Fail("EXDEV"),
        fsync=Fail("EIO"),
        mkdir=Fail("EROFS"),
    )
    with pytest.raises(PermissionError) as made:
        open(bench.root / "b", "w")
    assert (made.value.errno, made.value.filename) == (errno.EACCES, str(bench.root / "b"))
    with pytest.raises(OSError, match="Input/output error"):
        open(bench.root / "a", "w")
    with pytest.raises(OSError, match="cross-device") as moved:
        os.replace(bench.root / "a", bench.root / "c")
    assert (moved.value.filename, moved.value.filename2) == (bench.root / "a", bench.root / "c")
    with open(bench.root / "a", "r+b", 0) as file:
        with pytest.raises(OSError, match="No space left"):
            file.write(b"y")
        with pytest.raises(OSError, match="Input/output"):
            os.fsync(file.fileno())
    with pytest.raises(OSError, match="Read-only"):
        os.mkdir(bench.root / "d")
    failed = [(op.kind, op.note) for op in bench.history if op.outcome is Outcome.FAILED]
    assert failed == [
        ("create", "EACCES"),
        ("truncate", "EIO"),
        ("rename", "EXDEV"),
        ("write", "ENOSPC"),
        ("fsync", "EIO"),
        ("mkdir", "EROFS"),
    ]
    assert (bench.root / "a").read_text() == "x"


def test_a_short_write_stores_a_part_and_says_so(bench, gated):
    """`Short` cuts one call: os.write returns the number, a buffered file goes on with the rest."""
    gated(write=Short(2))
    fd = os.open(bench.root / "a", os.O_CREAT | os.O_WRONLY)
    assert os.write(fd, b"12345") == 2
    assert os.writev(fd, [b"67", b"89"]) == 2
    assert os.pwrite(fd, b"xyz", 1) == 2
    assert os.pwritev(fd, [b"x", b"yz"], 2) == 2
    os.close(fd)
    with open(bench.root / "b", "wb") as file:
        file.write(b"12345")
    assert [op.size for op in bench.history if op.target == "b" and op.kind == "write"] == [2, 2, 1]
    assert (bench.root / "b").read_bytes() == b"12345"


@pytest.mark.skipif(not hasattr(os, "copy_file_range"), reason="Linux only")
def test_copies_by_the_kernel_can_be_short(bench, gated):
    """The gate is told how many bytes there are to copy, and may shorten that."""
    (bench.outside / "s").write_bytes(b"123456")
    source = os.open(bench.outside / "s", os.O_RDONLY)
    gate = gated(write=Short(4))
    target = os.open(bench.root / "a", os.O_CREAT | os.O_WRONLY)
    assert os.copy_file_range(source, target, 1 << 20) == 4
    assert os.sendfile(target, source, 0, 1 << 20) == 4
    assert gate.seen[1:] == [("write", "a", 6), ("write", "a", 6)]
    os.close(source)
    os.close(target)


def test_a_mark_becomes_the_note(bench, gated):
    """`Mark` lets an operation pass and leaves its note on the op."""
    gated(write=Mark("lost"), rename=Mark("lost too"), fsync=Mark("lie"), create=Mark("new"))
    with open(bench.root / "a", "w") as file:
        file.write("x")
        file.flush()
        os.fsync(file.fileno())
    os.rename(bench.root / "a", bench.root / "b")
    assert [op.note for op in bench.history] == ["new", "lost", "lie", "", "lost too"]
    assert (bench.root / "b").read_text() == "x"


def test_without_recording_the_gate_still_decides(bench, gated):
    """`record=False` logs nothing, asks the gate, and keeps the mirror."""
    gated(write=Fail("EIO"))
    bench.recorder.recording = False
    with open(bench.root / "a", "wb", 0) as file, pytest.raises(OSError, match="Input/output"):
        file.write(b"x")
    assert len(bench.history) == 0


def test_what_the_gate_raises_passes(bench, gated):
    """An exception of the gate itself reaches the program, and nothing was done."""

    class Stop(BaseException):
        pass

    gate = gated()
    gate.before = lambda *_: (_ for _ in ()).throw(Stop())
    with pytest.raises(Stop):
        os.mkdir(bench.root / "d")
    assert os.listdir(bench.root) == []
