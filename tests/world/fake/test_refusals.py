"""What a fake file system cannot host is refused before it touches the real disk, and the way out is named."""

from __future__ import annotations

import asyncio
import ctypes
import ctypes.util
import io
import mmap
import multiprocessing
import os
import posix
import sqlite3
import subprocess
import sys

import pytest

from pytest_durability.errors import UnsupportedError
from pytest_durability.world.disk.fake import guard
from pytest_durability.world.world import open_world

LIBRARY = ctypes.util.find_library("c")


def mapped(root):
    """Map a fake file into memory."""
    with open(root / "a", "w+b") as file:
        file.write(b"x" * 4096)
        file.flush()
        mmap.mmap(file.fileno(), 4096)


def spawned(method):
    """Start a process in one of the ways of multiprocessing."""
    process = multiprocessing.get_context(method).Process(target=print)
    process.start()


ESCAPES = {
    "sqlite3": lambda root: sqlite3.connect(root / "x.db"),
    "sqlite3, text": lambda root: sqlite3.connect(f"file:{root}/x.db?mode=rwc", uri=True),
    "mmap": mapped,
    "subprocess": lambda root: subprocess.run([sys.executable, "-c", ""], check=False),
    "asyncio subprocess": lambda root: asyncio.run(asyncio.create_subprocess_exec(sys.executable)),
    "system": lambda root: os.system("true"),  # noqa: S605
    "popen": lambda root: os.popen("true"),  # noqa: S605
    "posix_spawn": lambda root: os.posix_spawn("/bin/true", ["true"], {}),
    "fork": lambda root: os.fork(),
    "multiprocessing, fork": lambda root: spawned("fork"),
    "multiprocessing, spawn": lambda root: spawned("spawn"),
    "ctypes": lambda root: ctypes.CDLL(LIBRARY),
    "FileIO": lambda root: io.FileIO("/durability-escape", "w"),
    "FileIO, reading": lambda root: io.FileIO("/etc/passwd"),
    "dup2": lambda root: os.dup2(os.open(root / "a", os.O_CREAT | os.O_WRONLY), 1),
}


def refused(action, root):
    """How an attempt ended."""
    try:
        action(root)
    except Exception as error:
        return error
    return None


def test_what_cannot_be_hosted_is_refused():
    """The message has three parts: what, why, and `disk="files"` with `setenv` as the way out; nothing was made."""
    with open_world(disk="fake") as world:
        found = {name: refused(action, world.root) for name, action in ESCAPES.items()}
    for name, error in found.items():
        assert isinstance(error, UnsupportedError), (name, error)
        assert "fake" in error.what
        assert error.why
        assert 'disk="files"' in error.fix
        assert "world.setenv" in error.fix
    assert not os.path.exists("/durability")
    assert not os.path.exists("/durability-escape")


def test_what_needs_no_disk_is_let_through():
    """Databases in memory and anonymous maps work."""
    with open_world(disk="fake"):
        for name in ("", ":memory:", "file::memory:?cache=shared"):
            connection = sqlite3.connect(name, uri=name.startswith("file:"))
            assert connection.execute("select 1").fetchone() == (1,)
            connection.close()
        with mmap.mmap(-1, 4096) as anonymous:
            anonymous[:1] = b"x"


def test_a_function_behind_our_back_is_refused():
    """A real function that nobody could exchange is caught by its audit event when it is called."""
    with open_world(disk="fake") as world:
        with pytest.raises(UnsupportedError, match=r"os\.utime\("):
            posix.utime(world.root)
        with pytest.raises(UnsupportedError, match=r"os\.chmod\("):
            posix.chmod(world.root, 0o700)
        assert world.disk.ops == []


def test_the_hook_is_inert_outside_of_a_fake_world(tmp_path):
    """The audit hook cannot be taken out; outside of a fake world it looks at nothing."""
    with open_world(disk="fake"):
        assert guard.active()
    assert not guard.active()
    connection = sqlite3.connect(tmp_path / "x.db")
    connection.close()
    assert subprocess.run([sys.executable, "-c", ""], check=True).returncode == 0
    with io.FileIO(tmp_path / "a", "w") as file:
        file.write(b"x")
    with open_world() as world, io.FileIO(world.root.parent / "a", "w") as file:
        file.write(b"x")
