"""The same program on a real directory and on the fake file system: the same results, log and crash states."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import shutil
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_durability import persistence
from pytest_durability.history import History
from pytest_durability.world.arena import Arena
from pytest_durability.world.disk.image import number
from pytest_durability.world.disk.simdisk import SimDisk
from pytest_durability.world.world import World
from tests.planted import stores

MODELS = tuple(persistence.MODELS)
NAMES = ("a", "b", "c.tmp", "d", "d/a", "d/b", "d/e", "d/e/a", "link")
MODES = ("r", "w", "a", "x", "r+", "w+", "a+", "rb", "wb", "ab", "xb", "r+b")


def numbered(effect, home, numbers):
    """The effect with inode numbers in order of first sight; the world's root is 0."""
    changed = {}
    for part in dataclasses.fields(effect):
        value = getattr(effect, part.name)
        if part.name in ("parent", "new_parent", "ino", "replaced") and value is not None:
            changed[part.name] = 0 if value == home else numbers.setdefault(value, len(numbers) + 1)
    return dataclasses.replace(effect, **changed)


def below(text, prefix):
    """Without the path of the world's root in the recorded tree."""
    return "" if text == prefix[:-1] else text.replace(prefix, "") if prefix else text


def seen(arena, world, models):
    """What a world recorded, in a form that does not tell which disk it was: the log, and the crash states per model."""
    blank = number(arena.blank)
    prefix = str(world.root)[1:] + "/" if blank else ""
    home = blank.get(prefix[:-1], 0)  # the directories of the machine come before it, or not, by their names
    numbers = {}
    log = []
    for op in world.disk.ops:
        effect = None if op.effect is None else numbered(op.effect, home, numbers)
        log.append((op.kind, below(op.target, prefix), op.size, op.outcome, below(op.note, prefix), op.site, effect))
    states = {
        model: {
            (
                below(repr(state), prefix),
                frozenset((path.removeprefix(prefix), data) for path, data in state.files.items()),
            )
            for state in world.disk.crash_states(model)
        }
        for model in models
    }
    world.disk.verify()
    return log, states


def on(disk, programs, models):
    """Results, log and crash states of each program on one kind of disk, each in a world of its own."""
    found = []
    with Arena(disk=disk) as arena:
        for program in programs:
            arena.clear()
            arena.entropy.reseed(0)
            history = History()
            simulated = SimDisk(arena, history)
            with simulated.recording():
                world = World(arena, history, disk=simulated)
                found.append((program(world), *seen(arena, world, models)))
    return found


def same(*programs, models=MODELS):
    """Run programs on both kinds of disk; the results of one of them."""
    real, fake = on("files", programs, models), on("fake", programs, models)
    for one, other in zip(real, fake, strict=True):
        assert other[0] == one[0]
        assert other[1] == one[1]
        assert other[2] == one[2]
    return real


def told(store):
    """What a store of `stores` shows."""
    return [(message["role"], message["text"]) for message in store.messages]


STORES = [value for value in vars(stores).values() if isinstance(value, type) and issubclass(value, stores.Sound)]


def kept_in(store):
    """A program that works with one of the stores."""

    def program(world):
        first = store(world.root / world.session)
        first.append("user", "one")
        first.append_many([("assistant", "two"), ("user", "three")])
        first.commit(1)
        first.append("assistant", "four")
        return told(store(world.root / world.session))

    return program


def test_stores_leave_the_same_log_and_crash_states():
    """A store, sound or broken, cannot tell the two disks apart, and neither can what is computed from its log."""
    found = same(*map(kept_in, STORES), models=("process-kill", "posix", "ext4-delalloc"))
    assert len(found) > 10
    assert all(len(log) > 5 and len(states["posix"]) > 5 for _, log, states in found)


def attempt(action):
    """What an action gives, or the error that it ends with."""
    try:
        return action()
    except OSError as error:
        return type(error).__name__, errno.errorcode.get(error.errno)
    except ValueError as error:
        return type(error).__name__


def use(path, mode, data, sync):
    """Open, write or read in the middle, and close."""
    with open(path, mode) as file:
        got = file.read(3) if file.readable() else None
        if file.writable():
            file.write(data if "b" in mode else data.decode())
            file.flush()
            if sync:
                os.fsync(file.fileno())
        return got, file.tell()


def low(path, flags, data, offset, size):
    """The same by descriptor."""
    fd = os.open(path, flags, 0o644)
    try:
        got = [attempt(lambda: os.write(fd, data)), attempt(lambda: os.pwrite(fd, data, offset))]
        got += [attempt(lambda: os.ftruncate(fd, size)), os.lseek(fd, -size, os.SEEK_END), attempt(lambda: os.read(fd, 9))]
        os.fdatasync(fd)
        return [*got, os.fstat(fd).st_size]
    finally:
        os.close(fd)


def synced(path):
    """Make the names in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def described(path):
    """What can be seen of a path without opening it."""
    info = os.lstat(path)
    return oct(info.st_mode), info.st_nlink if not path.is_dir() else 0, info.st_size if path.is_file() else 0, path.exists()


name = st.sampled_from(NAMES)
data = st.binary(max_size=9).map(lambda value: value.hex().encode())
size = st.integers(0, 9)
flags = st.tuples(
    st.sampled_from([os.O_RDONLY, os.O_WRONLY, os.O_RDWR]),
    st.sampled_from([0, os.O_CREAT, os.O_CREAT | os.O_EXCL]),
    st.sampled_from([0, os.O_TRUNC]),
    st.sampled_from([0, os.O_APPEND]),
).map(sum)
step = st.one_of(
    st.tuples(st.just("use"), name, st.sampled_from(MODES), data, st.booleans()),
    st.tuples(st.just("use"), name, st.sampled_from(["w", "a"]), data, st.booleans()),
    st.tuples(st.just("low"), name, flags, data, size, size),
    st.tuples(st.sampled_from(["mkdir", "rmdir", "unlink", "sync", "stat", "list", "read", "makedirs"]), name),
    st.tuples(st.sampled_from(["rename", "replace", "link", "symlink", "copyfile", "move"]), name, name),
    st.tuples(st.just("truncate"), name, size),
    st.tuples(st.just("keep"), name, data),
    st.tuples(st.sampled_from(["mkstemp", "rmtree"])),
)

DO = {
    "use": lambda base, path, mode, data, sync: use(base / path, mode, data, sync),
    "low": lambda base, path, flags, *rest: low(base / path, flags, *rest),
    "mkdir": lambda base, path: (base / path).mkdir(),
    "rmdir": lambda base, path: os.rmdir(base / path),
    "unlink": lambda base, path: (base / path).unlink(),
    "sync": lambda base, path: synced(base / path),
    "stat": lambda base, path: described(base / path),
    "list": lambda base, path: sorted(os.listdir(base / path)),
    "read": lambda base, path: (base / path).read_bytes(),
    "makedirs": lambda base, path: os.makedirs(base / path, exist_ok=True),
    "rename": lambda base, old, new: os.rename(base / old, base / new),
    "replace": lambda base, old, new: (base / old).replace(base / new) and None,
    "link": lambda base, old, new: os.link(base / old, base / new),
    "symlink": lambda base, old, new: os.symlink(old, base / new),
    "copyfile": lambda base, old, new: shutil.copyfile(base / old, base / new) and None,
    "move": lambda base, old, new: shutil.move(base / old, base / new) and None,
    "truncate": lambda base, path, size: os.truncate(base / path, size),
    "mkstemp": lambda base: os.close(tempfile.mkstemp(dir=base)[0]),
    "rmtree": lambda base: shutil.rmtree(base / "d"),
}


def ran(base, program):
    """Run a program in a directory of its own; its results. What it keeps open is never closed: its buffers are lost."""
    base.mkdir()
    kept, results = [], []
    for kind, *arguments in program:
        if kind == "keep":
            path, content = arguments

            def keep(path=path, content=content):
                kept.append(open(base / path, "ab"))
                return kept[-1].write(content)

            results.append(attempt(keep))
        else:
            results.append(attempt(lambda kind=kind, arguments=arguments: DO[kind](base, *arguments)))
    return results, kept


@settings(max_examples=4)
@given(programs=st.lists(st.lists(step, min_size=8, max_size=25), min_size=20, max_size=20))
def test_random_programs_leave_the_same_log(programs):
    """Whatever a program does with files, and whatever fails, both disks answer and record the same."""
    held = []

    def program(world):
        results = []
        for place, steps in enumerate(programs):
            found, kept = ran(world.root / f"p{place}", steps)
            results.append(found)
            held.extend(kept)
        return results

    same(program, models=("process-kill",))


@settings(max_examples=2)
@given(programs=st.lists(st.lists(step, min_size=8, max_size=12), min_size=6, max_size=6))
def test_random_programs_leave_the_same_crash_states(programs):
    """From equal logs equal crash states follow, under every model."""
    held = []

    def played(steps):
        def program(world):
            found, kept = ran(world.root / "p", steps)
            held.extend(kept)
            return found

        return program

    same(*map(played, programs))


def test_the_standard_library_does_the_same():
    """Buffers, temporary files, JSON, copies and listings go through Python's own code, and end up in the same log."""
    held = []

    def program(world):
        root = world.root
        (root / "deep" / "er").mkdir(parents=True)
        with open(root / "big", "w") as file:
            file.writelines(f"line {number}\n" for number in range(4000))
        with open(root / "rows.json", "w") as file:
            json.dump({"rows": list(range(3000))}, file, indent=1)
        with tempfile.NamedTemporaryFile(dir=root, delete=False) as file:
            file.write(b"x" * 10_000)
        os.replace(file.name, root / "deep" / "named")
        with tempfile.TemporaryDirectory(dir=root) as folder:
            shutil.copytree(root / "deep", Path(folder) / "copy")
        with open(root / "big", "r+b", buffering=0) as raw:
            raw.seek(10)
            raw.write(b"middle")
            raw.truncate(100)
        held.append(open(root / "lines", "w", buffering=1))
        held[-1].write("now\nlater")
        walked = sorted((os.path.relpath(top, root), sorted(folders), sorted(files)) for top, folders, files in os.walk(root))
        return walked, sorted(path.name for path in root.rglob("*")), (root / "lines").read_text()

    ((_, log, _),) = same(program, models=("process-kill", "strict"))
    assert len(log) > 20
