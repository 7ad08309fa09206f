"""Reads that fail: whichever way a program reads, the gate is asked, and only a gate that wants to be."""

from __future__ import annotations

import errno
import io
import os

import pytest

from pytest_durability.faults import Schedule, ShortWrite, WriteError
from pytest_durability.history import History, Outcome
from pytest_durability.nemesis import Nemesis
from pytest_durability.world.disk.gate import Fail
from pytest_durability.world.disk.image import snapshot
from pytest_durability.world.disk.interpose import interposed
from pytest_durability.world.disk.recorder import Recorder
from pytest_durability.world.disk.verify import verify
from pytest_durability.world.world import open_world


class Wants:
    """A gate that wants to be asked about these kinds, and refuses what `refuse` names."""

    def __init__(self, *reads, refuse=()):
        self.reads, self.refuse, self.seen = frozenset(reads), refuse, []

    def before(self, kind, path, size, recorder):
        """Note and answer."""
        self.seen.append((kind, path))
        return Fail("EIO") if kind in self.refuse else None


@pytest.fixture
def reading(bench):
    """A root with a file and a directory, and a recorder with a gate that is made from these arguments."""

    def begin(*reads, refuse=()):
        bench.recorder.stop()
        (bench.root / "d").mkdir(exist_ok=True)
        (bench.root / "a").write_text("one\ntwo\n")
        gate = Wants(*reads, refuse=refuse)
        bench.begin(gate)
        return gate

    return begin


def by_descriptor(path, act):
    """Open with `os.open`, act, close."""
    fd = os.open(path, os.O_RDONLY)
    try:
        return act(fd)
    finally:
        os.close(fd)


def through(path, mode, act, **options):
    """Open with `open`, act, close."""
    with open(path, mode, **options) as file:
        return act(file)


READING = {
    "read_text": lambda path: path.read_text(),
    "read_bytes": lambda path: path.read_bytes(),
    "text": lambda path: through(path, "r", lambda file: file.read()),
    "line": lambda path: through(path, "r", lambda file: file.readline()),
    "lines": lambda path: through(path, "r", list),
    "binary": lambda path: through(path, "rb", lambda file: file.read()),
    "some": lambda path: through(path, "rb", lambda file: file.read(3)),
    "raw": lambda path: through(path, "rb", lambda file: file.read(), buffering=0),
    "raw some": lambda path: through(path, "rb", lambda file: file.read(3), buffering=0),
    "raw into": lambda path: through(path, "rb", lambda file: file.readinto(bytearray(3)), buffering=0),
    "update": lambda path: through(path, "r+", lambda file: file.read()),
    "io.open": lambda path: io.open(path).read(),  # noqa: UP020  another name under which it is called
    "fdopen": lambda path: os.fdopen(os.open(path, os.O_RDONLY)).read(),
    "opener": lambda path: through(path, "r", lambda file: file.read(), opener=os.open),
    "os.read": lambda path: by_descriptor(path, lambda fd: os.read(fd, 9)),
    "os.readv": lambda path: by_descriptor(path, lambda fd: os.readv(fd, [bytearray(3)])),
    "os.pread": lambda path: by_descriptor(path, lambda fd: os.pread(fd, 9, 0)),
    "os.preadv": lambda path: by_descriptor(path, lambda fd: os.preadv(fd, [bytearray(3)], 0)),
}

LISTING = {
    "listdir": os.listdir,
    "scandir": lambda path: list(os.scandir(path)),
    "iterdir": lambda path: list(path.iterdir()),
    "of a descriptor": lambda path: by_descriptor(path, os.listdir),
    "relative": lambda path: os.listdir(os.path.relpath(path)),
}


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("way", READING)
def test_every_way_to_read_can_fail(bench, reading, way):
    """At the open, or at the first read of an open file; the op says FAILED and has no effect."""
    gate = reading("open", "read", refuse=["open"])
    with pytest.raises(OSError, match="Input/output error") as opened:
        READING[way](bench.root / "a")
    assert (opened.value.errno, str(opened.value.filename)) == (errno.EIO, str(bench.root / "a"))
    gate.refuse = ["read"]
    with pytest.raises(OSError, match="Input/output error"):
        READING[way](bench.root / "a")
    gate.refuse = []
    READING[way](bench.root / "a")
    assert gate.seen[:3] == [("open", "a"), ("open", "a"), ("read", "a")]
    told = [(op.kind, op.target, op.outcome, op.note, op.effect) for op in bench.history if op.kind != "close"]
    assert told == [("open", "a", Outcome.FAILED, "EIO", None), ("read", "a", Outcome.FAILED, "EIO", None)]


@pytest.mark.parametrize("way", LISTING)
def test_every_way_to_list_can_fail(bench, reading, way):
    """Of the root too, whose path is empty."""
    gate = reading("list", refuse=["list"])
    for folder in (bench.root / "d", bench.root):
        with pytest.raises(OSError, match="Input/output error"):
            LISTING[way](folder)
    gate.refuse = []
    assert "a" in [getattr(item, "name", item) for item in LISTING[way](bench.root)]
    assert gate.seen == [("list", "d"), ("list", ""), ("list", "")]
    assert [(op.kind, op.target) for op in bench.history] == [("list", "d"), ("list", "")]


def test_what_is_not_there_is_answered_by_the_system(bench, reading):
    """An absent file is absent, not damaged, and does not count."""
    gate = reading("open", "read", "list", refuse=["open", "read", "list"])
    for act in (open, os.listdir, os.scandir, lambda path: os.open(path, os.O_RDONLY)):
        with pytest.raises(FileNotFoundError):
            act(bench.root / "absent")
    with pytest.raises(NotADirectoryError):
        os.listdir(bench.root / "a")
    assert gate.seen == []
    assert len(bench.history) == 0


def test_an_open_that_makes_or_empties_a_file_is_no_read(bench, reading):
    """It is a `create` or a `truncate`; one that does neither is an `open`, whatever it is for."""
    gate = reading("open")
    for mode, name in (("w", "b"), ("w", "a"), ("a", "a"), ("r+", "a")):
        open(bench.root / name, mode).close()
    os.close(os.open(bench.root / "a", os.O_WRONLY | os.O_CREAT))
    os.close(os.open(bench.root / "d", os.O_RDONLY))
    kinds = [("create", "b"), ("truncate", "a"), ("open", "a"), ("open", "a"), ("open", "a"), ("open", "d")]
    assert gate.seen == kinds


def test_nothing_is_asked_of_a_gate_that_does_not_want_it(bench, reading):
    """Nor outside of the root, nor is anything logged."""
    gate = reading()
    for way in READING.values():
        if way not in (READING["io.open"], READING["fdopen"]):
            way(bench.root / "a")
    os.listdir(bench.root)
    assert [kind for kind, _ in gate.seen] == []
    gate.reads = frozenset(("open", "read", "list"))
    (bench.outside / "b").write_text("x")
    (bench.outside / "b").read_text()
    os.listdir(bench.outside)
    assert gate.seen == []
    assert {op.kind for op in bench.history} <= {"close"}


def test_without_a_gate_reads_are_real(bench):
    """Files that are only read have no layer of ours then."""
    (bench.root / "a").write_text("x")
    with open(bench.root / "a", "rb", buffering=0) as file:
        assert type(file) is io.FileIO


def test_the_harness_reads_unasked(space):
    """To check the log is not to use the store."""
    (space / "root").mkdir()
    gate = Wants("list", refuse=["list"])
    with interposed(), Recorder(space / "root", History(), snapshot(space / "root"), gate=gate) as recorder:
        verify(recorder)
        with pytest.raises(OSError, match="Input/output"):
            os.listdir(space / "root")


def test_a_scheduled_error_strikes_the_nth_read(bench, reading):
    """Counted by kind and role over the whole run; the others pass."""
    reading()
    faults = Schedule((WriteError("open:a:2"), WriteError("list:d:1", "EACCES"), WriteError("read:a:2", "ESTALE")))
    nemesis = Nemesis(faults)
    assert nemesis.reads == {"open", "list", "read"}
    bench.recorder.stop()
    bench.begin(nemesis.gate)
    path = bench.root / "a"
    assert path.read_text() == "one\ntwo\n"
    for error in ("Input/output", "Stale"):
        with pytest.raises(OSError, match=error):
            path.read_text()
    with pytest.raises(PermissionError):
        os.listdir(bench.root / "d")
    assert os.listdir(bench.root / "d") == []
    assert nemesis.unfired() == ()
    told = [(op.kind, op.target, op.note) for op in bench.history if op.kind != "close"]
    assert told == [("open", "a", "EIO"), ("read", "a", "ESTALE"), ("list", "d", "EACCES")]


def test_reads_have_to_be_named():
    """`*` is any operation that changes something, as it always was; and a read cannot be a short write."""
    anything, short = WriteError("*:*:1"), ShortWrite("read:a:1", 1)
    nemesis = Nemesis(Schedule((anything, short)))
    assert nemesis.reads == frozenset()
    assert nemesis.gate.before("read", "a", 0, None) is None
    assert nemesis.unfired() == (anything, short)


@pytest.mark.parametrize("kind", ["open", "read"])
def test_a_hand_written_test_may_ask_for_it(kind):
    """`world.disk.fail` waits for the file, strikes once, and then the file is as it was."""
    with open_world() as world:
        (world.root / "a").write_text("x")
        world.disk.fail(kind, "a", "EIO")
        world.disk.verify()
        with pytest.raises(OSError, match="Input/output"):
            (world.root / "a").read_text()
        assert (world.root / "a").read_text() == "x"
