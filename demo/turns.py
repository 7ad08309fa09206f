"""Shows a lost update between two turns: found, shortened, told as a timeline, run again; in tasks, in threads and in two processes.

Rule: nothing is staged, and each search is a new one; only the last lines, which count tries with real clocks, differ from run to run.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import statistics
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from pytest_durability.checkers.overlapped import judge_overlap
from pytest_durability.checkers.wholes import DONE, RAISED, Whole
from pytest_durability.verdict import Anomaly
from pytest_durability.world.turns.order import Anyhow, Rare
from pytest_durability.world.turns.overlap import Overlapped
from pytest_durability.world.turns.processes import Processes
from pytest_durability.world.turns.turns import Turns
from pytest_durability.world.world import World, open_world

SAID = (("u1", "a1"), ("u2", "a2"))
"""What the two turns say: a question and its answer each."""

MOST, SEEDS = 500, 9


class Naive:
    """Reads the session, asks the model, writes the session and the turn."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "session.json"

    def load(self) -> list[str]:
        """Everything said so far."""
        return list(json.loads(self.path.read_text())) if self.path.exists() else []

    def save(self, rows: list[str]) -> None:
        """Replace the session by way of a temporary file of one's own, so that no reader sees half of it."""
        temporary = self.path.with_suffix(f".{rows[-1]}")
        temporary.write_text(json.dumps(rows))
        os.replace(temporary, self.path)

    async def turn(self, texts: tuple[str, ...], model: Callable[[], Awaitable[None]]) -> None:
        """One turn; while the model thinks, others go on."""
        rows = self.load()
        await model()
        self.save([*rows, *texts])

    def blocking_turn(self, texts: tuple[str, ...]) -> None:
        """The same without asyncio."""
        self.save([*self.load(), *texts])


class Locked(Naive):
    """The same with a lock around each turn."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.lock = asyncio.Lock()

    async def turn(self, texts: tuple[str, ...], model: Callable[[], Awaitable[None]]) -> None:
        """One turn at a time."""
        async with self.lock:
            await super().turn(texts, model)


async def thinks() -> None:
    """The model call, without its time."""
    await asyncio.sleep(0)


def wrong(found: Overlapped, rows: list[str]) -> Anomaly | None:
    """What is wrong with the session that two turns left."""
    turns = [
        Whole(f"turn {ended.name}", SAID[at], ended.began, ended.over, DONE if ended.error is None else RAISED)
        for at, ended in enumerate(found.ended)
    ]
    return judge_overlap(turns, rows)


def program(world: World, store: type[Naive], how: str = "tasks", order: str | None = None) -> Callable[[], None]:
    """Two turns on an empty session, judged."""

    def run() -> None:
        for file in world.root.iterdir():
            file.unlink()
        one = store(world.root)
        turns = [
            (lambda texts=texts: one.blocking_turn(texts)) if how == "threads" else (lambda texts=texts: one.turn(texts, thinks))
            for texts in SAID
        ]
        anomaly = wrong(world.turns.overlap(*turns, how=how, order=order), one.load())
        if anomaly is not None:
            raise anomaly

    return run


def searched(how: str) -> bool:
    """Search, print the finding with its timeline, and run its order once more; whether all of that went as it should."""
    with open_world() as world:
        try:
            world.turns.explore(program(world, Naive, how))
        except Anomaly as anomaly:
            print(f"{type(anomaly).__name__}: {anomaly}\n")
            print("\n".join(anomaly.__notes__), end="\n\n")
            order = re.search(r"order='(.*)'", anomaly.__notes__[0])
            told = str(anomaly)
            first = world.turns.timeline()
        else:
            print("nothing was found")
            return False
    assert order is not None
    with open_world() as world:
        try:
            program(world, Naive, how, order[1])()
        except Anomaly as again:
            same = str(again) == told and world.turns.last is not None and world.turns.last.preemptions == 1
            print(f"order {order[1]!r} again, in a new world: {'the same finding' if same else 'ANOTHER FINDING'}\n")
            return same and bool(first)
    print("the order did not bring it back\n")
    return False


def held() -> bool:
    """The locked twin under every order with up to two preemptions."""
    with open_world() as world:
        explored = world.turns.explore(program(world, Locked))
    print(f"with a lock around each turn: {explored.runs} orders, complete: {explored.complete}, nothing is wrong\n")
    return explored.complete


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
            print(f"  the first one {where:<32} left: {' '.join(one.load()):<15} {verdict}")
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
    """Exit status 0 if each way found the lost update, its order brought it back, and the repaired store held."""
    print("1. Two turns of an async store that reads, asks the model, and writes.")
    tasks = searched("tasks")
    print("2. The repaired store.")
    repaired = held()
    print("3. The same store in two threads, which change places at recorded operations.")
    threads = searched("threads")
    print("4. The same store in two processes.")
    processes = in_processes()
    tries()
    done = {"tasks": tasks, "repaired": repaired, "threads": threads, "processes": processes}
    print("\n" + "\n".join(f"{name}: {'as it should be' if right else 'NOT AS IT SHOULD BE'}" for name, right in done.items()))
    return 0 if all(done.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
