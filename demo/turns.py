"""Shows a lost update between two turns: found, shortened, told as a timeline, run again; in tasks, in threads and in two processes.

Rule: nothing is staged, and each search is a new one. What depends on a real clock (how long pytest took, how often random
sleeps must be tried) is no two times the same, and the latter goes to the standard error.
"""

from __future__ import annotations

import asyncio
import random
import re
import statistics
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from run import finding, pytest
from test_turns import Naive, thinks

from pytest_durability.checkers.overlapped import judge_overlap
from pytest_durability.checkers.wholes import DONE, RAISED, Whole
from pytest_durability.verdict import Anomaly
from pytest_durability.world.turns.order import Anyhow, Rare
from pytest_durability.world.turns.overlap import Overlapped
from pytest_durability.world.turns.processes import Processes
from pytest_durability.world.turns.turns import Turns
from pytest_durability.world.world import open_world

SAID = (("u1", "a1"), ("u2", "a2"))
"""What the two turns say: a question and its answer each."""

MOST, SEEDS = 500, 9


def wrong(found: Overlapped, rows: list[str]) -> Anomaly | None:
    """What is wrong with the session that two turns left."""
    turns = [
        Whole(f"turn {ended.name}", SAID[at], ended.began, ended.over, DONE if ended.error is None else RAISED)
        for at, ended in enumerate(found.ended)
    ]
    return judge_overlap(turns, rows)


def reported() -> bool:
    """The naive store in pytest: a report with a column for each turn, and the command that it names brings the same back."""
    with tempfile.TemporaryDirectory() as cases:
        where = f"--durability-dir={cases}"
        print("1. Two turns of an async store that reads, asks the model, and writes.")
        naive, report = pytest("test_turns.py::test_naive", "--durability-seed=1", where)
        found = re.search(r"--durability-replay=(\w+)", report)
        if found is None:
            print("the report names no command that reproduces it")
            return False
        print("2. The saved case again, without any search.")
        again, repeated = pytest("test_turns.py::test_naive", f"--durability-replay={found[1]}", where)
        print("3. The store with a lock around each turn, under the same search.")
        locked, _ = pytest("test_turns.py::test_locked", "--durability-seed=1", where)
    same = bool(finding(report)) and set(finding(repeated)) <= set(finding(report))
    short = "ReorderTurns(turns=(0, 1), choices=(0, 1))" in report
    return (naive, again, locked, same, short) == (1, 1, 0, True, True)


def in_threads() -> bool:
    """The same store in two threads: searched, told with its timeline, and its order run once more."""
    told = []
    with open_world() as world:

        def program(order: str | None = None) -> None:
            for file in world.root.iterdir():
                file.unlink()
            one = Naive(world.root)
            turns = [lambda texts=texts: one.blocking_turn(texts) for texts in SAID]
            anomaly = wrong(world.turns.overlap(*turns, how="threads", order=order), one.load())
            if anomaly is not None:
                raise anomaly

        try:
            world.turns.explore(program)
        except Anomaly as anomaly:
            told = [str(anomaly), *anomaly.__notes__]
        print("\n".join(told), end="\n\n")
        order = re.search(r"order='(.*)'", "\n".join(told))
        if order is None:
            return False
        try:
            program(order[1])
        except Anomaly as again:
            return str(again) == told[0] and world.turns.timeline() == told[-1] and "(1 preemptions" in told[1]
    return False


def in_processes() -> bool:
    """Two real processes: the first one stands before each of its operations in turn, and the second one runs meanwhile."""
    lost = []
    with open_world() as world:
        for stands in ("open:*:1", "write:*:1", "rename:*:1", ""):
            for file in world.root.iterdir():
                file.unlink()
            one = Naive(world.root)
            one.save(["u0"])
            with Processes(world.root, *((lambda texts=texts, one=one: one.blocking_turn(texts)) for texts in SAID)) as both:
                at = both.run(0, until=stands).at
                ended = [both.run(number) for number in (1, 0)]
            anomaly = judge_overlap([Whole(f"process {n}", SAID[n], 1, 9) for n in (0, 1)], one.load())
            lost += [stands] if anomaly is not None else []
            where = f"stands before {at.rpartition(':')[0]}" if at else "runs to its end"
            verdict = "fine" if anomaly is None else type(anomaly).__name__
            print(f"  the first one {where:<40} left: {' '.join(one.load()):<15} {verdict}")
            if not all(end.over and end.error is None for end in ended):
                return False
    print()
    return lost == ["write:*:1", "rename:*:1"]


def until_found(tries: Callable[[int], bool]) -> int:
    """How many tries it takes."""
    return next((number for number in range(1, MOST + 1) if tries(number)), MOST)


def loses(turns: Turns, chooser: Rare | Anyhow, folder: Path) -> bool:
    """Whether this order loses an update of two turns that do other things before."""
    one, turns.chooser = Naive(folder), chooser
    one.path.unlink(missing_ok=True)
    turns.overlap(
        *(lambda texts=texts, waits=waits: longer(one, texts, waits, thinks) for texts, waits in zip(SAID, (2, 4), strict=True))
    )
    return len(one.load()) < len(SAID) * 2


async def longer(one: Naive, texts: tuple[str, ...], waits: int, model: Callable[[], Awaitable[None]]) -> None:
    """A turn that waits for other things first, as real ones do."""
    for _ in range(waits):
        await model()
    await one.turn(texts, model)


def with_sleeps(source: random.Random, folder: Path) -> bool:
    """The same on stock asyncio, where each wait is a random sleep of up to 0.2 ms."""
    one = Naive(folder)
    one.path.unlink(missing_ok=True)

    async def sleeps() -> None:
        await asyncio.sleep(source.random() * 0.0002)

    async def both() -> None:
        await asyncio.gather(*(longer(one, texts, waits, sleeps) for texts, waits in zip(SAID, (2, 4), strict=True)))

    asyncio.run(both())
    return len(one.load()) < len(SAID) * 2


def tries() -> None:
    """Print the medians; what sleeps decide is no two times the same, so that line goes to the standard error."""
    with open_world() as world:
        print(f"tries until the lost update shows, median of {SEEDS}")
        for name, make in (
            ("chosen orders, few preemptions", lambda seed: Rare(seed, points=12)),
            ("chosen orders, any", Anyhow),
        ):
            found = [
                until_found(lambda n, seed=seed, make=make: loses(world.turns, make(seed * MOST + n), world.root))
                for seed in range(SEEDS)
            ]
            print(f"  {name:<32} {statistics.median(found):5.0f}", flush=True)
        sources = [random.Random(seed) for seed in range(SEEDS)]
        slept = [until_found(lambda _n, source=source: with_sleeps(source, world.root)) for source in sources]
        print(f"  {'plain asyncio, random sleeps':<32} {statistics.median(slept):5.0f}", file=sys.stderr, flush=True)


def main() -> int:
    """Exit status 0 if each way found the lost update, what was saved brought it back, and the repaired store held."""
    done = {"tasks": reported()}
    print("4. The same store in two threads, which change places at recorded operations.")
    done["threads"] = in_threads()
    print("5. The same store in two processes.")
    done["processes"] = in_processes()
    tries()
    print("\n" + "\n".join(f"{name}: {'as it should be' if right else 'NOT AS IT SHOULD BE'}" for name, right in done.items()))
    return 0 if all(done.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
