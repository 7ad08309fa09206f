"""The write path: what each call does to the disk, in which order, and what it leaves when it fails."""

from __future__ import annotations

import errno
import os
import sys

import pytest

from reference_impl.durable import Durable, LockedError, StorageError, TornAppendError, is_temporary
from tests.reference_impl.helpers import tree

DISK = Durable()


@pytest.fixture
def calls(monkeypatch):
    """The system calls that change or sync something, in order."""
    seen = []
    for name in ("write", "fsync", "replace", "mkdir", "unlink", "ftruncate"):
        real = getattr(os, name)

        def traced(*args, _name=name, _real=real):
            seen.append(_name)
            return _real(*args)

        monkeypatch.setattr(os, name, traced)
    return seen


def fail(monkeypatch, name, error=errno.EIO, times=1):
    """Make a system call fail, so many times."""
    real, left = getattr(os, name), [times]

    def broken(*args):
        if left[0]:
            left[0] -= 1
            raise OSError(error, os.strerror(error))
        return real(*args)

    monkeypatch.setattr(os, name, broken)


def test_an_append_to_a_new_file_syncs_the_file_and_then_its_name(tmp_path, calls):
    """Otherwise a power cut may leave a directory without the file."""
    DISK.append(f"{tmp_path}/a", b"one\n")
    assert calls == ["write", "fsync", "fsync"]


def test_an_append_to_an_old_file_syncs_the_file_alone(tmp_path, calls):
    """Its name is durable already."""
    (tmp_path / "a").write_bytes(b"one\n")
    DISK.append(f"{tmp_path}/a", b"two\n")
    assert calls == ["write", "fsync"]
    assert (tmp_path / "a").read_bytes() == b"one\ntwo\n"


def test_a_replace_syncs_before_and_after_the_rename(tmp_path, calls):
    """Before: the name must not outlive the bytes. After: the answer must not outlive the name."""
    DISK.replace(f"{tmp_path}/a", b"new")
    assert calls == ["write", "fsync", "replace", "fsync"]
    assert tree(tmp_path) == {"a": b"new"}


def test_short_writes_are_repeated(tmp_path, monkeypatch):
    """The system may take a part of what it is given."""
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, data[:2]))
    DISK.append(f"{tmp_path}/a", b"0123456789")
    DISK.replace(f"{tmp_path}/b", b"0123456789")
    assert tree(tmp_path) == {"a": b"0123456789", "b": b"0123456789"}


@pytest.mark.parametrize("call", ["write", "fsync"])
def test_a_failed_append_is_taken_back(tmp_path, call, monkeypatch):
    """The file is as it was, to the byte."""
    (tmp_path / "a").write_bytes(b"one\n")
    fail(monkeypatch, call, errno.ENOSPC)
    with pytest.raises(StorageError, match="No space left"):
        DISK.append(f"{tmp_path}/a", b"two\n")
    assert tree(tmp_path) == {"a": b"one\n"}


def test_an_append_that_cannot_be_taken_back_says_so(tmp_path, monkeypatch):
    """Then nobody knows how the file ends."""
    fail(monkeypatch, "fsync")
    fail(monkeypatch, "ftruncate")
    with pytest.raises(TornAppendError):
        DISK.append(f"{tmp_path}/a", b"two\n")


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
def test_a_failed_replace_leaves_the_old_content_and_nothing_else(tmp_path, call, monkeypatch):
    """No temporary file stays behind either."""
    (tmp_path / "a").write_bytes(b"old")
    fail(monkeypatch, call)
    with pytest.raises(StorageError):
        DISK.replace(f"{tmp_path}/a", b"new")
    assert tree(tmp_path) == {"a": b"old"}


def test_a_temporary_name_that_is_taken_is_not_used(tmp_path, monkeypatch):
    """What a crash left under that name does not stop the next write."""
    names = iter(["one", "one", "two"])
    monkeypatch.setattr("secrets.token_hex", lambda size: next(names))
    (tmp_path / ".a.one.tmp").write_bytes(b"left over")
    DISK.replace(f"{tmp_path}/a", b"new")
    assert (tmp_path / "a").read_bytes() == b"new"


def test_temporary_names_are_recognised():
    """By a load, which removes them, and only them."""
    assert is_temporary(".messages.jsonl.00ff.tmp")
    assert not is_temporary(".meta.json")


def test_directories_are_durable_with_their_parents(tmp_path, calls):
    """Each new name is synced in the directory that holds it."""
    DISK.make_dir(f"{tmp_path}/a/b")
    assert calls == ["mkdir", "fsync", "mkdir", "fsync"]


def test_a_directory_that_is_there_is_synced_all_the_same(tmp_path, calls):
    """Who made it may have been killed before it was durable."""
    DISK.make_dir(str(tmp_path))
    assert calls == ["fsync"]


def test_a_file_in_the_place_of_a_directory_is_an_error(tmp_path):
    """It is neither removed nor taken for one."""
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(StorageError):
        DISK.make_dir(f"{tmp_path}/a/b")


def test_absent_is_not_an_error_and_an_error_is_not_absent(tmp_path):
    """Only a file that is not there reads as None."""
    assert DISK.read(f"{tmp_path}/none") is None
    assert DISK.names(f"{tmp_path}/none") is None
    with pytest.raises(StorageError):
        DISK.read(str(tmp_path))
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError):
        DISK.names(f"{tmp_path}/file")


def test_removing_twice_is_as_good_as_once(tmp_path, calls):
    """The absence is synced too."""
    (tmp_path / "a").write_bytes(b"")
    DISK.remove(f"{tmp_path}/a")
    DISK.remove(f"{tmp_path}/a")
    assert calls == ["unlink", "fsync", "unlink", "fsync"]


def test_the_weaker_level_syncs_nothing(tmp_path, calls):
    """What only has to survive a kill is safe with the kernel."""
    weak = Durable("process-kill")
    weak.make_dir(f"{tmp_path}/d")
    weak.append(f"{tmp_path}/d/a", b"one\n")
    weak.replace(f"{tmp_path}/d/a", b"two\n")
    weak.sync_file(f"{tmp_path}/d/a")
    weak.remove(f"{tmp_path}/d/a")
    assert "fsync" not in calls


def test_names_without_a_directory_are_in_the_current_one(tmp_path, monkeypatch):
    """Relative paths work everywhere."""
    monkeypatch.chdir(tmp_path)
    DISK.append("a", b"one\n")
    DISK.replace("a", b"two\n")
    DISK.make_dir("d")
    assert tree(tmp_path) == {"a": b"two\n"}


def test_a_held_lock_is_refused_after_a_bounded_wait_with_its_holder(tmp_path):
    """The error names the process that holds it, where the system tells."""
    with (
        DISK.lock(f"{tmp_path}/.lock"),
        pytest.raises(LockedError) as refused,
        Durable(patience=0).lock(f"{tmp_path}/.lock"),
    ):
        pass
    assert (f"process {os.getpid()}" if sys.platform == "linux" else "process") in str(refused.value)
    with Durable(patience=0).lock(f"{tmp_path}/.lock"):
        pass


def test_a_block_that_raises_frees_its_lock(tmp_path):
    """Nothing stays held after a failure."""
    with pytest.raises(ZeroDivisionError), DISK.lock(f"{tmp_path}/.lock"):
        _ = 1 / 0
    with Durable(patience=0).lock(f"{tmp_path}/.lock"):
        pass
