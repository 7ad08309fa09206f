"""The computed states of a process kill are compared with real ones: a child process, killed at every operation."""

from __future__ import annotations

import json
import os
import shutil
import tempfile

import pytest

from pytest_durability import Lane, Message
from pytest_durability.capabilities import Capabilities
from pytest_durability.persistence import PROCESS_KILL
from pytest_durability.recording import Play
from pytest_durability.workload import standard
from pytest_durability.world.arena import Arena
from pytest_durability.world.disk.chains import Chains
from pytest_durability.world.disk.cuts import walk
from pytest_durability.world.disk.image import snapshot
from pytest_durability.world.process import in_child, kill_now


class Buffered:
    """Appends text through a buffered file that stays open, and flushes it."""

    def __init__(self, root):
        self.file = open(root / "log.txt", "a", encoding="utf-8")
        self.path = root / "log.txt"

    def add(self, row):
        self.file.write(json.dumps(row) + "\n")
        self.file.flush()

    def rows(self):
        return [json.loads(line) for line in self.path.read_text(encoding="utf-8").splitlines()]


class Replaced:
    """Writes the whole session to a temporary file and renames it."""

    def __init__(self, root):
        self.path = root / "session.json"

    def add(self, row):
        fd, name = tempfile.mkstemp(dir=self.path.parent)
        with os.fdopen(fd, "w") as file:
            json.dump([*self.rows(), row], file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, self.path)

    def rows(self):
        return json.loads(self.path.read_text()) if self.path.exists() else []


class Raw:
    """Uses descriptors: O_APPEND, write, writev, pwrite of a header."""

    def __init__(self, root):
        self.path = root / "raw"
        self.fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        self.head = os.open(root / "head", os.O_RDWR | os.O_CREAT)

    def add(self, row):
        os.writev(self.fd, [json.dumps(row).encode(), b"\n"])
        os.pwrite(self.head, b"%08d" % os.fstat(self.fd).st_size, 0)
        os.fdatasync(self.fd)

    def rows(self):
        return [json.loads(line) for line in self.path.read_bytes().splitlines()]


class FilePerMessage:
    """One file a message in a directory of its own; the last one is also linked as `latest`."""

    def __init__(self, root):
        self.folder = root / "messages"
        self.folder.mkdir(exist_ok=True)

    def add(self, row):
        path = self.folder / f"m{len(os.listdir(self.folder)):04d}.json"
        path.write_text(json.dumps(row))
        latest = self.folder.parent / "latest"
        if latest.exists():
            latest.unlink()
        os.link(path, latest)

    def rows(self):
        return [json.loads(path.read_text()) for path in sorted(self.folder.iterdir())]


class InPlace:
    """Truncates and rewrites in place, after a copy to a backup directory that is swapped in by rename."""

    def __init__(self, root):
        self.folder = root / "data"
        self.folder.mkdir(exist_ok=True)
        self.path = self.folder / "s.json"

    def add(self, row):
        backup = self.folder.parent / "backup"
        shutil.rmtree(backup, ignore_errors=True)
        shutil.copytree(self.folder, backup)
        rows = [*self.rows(), row]
        with open(self.path, "w") as file:
            json.dump(rows, file)
            file.truncate()

    def rows(self):
        return json.loads(self.path.read_text()) if self.path.exists() else []


class Symlinked:
    """Writes numbered versions and points a symbolic link at the newest one."""

    def __init__(self, root):
        self.root = root

    def add(self, row):
        rows = [*self.rows(), row]
        target = f"v{len(rows)}"
        (self.root / target).write_text(json.dumps(rows))
        temporary = self.root / "current.new"
        os.symlink(target, temporary)
        os.rename(temporary, self.root / "current")

    def rows(self):
        current = self.root / "current"
        return json.loads(current.read_text()) if current.exists() else []


STORES = [Buffered, Replaced, Raw, FilePerMessage, InPlace, Symlinked]


def adapter_of(store):
    """The adapter of one of these stores."""

    class Adapter:
        def open(self, world):
            return store(world.root)

        def append(self, session, message):
            session.add([message.role, message.text])

        def transcript(self, session):
            return [Message(role, text) for role, text in session.rows()]

    return Adapter


class KillBefore:
    """A gate that ends the process before the operation that would get this number in the history."""

    def __init__(self, seq):
        self.seq = seq

    def before(self, kind, path, size, recorder):
        if len(recorder.history) + 1 == self.seq:
            kill_now()


@pytest.mark.parametrize("store", STORES, ids=lambda store: store.__name__)
def test_computed_kill_states_are_those_of_real_kills(store):
    """A process killed before each of its operations leaves exactly the directory that was computed for that moment."""
    adapter = adapter_of(store)
    able = Capabilities.of(adapter())
    steps = standard(batches=False, commits=False, closes=False, ids=False)
    with Arena() as arena:
        recording = Play(adapter, able, arena).run(steps)
        chains = Chains.build(recording.initial, recording.history, PROCESS_KILL)
        computed = {}
        for cut in walk(chains):
            for point in range(cut.first, cut.last + 1):
                computed[point] = cut.image().key()
        done = [op.seq for op in recording.history.lane(Lane.DISK) if op.kind != "close"]
        for seq in done:
            ended = in_child(lambda seq=seq: Play(adapter, able, arena, gate=KillBefore(seq)).run(steps))
            assert ended.killed, f"the child was to die before op {seq}: {ended}"
            assert snapshot(arena.root).key() == computed[seq - 1], f"killed before {recording.history[seq - 1]}"
    assert len(done) >= 5
