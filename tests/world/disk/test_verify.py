"""What the recorder cannot see must be told, with the name of the file and a guess at who wrote it."""

from __future__ import annotations

import io
import mmap
import os
import sqlite3
import subprocess
import sys

import pytest

from pytest_durability.errors import RecorderError
from pytest_durability.history import History
from pytest_durability.world.disk import real
from pytest_durability.world.disk.image import snapshot
from pytest_durability.world.disk.interpose import interposed
from pytest_durability.world.disk.recorder import Recorder
from pytest_durability.world.disk.verify import verify


@pytest.fixture
def recorder(space):
    """A running recorder whose log need not explain the root."""
    (space / "old").write_bytes(bytes(4096))
    with interposed(), Recorder(space, History(), snapshot(space)) as found:
        yield found


def complaint(recorder):
    """What verify says."""
    with pytest.raises(RecorderError) as caught:
        verify(recorder)
    assert caught.value.why
    assert caught.value.fix
    return caught.value.what


def test_direct_raw_files_are_flagged(recorder, space):
    """`io.FileIO` used directly passes the recorder by."""
    with io.FileIO(space / "direct", "w") as file:
        file.write(b"zz")
    assert "direct: nothing recorded, 2 B on disk (a child process, io.FileIO used directly" in complaint(recorder)


def test_child_processes_are_flagged(recorder, space):
    """What a child process writes, changes and removes is seen as such."""
    code = "import sys, os; open(sys.argv[1] + '/sub', 'w').write('hi'); os.mkdir(sys.argv[1] + '/d'); os.remove(sys.argv[1] + '/old')"
    subprocess.run([sys.executable, "-c", code, str(space)], check=True)
    said = complaint(recorder)
    assert "sub: nothing recorded, 2 B on disk" in said
    assert "d: nothing recorded, a directory on disk" in said
    assert "old: 4096 B recorded, nothing on disk" in said


def test_sqlite_is_flagged_by_name(recorder, space):
    """A SQLite database is named as what it is, and so are its side files."""
    recorder.stop()  # what SQLite opens while nobody records, it writes unseen for ever
    connection = sqlite3.connect(space / "x.db")
    connection.execute("pragma journal_mode=wal")
    recorder.start()
    connection.execute("create table t(x)")
    connection.commit()
    said = complaint(recorder)
    connection.close()
    for name in ("x.db", "x.db-shm"):
        assert f"{name}: nothing recorded" in said
    assert said.count("SQLite database: not recorded (opened outside of the recording, or by another SQLite)") == 2


def test_mapped_files_are_flagged(recorder, space):
    """A write through a memory map changes bytes without a call."""
    with open(space / "old", "r+b") as file, mmap.mmap(file.fileno(), 4096) as mapped:
        mapped[0:3] = b"abc"
        said = complaint(recorder)
    assert "old: 4096 B recorded, 4096 B on disk (the file is mapped into memory: mmap is not recorded)" in said


def test_files_renamed_after_an_unseen_writer_are_flagged(recorder, space):
    """A file that appeared unseen and was then moved in place is told, even though its last step was seen."""
    with io.FileIO(space / "tmp", "w") as file:
        file.write(b"zz")
    os.replace(space / "tmp", space / "old")
    assert "tmp (renamed to old) was made unseen" in complaint(recorder)


def test_a_long_list_is_cut(recorder, space):
    """Ten paths are named, the rest is counted."""
    for index in range(15):
        io.FileIO(space / f"f{index:02}", "w").close()
    said = complaint(recorder)
    assert "f09" in said
    assert "f10" not in said
    assert "and 5 more" in said


@pytest.mark.parametrize(
    "name", [name for name in real.TABLE if name in ("write", "replace", "unlink", "mkdir", "ftruncate", "link")]
)
def test_a_missing_patch_is_noticed(recorder, space, name):
    """With one stand-in taken away, the log no longer explains the directory."""
    patched = getattr(os, name)
    setattr(os, name, real.TABLE[name])
    try:
        fd = os.open(space / "a", os.O_CREAT | os.O_WRONLY)
        os.write(fd, b"12345")
        os.ftruncate(fd, 3)
        os.close(fd)
        os.link(space / "a", space / "b")
        os.replace(space / "a", space / "c")
        os.unlink(space / "old")
        os.mkdir(space / "d")
    finally:
        setattr(os, name, patched)
    assert "on disk" in complaint(recorder) or "unseen" in complaint(recorder)


def test_a_complete_log_passes(recorder, space):
    """The same operations with all patches in place leave nothing to complain about."""
    fd = os.open(space / "a", os.O_CREAT | os.O_WRONLY)
    os.write(fd, b"12345")
    os.close(fd)
    os.replace(space / "a", space / "old")
    verify(recorder)
