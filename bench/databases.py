"""What it costs to see SQLite, as numbers: per transaction against SQLite alone, and crash states per second.

Rule: ratios are taken in one run, native and recorded in turns, because machines are shared and noisy; nothing here passes or fails.
Wall-clock time for transactions, because on a disk they wait for it; CPU time for crash states.
"""

from __future__ import annotations

import sqlite3
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from pytest_durability.history import History
from pytest_durability.persistence import model as model_named
from pytest_durability.world.arena import Arena, memory_directory
from pytest_durability.world.disk.image import EMPTY
from pytest_durability.world.disk.interpose import interposed
from pytest_durability.world.disk.recorder import Recorder
from pytest_durability.world.disk.states import build, walk

MODES = (("wal", "full"), ("wal", "normal"), ("delete", "full"))
ROUNDS, TRANSACTIONS, MODELS = 7, 60, ("strict", "ext4-delalloc", "posix")


@contextmanager
def connected(folder: Path, mode: tuple[str, str]) -> Iterator[sqlite3.Connection]:
    """A connection to a new database with one table."""
    with closing(sqlite3.connect(folder / "bench.db", isolation_level=None)) as connection:
        connection.execute(f"pragma journal_mode={mode[0]}")
        connection.execute(f"pragma synchronous={mode[1]}")
        connection.execute("create table t(id integer primary key, body text)")
        yield connection


def writing(folder: Path, mode: tuple[str, str]) -> float:
    """Seconds for a transaction of one row."""
    with connected(folder, mode) as connection:
        return usual(connection, "insert into t(body) values (?)", ("x" * 200,))


def reading(folder: Path, mode: tuple[str, str]) -> float:
    """Seconds for a query of one row by its key."""
    with connected(folder, mode) as connection:
        connection.execute("insert into t(body) values ('x')")
        return usual(connection, "select body from t where id = ?", (1,))


def usual(connection: sqlite3.Connection, statement: str, values: tuple[object, ...]) -> float:
    """The median of the seconds that a statement takes."""
    taken = []
    for _ in range(TRANSACTIONS):
        start = time.perf_counter()
        connection.execute(statement, values).fetchall()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def costs() -> None:
    """Native against recorded, by place, mode and kind of transaction."""
    print("tap:     place       mode          what    native us  recorded us  ratio")
    places = [("memory", memory_directory()), ("disk", str(Path(__file__).parent))]
    for place, parent in places:
        for mode in MODES:
            for what, action in (("write", writing), ("read", reading)):
                native, recorded = [], []
                for _ in range(ROUNDS):
                    with tempfile.TemporaryDirectory(dir=parent) as folder:
                        native.append(action(Path(folder), mode))
                    with tempfile.TemporaryDirectory(dir=parent) as folder, interposed():
                        recorder = Recorder(folder, History(), EMPTY)
                        with recorder:
                            recorded.append(action(Path(folder), mode))
                            recorder.kill()
                ours, theirs = statistics.median(recorded) * 1e6, statistics.median(native) * 1e6
                name = f"{mode[0]} {mode[1]}"
                print(f"         {place:10s}  {name:12s}  {what:6s}  {theirs:9.0f}  {ours:11.0f}  {ours / theirs:5.2f}")


def states() -> None:
    """Crash states of 20 transactions: made, mounted, recovered by SQLite, checked for integrity and read."""
    print("states:  mode          model          states   CPU s  states/s")
    for mode in MODES:
        with Arena() as arena:
            history = History()
            recorder = Recorder(arena.root, history, EMPTY)
            with recorder, connected(arena.root, mode) as connection:
                for _ in range(20):
                    connection.execute("insert into t(body) values (?)", ("x" * 200,))
                recorder.kill()
            for name in MODELS:
                start, seen = time.process_time(), set()
                for cut in walk(build(EMPTY, history, model_named(name)), limit=3000):
                    if cut.content not in seen:
                        seen.add(cut.content)
                        arena.mount(cut.image())
                        with closing(sqlite3.connect(arena.root / "bench.db")) as connection:
                            assert connection.execute("pragma integrity_check").fetchone() == ("ok",)
                            connection.execute("select name from sqlite_master").fetchall()
                used = time.process_time() - start
                label = f"{mode[0]} {mode[1]}"
                print(f"         {label:12s}  {name:13s}  {len(seen):6d}  {used:6.2f}  {len(seen) / used:8.0f}")


if __name__ == "__main__":
    costs()
    states()
