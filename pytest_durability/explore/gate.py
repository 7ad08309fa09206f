"""The property gate: Hypothesis draws stories of a user and of what goes wrong, and every crash state of each is judged.

Rule: Hypothesis chooses and shrinks the steps; the crash at the end is not drawn but tried everywhere, which leaves nothing
to luck and shrinks to the fewest steps. No draw depends on the store, and no clock is read, so a search is never flaky.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from dataclasses import dataclass
from typing import Any

from hypothesis import seed as seeded
from hypothesis.errors import Flaky
from hypothesis.stateful import run_state_machine_as_test

from pytest_durability.arming import STREAMS, TURNS
from pytest_durability.errors import AdapterError, CaseError, InconclusiveError, UsageError
from pytest_durability.explore import case as cases
from pytest_durability.explore.disks import arena_on, check_disk
from pytest_durability.explore.factory import as_factory, reference_of
from pytest_durability.explore.keeper import Keeper
from pytest_durability.explore.machine import SessionMachine, bound
from pytest_durability.explore.orders import clock_of, overlapping, strike_clock, strike_orders
from pytest_durability.explore.places import strike_places
from pytest_durability.explore.profiles import EXAMPLES, STATES, profile
from pytest_durability.explore.replay import replay
from pytest_durability.explore.search import Search, by_model
from pytest_durability.explore.settings import Context
from pytest_durability.faults import NAMES, Crash, LostAck
from pytest_durability.persistence import fatal, resolve
from pytest_durability.runner import Runner, reraise
from pytest_durability.verdict import Anomaly, SweepReport

ROUNDS = 8
"""So many bugs are looked for, one after the other."""

SECOND = 10
"""So many stories at least are drawn for a second bug; otherwise a quarter of those for the first."""

STAGED = ("Crash", "WriteError", "ShortWrite", "LostWrite", "TornWrite", "LostAck", *STREAMS, *TURNS, "ClockStep")
"""Faults that may be asked for."""


@dataclass(frozen=True, slots=True)
class _Wish:
    """What the caller of a search asked for, see `check`."""

    faults: Any
    models: Any
    max_examples: int | None
    seed: int | None
    isolation: str
    disk: str


def check(
    adapter: Any,
    *,
    faults: Any = None,
    models: Any = None,
    max_examples: int | None = None,
    seed: int | None = None,
    isolation: str = "same",
    disk: str = "files",
    context: Context | None = None,
) -> SweepReport:
    """Draw stories, crash each of them everywhere, and raise the shortest failing one of each distinct bug.

    `faults`: classes, names or instances (None: what is within the promise). Saved cases of the test run first.

    Raises:
        Anomaly: a finding that the promise (or `models`, or `faults`) makes fatal; an ExceptionGroup for several.
        UsageError, AdapterError: the question was wrong.
    """
    __tracebackhide__ = True
    return _gate(SessionMachine, adapter, context or Context(), _Wish(faults, models, max_examples, seed, isolation, disk))


def run_machine(
    machine: type[SessionMachine],
    *,
    faults: Any = None,
    models: Any = None,
    max_examples: int | None = None,
    seed: int | None = None,
    isolation: str = "same",
    disk: str = "files",
    context: Context | None = None,
) -> SweepReport:
    """As `check`, with a machine of the user's own: the class attribute `adapter`, and more rules and invariants.

    Raises:
        Anomaly: as `check`; what a rule or an invariant raises leaves as it is, with the steps that led to it as notes.
        UsageError, AdapterError: the question was wrong.
    """
    __tracebackhide__ = True
    given: Any = machine
    if not isinstance(given, type) or not issubclass(given, SessionMachine):
        raise UsageError(
            f"run_machine({machine!r})",
            why="it runs a machine, not an adapter",
            fix="give a subclass of SessionMachine, or use check",
        )
    if machine.adapter is None:
        raise AdapterError(
            f"{machine.__name__} names no adapter",
            why="a machine drives a store through one",
            fix="set the class attribute `adapter`",
        )
    return _gate(machine, machine.adapter, context or Context(), _Wish(faults, models, max_examples, seed, isolation, disk))


def _gate(machine: type[SessionMachine], adapter: Any, context: Context, wish: _Wish) -> SweepReport:
    __tracebackhide__ = True
    _no_loop_runs()
    check_disk(wish.disk)
    reference = reference_of(adapter)
    _replay_saved(adapter, reference, wish.disk, context)
    start = time.process_time()
    with arena_on(wish.disk, context.seed, context) as arena:
        asked = wish.models if wish.models is not None else context.models
        runner = Runner(as_factory(adapter), arena, wish.isolation)
        chosen = resolve(asked)
        search = Search(
            runner,
            chosen,
            fatal(runner.able.promise, [model.name for model in chosen] if asked is not None else None),
            STATES[context.profile],
            long=context.profile != "dev",
            apart=wish.isolation == "process",
        )
        asked_for, search.instances, search.acks = _asked(wish.faults, runner)
        search.turns = tuple(name for name in asked_for if name in (*TURNS, "ClockStep"))
        search.names = tuple(name for name in asked_for if name not in (*STREAMS, *search.turns))
        search.streams = tuple(name for name in asked_for if name in STREAMS)
        if set(search.turns) & set(TURNS):
            runner.let_overlap()
        keeper = Keeper(reference, context, wish.disk)
        with keeper.watching(), clock_of(arena, wanted="ClockStep" in search.turns):
            found = _searched(machine, search, f"{reference} {context.test}", context, wish.max_examples, wish.seed)
            empty = search.vacuous(_list(wish.faults)) if not found else None
            if empty is not None:
                raise empty
            for anomaly in found:
                by_model(runner, anomaly, chosen, search.limit)
            report = search.report(found, time.process_time() - start)
            keeper.keep(report)
            reraise(report.anomalies, f"{len(report.anomalies)} distinct findings in {report.adapter}")
    if search.unknown:
        raise InconclusiveError("; ".join(sorted(search.unknown)[:5]), why="UNKNOWN is not a pass")
    return report


def _searched(
    machine: type[SessionMachine], search: Search, key: str, context: Context, max_examples: int | None, seed: int | None
) -> list[Anomaly]:
    """Search; the shortest story of each distinct bug.

    A machine of the user's own may fail at a rule or an invariant, so there Hypothesis shrinks. Else it stops at the first
    bug, and draws once more, until a round shows nothing that is new: stories shrink better by their steps than by draws.

    Raises:
        UsageError: the store is not deterministic.
    """
    __tracebackhide__ = True
    own = machine is not SessionMachine
    # Hypothesis keeps what failed under the name of the machine, which has to be that of the test and the adapter.
    name = machine.__name__ if own else f"Story_{hashlib.blake2b(key.encode(), digest_size=8).hexdigest()}"
    test = bound(machine, search, name)
    plain = 0
    if not own:  # half of the stories that were asked for are plain ones, at most
        most = max_examples // 2 if max_examples else None
        strike_places(search, context.profile, context.seed if seed is None else seed, most)
        plain = search.examples
        search.examples = 0
        _overlapped(search, key, context.profile, seed)
        search.examples, plain = search.examples + plain, search.examples + plain
    if max_examples:
        max_examples = max(1, max_examples - plain)
    try:
        for turn in range(ROUNDS):
            count = max_examples or EXAMPLES[context.profile]
            if search.found and not own:  # the test fails in any case: what else is wrong may be found in the next run too
                count = min(count, max(SECOND, count // 4))
            settings = profile(context.profile, max_examples=count, seed=seed, own=own, first=turn == 0)
            if not settings.derandomize:
                test = seeded(context.seed if seed is None else seed)(test)
            search.examples = plain
            _round(test, search, settings)
            if own or frozenset(search.found) == search.known:
                break
            search.known = frozenset(search.found)
    finally:
        test.search = None  # Hypothesis never forgets the class of a machine, and a search holds all that was recorded
    return [_plain(anomaly) for anomaly in search.distinct()]


def _overlapped(search: Search, key: str, name: str, seed: int | None) -> None:
    """Search among calls that are made at once, and among clocks, if these were asked for; what it finds is in `search.found`."""
    __tracebackhide__ = True
    if "ClockStep" in search.turns:
        strike_clock(search)
    if not set(search.turns) & set(TURNS):
        return
    strike_orders(search, name)
    search.known = frozenset(search.found)
    test = overlapping(search, f"Overlap_{hashlib.blake2b(key.encode(), digest_size=8).hexdigest()}")
    for turn in range(ROUNDS):
        settings = profile(name, max_examples=EXAMPLES[name] // 2, seed=seed, first=turn == 0)
        if not settings.derandomize:
            test = seeded(seed or 0)(test)
        _round(test, search, settings)
        if frozenset(search.found) == search.known:
            break
        search.known = frozenset(search.found)


def _round(test: type[SessionMachine], search: Search, settings: Any) -> None:
    """One run of Hypothesis; what it finds is in `search.found`."""
    __tracebackhide__ = True
    try:
        run_state_machine_as_test(test, settings=settings)
    except Flaky as error:
        raise UsageError(
            f"{search.runner.able.name} gave two answers to one case: {str(error).splitlines()[0]}",
            why="a finding that does not repeat cannot be shown to anybody",
            fix='look for wall-clock times, unseeded chance or module state; isolation="process" rules out the last',
        ) from None
    except Anomaly:
        pass
    except ExceptionGroup as group:
        if not all(isinstance(error, Anomaly) for error in group.exceptions):
            raise


def _no_loop_runs() -> None:
    """A coroutine of the store cannot be awaited inside of another loop's.

    Raises:
        UsageError: an event loop runs in this thread.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise UsageError(
        "check was called inside a running event loop",
        why="each life of the store gets an event loop of its own, and Python runs one at a time in a thread",
        fix="call it from a plain `def` test; async adapters are awaited by the harness",
    )


def _replay_saved(adapter: Any, reference: str, disk: str, context: Context) -> None:
    """What failed before on this disk is tried before anything is searched."""
    __tracebackhide__ = True
    if not context.test:
        return
    for case in cases.saved(context.directory, context.test):
        if (case.adapter, case.disk) == (reference, disk) and case.extra.get("fatal", True):
            try:
                replay(case, adapter=adapter, context=context)
            except CaseError:
                continue  # it does not fit today's store; the search goes on


def _list(faults: Any) -> list[Any]:
    return [] if faults is None else [faults] if isinstance(faults, (str, type)) else list(faults)


def _asked(faults: Any, runner: Runner) -> tuple[tuple[str, ...], tuple[Any, ...], bool]:
    """Faults by name, faults by place, and whether acknowledgements get lost; by default what no promise excludes."""
    if faults is None:
        lost = ("LostWrite",) if runner.able.promise.lost_writes == "consistent" else ()
        streams = tuple(STREAMS) if "turn" in runner.able.members else ()
        turns = TURNS if runner.able.overlaps else ()
        return ("ENOSPC", "EIO", "ReadEIO", "ShortWrite", *lost, *streams, *turns), (), True
    names: list[str] = []
    instances: list[Any] = []
    acks = False
    for fault in _list(faults):
        name = fault if isinstance(fault, str) else fault.__name__ if isinstance(fault, type) else type(fault).__name__
        if name not in NAMES or name not in STAGED:
            raise UsageError(
                f"faults= holds {fault!r}",
                why="only faults that this version can stage may be asked for",
                fix=f"choose from: {', '.join(STAGED)} (classes, names or instances)",
            )
        if not isinstance(fault, (str, type)) and name in (*TURNS, "ClockStep"):
            raise UsageError(
                f"faults= holds {fault!r}",
                why="an order of turns means something only for the turns that it was found with",
                fix=f"ask for {name} without a place, or run one order by world.turns.overlap(..., order=...)",
            )
        if not isinstance(fault, (str, type)):
            instances += [] if isinstance(fault, Crash) else [fault]  # crashes are tried everywhere anyhow
        elif name == "WriteError":
            names += ["ENOSPC", "EIO", "ReadEIO"]
        elif name == LostAck.__name__:
            acks = True
        elif name != "Crash":
            names.append(name)
    return tuple(names), tuple(instances), acks


def _plain(anomaly: Anomaly) -> Anomaly:
    """Without the notes that Hypothesis adds: the report names the command that reproduces it."""
    if hasattr(anomaly, "__notes__"):
        del anomaly.__notes__
    return anomaly
