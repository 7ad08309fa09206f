"""How many orders of turns can be tried in a second, and how many it takes to find a lost update, beside plain asyncio.

Rule: CPU time, medians over many seeds, and both ways measured in one run; nothing here passes or fails.
"""

from __future__ import annotations

import asyncio
import functools
import random
import statistics
import time
from collections.abc import Awaitable, Callable

from pytest_durability.world.turns.loop import TurnLoop
from pytest_durability.world.turns.order import Anyhow, Chooser, Order, Rare, Stay
from pytest_durability.world.turns.overlap import run_turns
from pytest_durability.world.turns.search import Search
from pytest_durability.world.turns.threads import give_way, run_threads

SEEDS, MOST = 200, 2000
Pause = Callable[[], Awaitable[None]]


async def turn(store: list[str], name: str, before: int, pause: Pause) -> None:
    """Waits so often, then loads, asks the model, saves: whoever saved meanwhile is lost."""
    for _ in range(before):
        await pause()
    history = list(store)
    await pause()
    store[:] = [*history, name]


async def _yields() -> None:
    await asyncio.sleep(0)


def on_the_loop(chooser: Chooser) -> bool:
    """Whether this order loses an update."""
    store: list[str] = []
    loop = TurnLoop()
    try:
        run_turns(loop, [lambda: turn(store, "a", 2, _yields), lambda: turn(store, "b", 4, _yields)], chooser)
    finally:
        loop.close()
    return len(store) < 2


def with_sleeps(source: random.Random) -> bool:
    """Whether stock asyncio loses an update when every pause is a random sleep of up to 0.2 ms."""
    store: list[str] = []

    async def pause() -> None:
        await asyncio.sleep(source.random() * 0.0002)

    async def both() -> None:
        await asyncio.gather(turn(store, "a", 2, pause), turn(store, "b", 4, pause))

    asyncio.run(both())
    return len(store) < 2


def in_threads(chooser: Chooser) -> bool:
    """The same store in two threads."""
    store: list[str] = []

    def life(name: str, before: int) -> Callable[[], None]:
        def run() -> None:
            for _ in range(before):
                give_way()
            history = list(store)
            give_way()
            store[:] = [*history, name]

        return run

    run_threads([life("a", 2), life("b", 4)], chooser)
    return len(store) < 2


def until_found(tries: Callable[[int], bool], most: int = MOST) -> int:
    """How many tries it takes; `most` if none of so many finds it."""
    return next((number for number in range(1, most + 1) if tries(number)), most)


def searched() -> int:
    """How many orders the search tries until it finds it: it draws nothing, so this is one number."""
    for number, attempt in enumerate(Search(), start=1):
        if on_the_loop(attempt):
            return number
    return MOST


def rate(action: Callable[[], object], count: int) -> float:
    """Runs in a second of CPU time."""
    before = time.process_time()
    for _ in range(count):
        action()
    return count / (time.process_time() - before)


def main() -> None:
    """Print both tables."""
    print("orders in a CPU second, two turns of 12 steps together")
    print(f"  turn loop, no preemption   {rate(lambda: on_the_loop(Stay()), 1000):8.0f}")
    print(f"  turn loop, random          {rate(lambda: on_the_loop(Anyhow(1)), 1000):8.0f}")
    print(f"  turn loop, order replayed  {rate(lambda: on_the_loop(Order.parse('0 1 1 1 0').chooser()), 1000):8.0f}")
    source = random.Random(1)
    print(f"  asyncio.run, random sleeps {rate(lambda: with_sleeps(source), 200):8.0f}")
    print(f"  threads, no preemption     {rate(lambda: in_threads(Stay()), 200):8.0f}")
    print(f"  threads, random            {rate(lambda: in_threads(Anyhow(1)), 200):8.0f}")
    print(f"orders until the lost update is found, median of {SEEDS} (the search is not random)")
    print(f"  search, few preemptions first    {searched():5}")
    for name, make in (("random, few preemptions", functools.partial(Rare, points=12)), ("random, any", Anyhow)):
        found = [until_found(lambda n, seed=seed, make=make: on_the_loop(make(seed * MOST + n))) for seed in range(SEEDS)]
        print(f"  {name:32} {statistics.median(found):5.0f}   most {max(found)}")
    seeds = range(SEEDS // 20)
    sources = [random.Random(seed) for seed in seeds]
    stock = [until_found(lambda _n, source=source: with_sleeps(source), 300) for source in sources]
    print(f"  plain asyncio, random sleeps     {statistics.median(stock):5.0f}   most {max(stock)} (of 300; {len(seeds)} times)")


if __name__ == "__main__":
    main()
