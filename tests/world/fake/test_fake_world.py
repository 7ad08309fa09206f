"""Worlds whose whole file system is fake: for stores that know one absolute path and no other."""

from __future__ import annotations

import errno
import fcntl
import glob
import os
import random
import shutil
import stat
import sys
import tempfile
import uuid
from pathlib import Path

import pytest

from pytest_durability.errors import RecorderError, UnsupportedError
from pytest_durability.verdict import VacuousRun
from pytest_durability.world.disk.fake.handles import FIRST
from pytest_durability.world.world import open_world

FIXED = Path("/var/lib/agent")


class Fixed:
    """A store that keeps its rows at a fixed place, by temporary file and rename; `sync` is where the bug is."""

    path = FIXED / "sessions" / "rows.txt"

    def __init__(self, *, sync=True):
        self.sync = sync
        self.path.parent.mkdir(parents=True, exist_ok=True)
        for folder in (self.path.parent, *self.path.parent.parents):
            self.synced(folder)

    def synced(self, folder):
        fd = os.open(folder, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)

    def rows(self):
        return self.path.read_text().splitlines() if self.path.exists() else []

    def add(self, row):
        temporary = self.path.with_suffix(".tmp")
        with open(temporary, "w") as file:
            file.writelines(f"{one}\n" for one in [*self.rows(), row])
            if self.sync:
                file.flush()
                os.fsync(file.fileno())
        os.replace(temporary, self.path)
        if self.sync:
            self.synced(self.path.parent)


def test_a_store_with_a_fixed_path_is_recorded_from_the_root_on():
    """Ops name files relative to `/`, the store never reaches the real disk, and the log explains the fake one."""
    with open_world(disk="fake") as world:
        store = Fixed()
        store.add("one")
        assert store.rows() == ["one"]
        assert {"var/lib/agent/sessions/rows.txt"} < {op.target for op in world.disk.ops}
        assert world.root.is_dir()
        world.disk.verify()
    assert not FIXED.exists()


@pytest.mark.parametrize("sync", [True, False])
def test_crash_states_of_a_fixed_path(sync):
    """What was acknowledged is in every state of a store that syncs, and missing in some of one that does not."""
    with open_world(disk="fake") as world:
        store = Fixed(sync=sync)
        store.add("one")
        store.add("two")
        now = len(world.history)
        shown = []
        for state in world.disk.crash_states("posix"):
            if state.last >= now:
                with state.mounted():
                    shown.append(Fixed().rows())
        assert shown
        assert all(rows == ["one", "two"] for rows in shown) == sync
        assert store.rows() == ["one", "two"]


def test_a_crash_remounts_and_the_dead_do_no_harm():
    """After a crash only what is durable is there; buffers of the dead process are lost, also when they are flushed."""
    with open_world(disk="fake") as world:
        store = Fixed()
        store.add("one")
        late = open(FIXED / "late", "w")
        late.write("lost")
        fd = os.open(FIXED / "late", os.O_WRONLY)
        state = world.disk.crash("process-kill")
        late.flush()
        late.close()
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.write(fd, b"x")
        assert state.files["var/lib/agent/late"] == (FIXED / "late").read_bytes() == b""
        assert Fixed().rows() == ["one"]
        (FIXED / "new").touch()
        world.disk.crash("posix", lose="new")
        assert not (FIXED / "new").exists()
        world.disk.verify()


def test_faults_strike_in_a_fake_world():
    """Failing, torn, lost and full: the same calls, with patterns for the fake paths."""
    with open_world(disk="fake") as world:
        store = Fixed()
        world.disk.fail("rename", "var/lib/agent/*", "EIO")
        with pytest.raises(OSError, match="Input/output error") as caught:
            store.add("one")
        assert caught.value.errno == errno.EIO
        assert store.rows() == []
        world.disk.fill(2)
        with pytest.raises(OSError, match="No space left"):
            store.add("two")
        world.disk.fill(None)
        world.disk.fail("read", "rows.txt")
        store.add("three")
        with pytest.raises(OSError, match="Input/output"):
            store.rows()
        world.disk.lose_write("rows.tmp")
        store.add("four")
        world.disk.crash("process-kill")
        assert Fixed().rows() == ["three"]


def test_a_fault_that_never_strikes_fails_the_test():
    """A fault for a file that the store never wrote proves nothing."""

    def vacuous():
        with open_world(disk="fake") as world:
            world.disk.fail("write", "no-such-file")
            Fixed().add("one")

    with pytest.raises(VacuousRun, match="never struck"):
        vacuous()


def test_what_was_there_before_is_durable():
    """The directories that every program expects exist, are empty, and survive every crash."""
    with open_world(disk="fake") as world:
        before = {path for path in (Path.home(), Path(tempfile.gettempdir()), Path.cwd(), world.root) if path.is_dir()}
        assert len(before) == len({Path.home(), Path(tempfile.gettempdir()), Path.cwd(), world.root})
        assert os.listdir(Path.cwd()) == []
        FIXED.mkdir()
        world.disk.crash("posix")
        assert all(path.is_dir() for path in before)
        assert not FIXED.exists()


def test_home_and_the_working_directory_are_fake():
    """`~` and relative paths lead into the fake tree, and a change of directory ends with the world."""
    cwd = os.getcwd()
    with open_world(disk="fake") as world:
        (Path.home() / ".agent-test").mkdir()
        Path("~/.agent-test/a").expanduser().write_text("x")
        Path("relative.txt").write_text("y")
        os.chdir(Path.home() / ".agent-test")
        assert os.getcwd() == str(Path.home() / ".agent-test")
        assert Path("a").read_text() == Path("a").resolve().read_text() == "x"
        assert os.path.realpath("a") == str(Path.home() / ".agent-test" / "a")
        assert str(Path(cwd, "relative.txt"))[1:] in {op.target for op in world.disk.ops}
    assert os.getcwd() == cwd
    assert not Path("relative.txt").exists()
    assert not (Path.home() / ".agent-test").exists()


@pytest.mark.parametrize("disk", ["files", "fake"])
def test_setenv_moves_a_store_that_lies_below_home(disk):
    """The first choice for `~/.agent`: with HOME set to the world's root such a store is recorded on the real disk too."""
    before = os.environ.get("HOME"), os.environ.get("XDG_DATA_HOME")
    with open_world(disk=disk) as world:
        world.setenv("HOME", str(world.root))
        world.setenv("XDG_DATA_HOME", str(world.root / "data"))
        store = Path.home() / ".agent"
        store.mkdir()
        (store / "session").write_text("one")
        data = Path(os.environ["XDG_DATA_HOME"])
        data.mkdir()
        prefix = "durability/" if disk == "fake" else ""
        assert [op.target for op in world.disk.ops if op.kind in ("mkdir", "create")] == [
            f"{prefix}.agent",
            f"{prefix}.agent/session",
            f"{prefix}data",
        ]
        world.disk.crash("posix")
        assert not store.exists()
        world.disk.verify()
    assert (os.environ.get("HOME"), os.environ.get("XDG_DATA_HOME")) == before


def test_early_bound_functions_and_paths_are_fake():
    """Functions taken from `os` before, paths made before, and what binds them in the world are all led to the fake tree."""
    held = {"stat": os.stat, "open": open, "fsync": os.fsync, "lstat": os.lstat, "flock": fcntl.flock}
    early = Path("/opt/agent.txt")
    real = dict(held)
    with open_world(disk="fake") as world:
        early.write_text("x")
        assert held["stat"](early).st_size == 1
        with held["open"]("/opt/agent.txt", "a") as file:
            file.write("y")
            file.flush()
            held["fsync"](file.fileno())
            held["flock"](file, fcntl.LOCK_EX)
        assert early.read_text() == "xy"
        assert world.disk.ops[-2].kind == "fsync"
        held["late"] = os.link
    assert held == real | {"late": os.link}


def test_names_and_attributes_behave_as_on_linux():
    """Modes, times, links, listings by descriptor, globbing and removal of whole trees."""
    with open_world(disk="fake") as world:
        base = world.root
        (base / "d" / "e").mkdir(parents=True)
        (base / "d" / "a").write_bytes(b"12345")
        os.link(base / "d" / "a", base / "d" / "b")
        os.symlink("a", base / "d" / "s")
        os.chmod(base / "d" / "a", 0o600)
        os.utime(base / "d" / "a", (1, 2))
        info = os.stat(base / "d" / "s")
        assert (info.st_size, info.st_nlink, stat.S_IMODE(info.st_mode), info.st_mtime) == (5, 2, 0o600, 2.0)
        assert os.path.samefile(base / "d" / "a", base / "d" / "b")
        assert os.readlink(base / "d" / "s") == os.readlink(os.fsencode(base / "d" / "s")).decode() == "a"
        assert sorted(glob.glob("**/?", root_dir=base, recursive=True)) == ["d", "d/a", "d/b", "d/e", "d/s"]
        with os.scandir(base / "d") as entries:
            kinds = {entry.name: (entry.is_dir(), entry.is_file(), entry.is_symlink()) for entry in entries}
        assert kinds == {
            "a": (False, True, False),
            "b": (False, True, False),
            "e": (True, False, False),
            "s": (False, True, True),
        }
        fd = os.open(base / "d", os.O_RDONLY | os.O_DIRECTORY)
        assert fd >= FIRST
        assert sorted(os.listdir(fd)) == ["a", "b", "e", "s"]
        inner = os.open("a", os.O_RDWR, dir_fd=fd)
        assert os.readlink(f"/proc/self/fd/{inner}") == str(base / "d" / "a")
        os.unlink("b", dir_fd=fd)
        assert os.stat("a", dir_fd=fd).st_nlink == 1
        os.close(inner)
        os.close(fd)
        shutil.copytree(base / "d", base / "copy", symlinks=True)
        shutil.rmtree(base / "d")
        assert sorted(os.listdir(base / "copy")) == ["a", "e", "s"]
        assert not os.access(base / "d", os.F_OK)
        world.disk.verify()


def test_locks_exclude_each_other():
    """Two opens of one file exclude each other, closing frees, and waiting for oneself is told and not waited for."""
    with open_world(disk="fake") as world:
        path = world.root / "lock"
        first, second = open(path, "w"), open(path, "w")
        fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with pytest.raises(BlockingIOError):
            fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with pytest.raises(OSError, match="deadlock"):
            fcntl.flock(second, fcntl.LOCK_SH)
        first.close()
        fcntl.flock(second, fcntl.LOCK_EX)
        fcntl.lockf(second, fcntl.LOCK_EX)
        world.disk.crash()
        with open(path, "w") as third:
            fcntl.flock(third, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_the_interpreter_and_devices_stay_real():
    """Imports work, source can be read, `/dev/null` swallows, and none of it is recorded."""
    sys.modules.pop("this_is_not_imported_yet", None)
    with open_world(disk="fake") as world:
        import wave

        assert Path(wave.__file__).read_text().startswith('"""')
        assert "wave.py" in os.listdir(Path(wave.__file__).parent)
        with open(os.devnull, "w") as sink:
            sink.write("x")
        assert os.stat("/proc/self/status").st_mode
        reader, writer = os.pipe()
        os.write(writer, b"real")
        assert os.read(reader, 9) == b"real"
        os.close(reader)
        os.close(writer)
        with pytest.raises(FileNotFoundError):
            os.stat("/etc/passwd")
        assert world.disk.ops == []


def test_ids_and_temporary_names_repeat():
    """A fake world draws the same ids and temporary names as a real one."""

    def drawn(disk):
        with open_world(disk=disk, seed=3) as world:
            return uuid.uuid4(), random.random(), Path(tempfile.mkstemp(dir=world.root)[1]).name

    assert drawn("fake") == drawn("fake") == drawn("files")


def test_what_goes_past_the_recorder_is_found(monkeypatch):
    """If the fake tree holds what the log does not explain, `verify` says so."""
    with open_world(disk="fake") as world:
        (world.root / "a").write_text("x")
        handle = open(world.root / "a", "a")
        recorder = world.disk._recorder
        recorder.stop()
        handle.write("unseen")
        handle.close()
        recorder.start()
        with pytest.raises(RecorderError, match="durability/a: 1 B recorded, 7 B on disk"):
            world.disk.verify()


def test_without_pyfakefs_the_extra_is_named(monkeypatch):
    """The error says what is missing, why there is no going on, and both ways out; nothing stays patched."""
    real = os.stat
    monkeypatch.setitem(sys.modules, "pyfakefs", None)
    monkeypatch.delitem(sys.modules, "pyfakefs.fake_filesystem", raising=False)
    with pytest.raises(UnsupportedError) as caught, open_world(disk="fake"):
        pass
    told = str(caught.value)
    assert 'disk="fake" needs pyfakefs' in told
    assert "pytest-durability[fakefs]" in told
    assert 'world.setenv("HOME"' in told
    assert os.stat is real
