"""Overlapping turns go wrong in one order out of many, so this event loop lets that order be chosen, and run again.

Rule: whoever is ready is offered in the order of getting ready, and a chooser takes one; each step of a task is run in its
own context; plain callbacks come before the next choice, in their order. Time is virtual: it moves only when nobody can
go on. The wake-up order inside asyncio's own locks and queues is theirs, as is the start of an eager task, which
belongs to the step of whoever makes it.
"""

# ruff: noqa: SLF001  what a loop of one's own has to override is private; `selftest` tries it first

from __future__ import annotations

import asyncio
import contextvars
import functools
import heapq
import weakref
from asyncio import base_events
from collections import deque
from collections.abc import Callable
from typing import Any, NoReturn

from pytest_durability.errors import UnsupportedError
from pytest_durability.world.turns.foreign import Post, Worker, caller
from pytest_durability.world.turns.order import Choice, Chooser, Point, Stay
from pytest_durability.world.turns.waiting import Deadlock, Livelock, of_task

LIMIT = 100_000
"""Steps after which turns are held to go round in circles."""

_PLAIN_IN_A_ROW = 1000
_INNER = 6


class _Call:
    """A call that was given to an executor: it has a name, and so it is somebody who goes on when chosen.

    It is run even if the task that waits for it is cancelled, because a pool that has a thread free begins at once.
    """

    __slots__ = ("context", "executor", "function", "future", "loop", "name")

    def __init__(self, loop: TurnLoop, name: str, executor: Any, function: Callable[[], Any]) -> None:
        self.loop, self.name, self.executor, self.function = loop, name, executor, function
        self.future: asyncio.Future[Any] = asyncio.Future(loop=loop)
        self.context = contextvars.copy_context()

    def go(self) -> None:
        """Hand it to a thread; before its answer nobody else is chosen, unless it takes its time."""
        self.loop.give(self.executor, self.future, self._run)

    def _run(self) -> None:
        error: BaseException | None = None
        result = None
        try:
            result = self.context.run(self.function)
        except BaseException as raised:  # noqa: BLE001  whatever it is, the awaiting task gets it
            error = raised
        self.loop.answer(self.future, result, error)


def _settle(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if isinstance(error, StopIteration):  # cannot be raised into a future
        error = RuntimeError("StopIteration was raised in an executor")
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)


class TurnLoop(base_events.BaseEventLoop):
    """An asyncio loop without sockets, whose order is chosen and whose time is virtual.

    `chooser` decides; `choices` are the decisions so far, `steps` the names of everybody who ran, in order. `cancels`: name of a task ->
    the number of suspensions after which it is cancelled; `cancelled` holds those that were. `footprint`: asked after each step
    what it touched that others could notice. `watch`: asked before each step how many operations there were; `marks` holds the answers.
    `limit`: see `Livelock`.
    """

    def __init__(self, chooser: Chooser | None = None, *, limit: int = LIMIT) -> None:
        from pytest_durability.world.turns.selftest import check_private_interface

        super().__init__()
        try:
            check_private_interface()
        except UnsupportedError:
            super().close()
            raise
        self.chooser: Chooser = chooser or Stay()
        self.limit = limit
        self.choices: list[Choice] = []
        self.steps: list[str] = []
        self.watch: Callable[[], int] | None = None
        self.marks: list[int] = []
        self.cancels: dict[str, int] = {}
        self.cancelled: list[tuple[str, int]] = []
        self.idle_stops = False
        self.footprint: Callable[[], frozenset[str]] | None = None
        self._touched: frozenset[str] | None = None
        self._now = 1000.0
        self._last = ""
        self._plain: deque[asyncio.Handle] = deque()
        self._lanes: list[tuple[str, asyncio.Handle]] = []
        self._plain_run = 0
        self._suspended: dict[str, int] = {}
        self._names: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()
        self._children: dict[str, int] = {}
        self._post = Post()
        self._workers: dict[int, list[tuple[Worker, asyncio.Future[Any]]]] = {}

    # -- what programs ask of a loop

    def time(self) -> float:
        """Virtual seconds."""
        return self._now

    def create_task(self, coro: Any, **options: Any) -> asyncio.Task[Any]:
        """As asyncio does, and the task gets a name that is the same in every run: `0.2` is the second one that `0` made."""
        name = self._child()
        task = super().create_task(coro, **options)
        self._names.setdefault(task, name)
        return task

    def create_future(self) -> asyncio.Future[Any]:
        """As asyncio does; one that is not made by asyncio's own tools may be answered by a thread."""
        future: asyncio.Future[Any] = asyncio.Future(loop=self)
        module, line = caller(1)
        if not module.startswith("asyncio.") or module == "asyncio.futures":
            self._post.expect(future, module, line)
        return future

    def call_soon_threadsafe(  # type: ignore[override]
        self, callback: Callable[..., Any], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        """From the loop's own thread as `call_soon`; from another one it is run before the next choice."""
        import threading

        self._check_closed()  # type: ignore[attr-defined]
        if self._thread_id in (None, threading.get_ident()):  # type: ignore[attr-defined]
            return self.call_soon(callback, *args, context=context)
        handle = asyncio.Handle(callback, args, self, context)
        self._post.put(handle)
        return handle

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        """Run it in a real thread, as one step of its own, in a copy of the caller's context."""
        call = _Call(self, self._child(":"), executor, functools.partial(func, *args))
        self.call_soon(call.go)
        return call.future

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ASYNC109  the signature is asyncio's
        """The threads end with the loop."""
        del timeout

    def _refused(self, *args: Any, **options: Any) -> NoReturn:
        del args, options
        raise UnsupportedError(
            "a turn that is being interleaved wants a socket, a signal or a child process of its event loop",
            why="what comes from outside comes when it wants, so no order of turns could be run again",
            fix="reach the provider through world.provider.client(...) or .transport(...), which need no socket",
        )

    create_connection = create_server = create_datagram_endpoint = sock_connect = sock_recv = sock_sendall = _refused
    create_unix_connection = create_unix_server = subprocess_exec = subprocess_shell = _refused
    add_signal_handler = add_reader = add_writer = sock_accept = getaddrinfo = _refused  # type: ignore[assignment]

    # -- threads that work for it

    def give(self, executor: Any, future: asyncio.Future[Any], call: Callable[[], None]) -> None:
        """Let a thread of this executor do something; it will answer the future."""
        self._post.expect(future, "asyncio.futures", 0)
        pool = self._workers.setdefault(id(executor), [])
        for place, (worker, busy) in enumerate(pool):
            if busy.done():
                pool[place] = (worker, future)
                worker.give(call)
                return
        worker = Worker(f"turns-{len(self._workers)}-{len(pool)}")
        pool.append((worker, future))
        worker.give(call)

    def answer(self, future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
        """Called by a thread: what came out."""
        self._post.put(asyncio.Handle(_settle, (future, result, error), self, contextvars.Context()))

    # -- one step

    def name_of(self, task: Any) -> str:
        """The name of a task, the same in every run."""
        name = self._names.get(task)
        if name is None:
            name = self._names[task] = self._child()
        return name

    def rename(self, task: Any, name: str) -> None:
        """Call a task so from now on."""
        self._names[task] = name

    def _child(self, letter: str = ".") -> str:
        """The next free name for what the running task starts."""
        running = asyncio.current_task(self) if self.is_running() else None
        parent = "" if running is None else self._names.get(running, "")
        key = f"{parent}{letter}" if parent else "main."
        self._children[key] = number = self._children.get(key, 0) + 1
        return f"{key}{number}"

    def _process_events(self, event_list: Any) -> None:
        del event_list

    def _write_to_self(self) -> None:
        return

    def _run_once(self) -> None:
        self._admit()
        if self._plain and (not self._lanes or self._plain_run < _PLAIN_IN_A_ROW):
            self._plain_run += 1
            self._count(self._plain_run)
            handle = self._plain.popleft()
            if not handle.cancelled():
                handle._run()
            return
        self._plain_run = 0
        if self._post.wait(idle=not self._lanes):
            self._plain.extend(self._post.taken())
        elif self._lanes:
            self._go_on(*self._lanes.pop(self._pick()))
        elif self.idle_stops:
            self.stop()
        elif not self._stopping:  # type: ignore[attr-defined]
            self._pass_time()

    def _admit(self) -> None:
        """Sort what got ready into those who can be chosen, and plain callbacks."""
        self._plain.extend(self._post.taken())
        ready = self._ready  # type: ignore[attr-defined]
        while ready:
            handle = ready.popleft()
            owner = _owner(handle)
            if owner is None:
                self._plain.append(handle)
            elif not handle.cancelled():
                self._lanes.append((owner.name if type(owner) is _Call else self.name_of(owner), handle))

    def _pick(self) -> int:
        lanes = self._lanes
        if len(lanes) > 1 and any(handle.cancelled() for _, handle in lanes):
            lanes[:] = [lane for lane in lanes if not lane[1].cancelled()] or lanes[:1]
        if len(lanes) == 1:
            return 0
        point = Point.at(self._last, tuple([name for name, _ in lanes]), self._touched)
        index = self.chooser.choose(point)
        self.choices.append(Choice(point, index, len(self.steps)))
        return index

    def _go_on(self, name: str, handle: asyncio.Handle) -> None:
        self._last = name
        self.steps.append(name)
        if self.watch is not None:
            self.marks.append(self.watch())
        self._count(len(self.steps))
        handle._run()
        owner = _owner(handle)
        if owner is not None and type(owner) is not _Call and not owner.done():
            self._suspended[name] = count = self._suspended.get(name, 0) + 1
            if self.cancels.get(name) == count:
                self.cancelled.append((name, count))
                owner.cancel()
        if self.footprint is not None:  # a step that lets somebody else go on is noticed by that one
            touched, ready = self.footprint(), self._ready  # type: ignore[attr-defined]
            self._touched = touched if len(ready) == 1 and _owner(ready[0]) is owner else None

    def _count(self, steps: int) -> None:
        if steps > self.limit:
            raise Livelock(self.limit)

    def _pass_time(self) -> None:
        """Nobody can go on, so time moves to the next timer."""
        timers = self._scheduled  # type: ignore[attr-defined]
        while timers and timers[0].cancelled():
            heapq.heappop(timers)._scheduled = False
        if not timers:
            raise Deadlock(tuple(of_task(self.name_of(task), task) for task in self.pending()))
        self._now = max(self._now, timers[0].when())
        while timers and timers[0].when() <= self._now:
            timer = heapq.heappop(timers)
            timer._scheduled = False
            self._ready.append(timer)  # type: ignore[attr-defined]

    # -- the end

    def begin(self) -> None:
        """New turns begin: what belongs to their names is counted from here."""
        self._suspended.clear()
        self._children.clear()
        self._last, self._touched = "", None

    @property
    def suspended(self) -> dict[str, int]:
        """How often each task has been suspended."""
        return self._suspended

    def pending(self) -> list[Any]:
        """Tasks that have not ended, by name."""
        return sorted((task for task in asyncio.all_tasks(self) if not task.done()), key=self.name_of)

    def drain(self, *, rounds: int = 3, limit: int = 10_000) -> tuple[str, ...]:
        """Cancel everybody, and let them end, and close async generators; the names of those who would not end.

        No chooser is asked: this may run when what is behind it is over.
        """
        self.chooser, self.cancels, self.footprint = Stay(), {}, None
        for _ in range(rounds):
            pending = self.pending()
            if not pending:
                break
            for task in pending:
                task.cancel()
            self._end(asyncio.gather(*pending, return_exceptions=True), limit)
        stubborn = self.pending()
        for task in stubborn:
            task._log_destroy_pending = False
        if not stubborn:
            self._end(self.shutdown_asyncgens(), limit)
        return tuple(self.name_of(task) for task in stubborn)

    def _end(self, what: Any, limit: int) -> None:
        self.limit = len(self.steps) + limit
        try:
            self.run_until_complete(what)
        except (Deadlock, Livelock, asyncio.CancelledError):
            for task in (what, *self.pending()):
                if hasattr(task, "_log_destroy_pending"):
                    task._log_destroy_pending = False

    def close(self) -> None:
        """End the threads too; what is still going on in them is left alone."""
        if not self.is_closed() and hasattr(self, "_workers"):
            for pool in self._workers.values():
                for worker, busy in pool:
                    worker.end(1.0 if busy.done() else 0.0)
            self._workers.clear()
            self._plain.clear()
            self._lanes.clear()
        super().close()


def _owner(handle: asyncio.Handle) -> Any:
    """The task, or the call in an executor, whose step this is; None for a plain callback.

    Wrappers are looked into: partial objects, `__wrapped__`, and what a function closes over.
    """
    callback = getattr(handle, "_callback", None)
    if callback is None:
        return None
    owner = getattr(callback, "__self__", None)
    if isinstance(owner, asyncio.Task) or type(owner) is _Call:
        return owner if _is_step(owner, callback) else None
    return _look_into(callback, _INNER)


def _is_step(owner: Any, callback: Any) -> bool:
    """Whether a bound method makes the task go on; `task.cancel` in a timer does not."""
    if type(owner) is _Call:
        return True
    name = getattr(callback, "__name__", "")
    return name.startswith("_") or not hasattr(type(owner), name or "-")


def _look_into(callback: Any, depth: int) -> Any:
    if depth == 0 or callback is None:
        return None
    owner = getattr(callback, "__self__", None)
    if _is_task(owner):
        return owner if _is_step(owner, callback) else None
    inner = [getattr(callback, "func", None), getattr(callback, "__wrapped__", None)]
    for cell in getattr(callback, "__closure__", None) or ():
        try:
            content = cell.cell_contents
        except ValueError:
            continue
        if callable(content):
            inner.append(content)
    return next((found for one in inner if one is not None and (found := _look_into(one, depth - 1)) is not None), None)


def _is_task(value: Any) -> bool:
    return isinstance(value, asyncio.Task) or (asyncio.isfuture(value) and hasattr(value, "get_coro"))
