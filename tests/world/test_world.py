"""Worlds for hand-written tests: faults, crashes, crash states, and that nothing of it stays behind."""

from __future__ import annotations

import builtins
import io
import json
import os
import posix
import random
import secrets
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path

import pytest

from pytest_durability.errors import RecorderError, UnsupportedError, UsageError
from pytest_durability.verdict import VacuousRun
from pytest_durability.world.world import open_world

WATCHED = (builtins, io, os, posix, tempfile, random, uuid, secrets)


def bindings():
    """Every name of the modules that a world takes over."""
    return {
        (module.__name__, name): value
        for module in WATCHED
        for name, value in vars(module).items()
        if name != "__warningregistry__"
    }


def save(path, rows, *, sync=True):
    """Temporary file, fsync, rename."""
    temporary = path.with_suffix(".tmp")
    with open(temporary, "w") as file:
        json.dump(rows, file)
        if sync:
            file.flush()
            os.fsync(file.fileno())
    os.replace(temporary, path)


@pytest.mark.parametrize("error", [None, ZeroDivisionError, KeyboardInterrupt])
def test_nothing_stays_patched(error):
    """Whatever ends the block, every function, the environment and the state of `random` are what they were."""
    random.seed(5)
    before, state, environment = bindings(), random.getstate(), dict(os.environ)
    try:
        with open_world() as world:
            world.setenv("HOME", str(world.root))
            random.random()
            root = world.root
            if error is not None:
                raise error
    except (ZeroDivisionError, KeyboardInterrupt):
        pass
    after = bindings()
    assert {key for key in before if before[key] is not after.get(key)} == set()
    assert random.getstate() == state
    assert dict(os.environ) == environment
    assert not root.exists()


def test_ids_and_temporary_names_repeat():
    """Two worlds draw the same uuids, random numbers, secrets and temporary names; two seeds do not."""

    def drawn(seed):
        with open_world(seed=seed) as world:
            _, name = tempfile.mkstemp(dir=world.root)
            return uuid.uuid4(), secrets.token_hex(), random.random(), os.urandom(4), Path(name).name

    assert drawn(1) == drawn(1)
    assert drawn(1)[:4] != drawn(2)[:4]


def test_a_kill_takes_what_is_in_buffers():
    """After a process kill the flushed part is there, the rest is not, and the dead file writes no more."""
    with open_world() as world:
        file = open(world.root / "log", "w")
        file.write("one\n")
        file.flush()
        file.write("two\n")
        world.disk.crash()
        file.close()
        assert (world.root / "log").read_text() == "one\n"


def test_a_power_cut_takes_what_was_not_synced():
    """Under ext4 with delayed allocation an unsynced append is gone, a synced one is not."""
    with open_world() as world:
        path = world.root / "log"
        with open(path, "w") as file:
            file.write("one\n")
            file.flush()
            os.fsync(file.fileno())
        with open(path, "a") as file:
            file.write("two\n")
        state = world.disk.crash("ext4-delalloc")
        assert path.read_text() == "one\n"
        assert [loss.what for loss in state.losses] == ["write log 4 B"]
        assert "delalloc" in state.losses[0].why


def test_a_crash_can_be_told_what_to_lose():
    """`lose` picks the file; what is durable cannot be lost, and that is an error."""
    with open_world() as world:
        for name in ("a", "b"):
            (world.root / name).write_text(name)
            fd = os.open(world.root / name, os.O_RDONLY)
            os.fsync(fd)
            os.close(fd)
            with open(world.root / name, "a") as file:
                file.write("more")
        with pytest.raises(UsageError, match=r"cannot lose c\.json"):
            world.disk.crash("ext4-delalloc", lose="c.json")


def test_crash_states_are_mounted_at_the_same_path_and_taken_away_again():
    """A state replaces the live directory for the block, and the live store goes on afterwards as if nothing happened."""
    with open_world() as world:
        path = world.root / "s.json"
        save(path, [1])
        held = open(world.root / "log", "a")
        held.write("x")
        held.flush()
        save(path, [1, 2])
        contents = set()
        for state in world.disk.crash_states("ext4-delalloc"):
            with state.mounted() as root:
                assert root == world.root
                contents.add(path.read_text() if path.exists() else None)
                (root / "litter").write_text("of a guest")
        assert contents == {None, "[1]", "[1, 2]"}
        assert not (world.root / "litter").exists()
        held.write("y")
        held.close()
        assert (world.root / "log").read_text() == "xy"
        world.disk.verify()


def test_a_replace_without_sync_may_leave_an_empty_file():
    """A rename to a new name carries no data under ext4: a zero-length file is among the states, and the reason is told."""
    with open_world() as world:
        save(world.root / "s.json", [1], sync=False)
        empty = [state for state in world.disk.crash_states("ext4-delalloc") if state.files.get("s.json") == b""]
        assert empty
        assert any("write" in loss.what for loss in empty[0].losses)


def test_posix_has_every_state_of_the_other_models():
    """What can be left under a weaker model can be left under `posix`."""
    with open_world() as world:
        save(world.root / "s.json", [1])
        save(world.root / "s.json", [1, 2], sync=False)
        states = {
            model: {tuple(sorted(state.files.items())) for state in world.disk.crash_states(model)}
            for model in ("process-kill", "strict", "ext4-delalloc", "ext4-noauto-da-alloc", "posix")
        }
    assert all(states[model] <= states["posix"] for model in states)
    assert states["process-kill"] == states["strict"]


def test_a_mount_that_puts_whole_files():
    """Nothing of a file before its close, a rename in two steps, and one PUT that was lost or came late."""
    with open_world() as world:
        path = world.root / "s.json"
        save(path, [1])
        save(path, [1, 2])
        file = open(world.root / "log", "w")
        file.write("one\n")
        file.flush()
        states = list(world.disk.crash_states("netput"))
        assert all("log" not in state.files for state in states)
        assert any(set(state.files) == {"s.json", "s.tmp"} for state in states)
        whys = {loss.why for state in states for loss in state.losses}
        assert any("may lose one PUT" in why for why in whys)
        assert any("once more, after a later one" in why for why in whys)
        world.disk.crash("netput", lose=["s.json", "log"])
        assert path.read_text() == "[1]"
        file.close()


def test_a_lost_save_leaves_the_version_before_it():
    """The store reads back what it wrote; after the crash the file has its previous content, temporary file and all."""
    with open_world() as world:
        path = world.root / "s.json"
        save(path, [1])
        lost = world.disk.lose_write("s.tmp")
        save(path, [1, 2])
        assert path.read_text() == "[1, 2]"
        world.disk.crash()
        assert lost.fired
        assert path.read_text() == "[1]"
        assert os.listdir(world.root) == ["s.json"]


def test_a_torn_write_shows_after_the_crash():
    """Only the kept bytes are there."""
    with open_world() as world:
        world.disk.tear_write("log", keep=3)
        (world.root / "log").write_text("0123456789")
        world.disk.crash()
        assert (world.root / "log").read_text() == "012"


def test_errors_strike_once():
    """The named operation fails with the named error, and the next one works."""
    with open_world() as world:
        world.disk.fail("fsync", "s.tmp", "EIO")
        with pytest.raises(OSError, match="Input/output error"):
            save(world.root / "s.json", [1])
        save(world.root / "s.json", [1])
        assert [op.note for op in world.disk.ops if op.outcome.value == "failed"] == ["EIO"]


def test_a_full_disk_is_short_then_fails():
    """What fits is written, then ENOSPC, until there is room again."""
    with open_world() as world:
        world.disk.fill(4)
        fd = os.open(world.root / "log", os.O_WRONLY | os.O_CREAT)
        assert os.write(fd, b"123456") == 4
        with pytest.raises(OSError, match="No space left"):
            os.write(fd, b"56")
        world.disk.fill(None)
        assert os.write(fd, b"56") == 2
        os.close(fd)


def test_a_fault_that_never_struck_fails():
    """A green test in which nothing bad happened would say nothing."""
    with pytest.raises(VacuousRun, match=r"fail\('write', 'x\.json'\) never struck"), open_world() as world:
        world.disk.fail("write", "x.json")


def test_what_escapes_the_recorder_is_named():
    """A file written by a child process shows up in verify, with its name."""
    with open_world() as world:
        subprocess.run([sys.executable, "-c", "open('child.txt', 'w').write('hidden')"], cwd=world.root, check=True)
        with pytest.raises(RecorderError, match=r"child\.txt"):
            world.disk.verify()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"disk": "floppy"}, UsageError, "floppy"),
        ({"isolation": "none"}, UsageError, "none"),
        ({"clock": "stopped"}, UsageError, "clock='stopped'"),
        ({"isolation": "process"}, UnsupportedError, "check and sweep take isolation='process'"),
        ({"provider": object()}, UsageError, "provider="),
    ],
)
def test_arguments_that_cannot_be_used(arguments, error, message):
    """A wrong value is told with the valid ones; a valid one that is not offered yet is told as such."""
    with pytest.raises(error, match=message), open_world(**arguments):
        pass


def test_worlds_do_not_nest():
    """Two worlds cannot share one process."""
    with open_world(), pytest.raises(UsageError, match="second world"), open_world():
        pass


@pytest.mark.parametrize(
    "call",
    [
        lambda d: d.fail("sing", "x"),
        lambda d: d.fail("write", "x", "EWHAT"),
        lambda d: d.fill(-1),
        lambda d: d.tear_write("x", keep=-1),
    ],
)
def test_faults_that_cannot_be(call):
    """Unknown operations, errors and sizes are refused with the valid ones."""
    with open_world() as world, pytest.raises(UsageError):
        call(world.disk)
