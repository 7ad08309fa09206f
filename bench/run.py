"""How fast it is, as numbers: states per second, share of the store, recorder cost, start-up cost, growth.

Rule: CPU time, and ratios taken in one run, because machines are shared and noisy; nothing here passes or fails.
"""

from __future__ import annotations

import functools
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from shares import shares
from stores import LazyLogAdapter, LogAdapter

from pytest_durability import Append, Workload
from pytest_durability.explore.examine import Examiner
from pytest_durability.history import History, Lane
from pytest_durability.recording import Play
from pytest_durability.reopening import Reopener
from pytest_durability.runner import Runner
from pytest_durability.world.arena import Arena, memory_directory
from pytest_durability.world.disk.image import snapshot
from pytest_durability.world.disk.interpose import interposed
from pytest_durability.world.disk.recorder import Recorder
from pytest_durability.world.process import in_child, kill_now
from tests.reference_impl.adapter import ReferenceSession

MODELS = ("process-kill", "strict", "ext4-delalloc", "posix")


def appends(count: int) -> Workload:
    """A workload of so many appends of about 100 bytes."""
    return Workload(tuple(Append("user" if i % 2 else "assistant", f"zm{i + 1}z {'x' * 80}") for i in range(count)))


def cpu(action: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds of this process and its children, and what the action returned."""
    before = _used()
    value = action()
    return _used() - before, value


def _used() -> float:
    parts = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(part.ru_utime + part.ru_stime for part in parts)


def growth() -> None:
    """How states and time grow with the number of appends, within 2,000 cuts a model."""
    print("growth: appends  synced  model           cuts  states  opened    CPU s  states/s")
    for adapter, synced in ((LogAdapter, "yes"), (LazyLogAdapter, "no")):
        for count in (10, 100, 1000):
            with Arena() as arena:
                runner = Runner(adapter, arena)
                examiner = Examiner(runner, runner.prepare(appends(count)), limit=2_000)
                for model in MODELS:
                    seconds, tally = cpu(functools.partial(examiner.examine, model))
                    rate = tally.opened / seconds if seconds else 0
                    print(
                        f"        {count:7}  {synced:6}  {model:13} {tally.cuts:6}  {tally.states:6}  {tally.opened:6}  "
                        f"{seconds:7.3f}  {rate:8.0f}{'  limit reached' if tally.cut_short else ''}"
                    )


def sweeping() -> None:
    """States mounted, reopened and judged per second on the reference session store, and the store's share of it."""
    for depth in (1, 2):
        with Arena() as arena:
            runner = Runner(ReferenceSession, arena)
            examiner = Examiner(runner, runner.prepare(runner.workload()), depth)
            before = runner.reopener.seconds
            seconds, tallies = cpu(functools.partial(list, map(examiner.examine, MODELS)))
        opened = sum(tally.opened for tally in tallies)
        judged = sum(tally.cuts + tally.deeper for tally in tallies)
        share = (runner.reopener.seconds - before) / seconds
        print(
            f"sweep of the reference store, depth {depth}: {opened} opens in {seconds:.2f} CPU s = {opened / seconds:.0f}/s "
            f"(must 1,500, aim 5,000); {judged - opened} memoised repeats counted apart, {judged / seconds:.0f}/s with them; "
            f"share inside the store {share:.0%} (must 50%, aim 80%)"
        )


def profile() -> None:
    """Where the time of the sweep of the reference store goes, beside the target for the store's own share."""
    with Arena() as arena:
        runner = Runner(ReferenceSession, arena)
        case = runner.prepare(runner.workload())
        list(map(Examiner(runner, case).examine, MODELS))  # what is made once is not what a sweep is made of
        found = shares(lambda: [Examiner(Runner(ReferenceSession, arena), case).examine(model) for model in MODELS])
    told = ", ".join(f"{part} {share:.0%}" for part, share in sorted(found.items(), key=lambda item: -item[1]))
    print(
        f"profile of that sweep, depth 1: {told} (store: must 50%, aim 80%; the profiler counts calls dear, so read it as a ranking)"
    )


class KillBefore:
    """A gate that ends the process before the operation that would get this number."""

    def __init__(self, seq: int) -> None:
        self.seq = seq

    def before(self, kind: str, path: str, size: int, recorder: Recorder) -> None:
        """Kill if the moment has come."""
        del kind, path, size
        if len(recorder.history) + 1 == self.seq:
            kill_now()


def killing() -> None:
    """The same crash points by killing a process at every operation, against the sweep under process-kill."""
    steps = appends(20)
    with Arena() as arena:
        runner = Runner(LogAdapter, arena)
        case = runner.prepare(steps)
        seconds, _ = cpu(lambda: Examiner(runner, case).examine("process-kill"))
        points = [op for op in case.history.lane(Lane.DISK) if op.kind != "close"]

        def all_points() -> int:
            for op in points:
                in_child(lambda seq=op.seq: Play(LogAdapter, runner.able, arena, gate=KillBefore(seq)).run(steps))
                in_child(lambda: Reopener(LogAdapter, runner.able, arena).open_now(snapshot(arena.root)))
            return len(points)

        killed, count = cpu(all_points)
    each, each_killed = seconds / len(case.history), killed / count
    print(f"kill baseline: {count} kills in {killed:.2f} CPU s = {each_killed * 1000:.1f} ms a crash point")
    print(f"       sweep: {each * 1000:.3f} ms a crash point, {each_killed / each:.0f}x less (must 30x, aim 100x)")


def recording() -> None:
    """What the recorder costs on an append with fsync, raw against recorded, alternating in one run."""

    def work(folder: str) -> None:
        for _ in range(200):
            with open(f"{folder}/log", "ab") as file:
                file.write(b"x" * 100)
                file.flush()
                os.fsync(file.fileno())

    raw, recorded = [], []
    with tempfile.TemporaryDirectory(dir=memory_directory()) as folder:
        for _ in range(9):
            raw.append(cpu_fine(lambda: work(folder)))
            with interposed():
                recorder = Recorder(folder, History(), snapshot(folder))
                recorder.start()
                recorded.append(cpu_fine(lambda: work(folder)))
                recorder.stop()
            os.unlink(f"{folder}/log")
    ratio = sorted(recorded)[4] / sorted(raw)[4]
    print(f"recorder: append + fsync {ratio:.2f}x raw (must 2x, aim 1.5x), {sorted(recorded)[4] / 200 * 1e6:.1f} us each, tmpfs")


def cpu_fine(action: Callable[[], Any]) -> float:
    """CPU seconds of this process, fine grained."""
    start = time.process_time()
    action()
    return time.process_time() - start


def start_up() -> None:
    """What the plugin adds to an unrelated pytest run, against an empty plugin: pytest's own search for a named one is not ours."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "test_x.py").write_text("def test_x():\n    pass\n")
        Path(folder, "empty_plugin.py").write_text("")
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", folder, "-p"]
        # As after an installation: the bytecode is there.
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environment |= {
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTHONPYCACHEPREFIX": f"{folder}/bytecode",
            "PYTHONPATH": os.pathsep.join(filter(None, [folder, os.environ.get("PYTHONPATH")])),
        }

        def run(plugin: str) -> float:
            done = functools.partial(subprocess.run, [*command, plugin], env=environment, stdout=subprocess.DEVNULL, check=True)
            return cpu(done)[0]

        pairs = [(run("empty_plugin"), run("pytest_durability.plugin")) for _ in range(12)][1:]
    differences = sorted(with_it - without for without, with_it in pairs)
    print(f"start-up: {differences[5] * 1000:+.1f} ms on an unrelated run (must 15, aim 5; median of 11)")


def main() -> None:
    """Print all figures."""
    print(f"Python {sys.version.split()[0]}, {os.cpu_count()} cores, root on {memory_directory() or tempfile.gettempdir()}")
    recording()
    sweeping()
    profile()
    killing()
    start_up()
    growth()


if __name__ == "__main__":
    main()
