"""One of several threads runs at a time, and the others stand at a place that was agreed on: it has the baton.

Rule: only who holds the baton runs. A thread that one of these starts is one of them too. A thread that waits for a lock is not offered
until somebody lets go of it; one that stands still in one place waits for something that cannot be looked into, and is left
to itself until it moves.
"""

from __future__ import annotations

import _thread
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from pytest_durability.world.turns.foreign import asleep
from pytest_durability.world.turns.order import Choice, Chooser, Order, Point, Stay
from pytest_durability.world.turns.overlap import Ended, Overlapped
from pytest_durability.world.turns.waiting import Deadlock, Livelock, of_stack

LIMIT = 100_000
STILL = 0.05
"""Seconds for which a thread has to stand still, in one and the same place, to be held to wait for something."""

LOOKS_STILL = 50
"""How often a thread that moved may be looked at within that time."""

LOOKS = 1000
"""How often one is looked at before it is left to itself."""

_RUNNING, _READY, _LOCKED, _STILL, _OVER = "running", "ready", "locked", "still", "over"
real_lock = _thread.allocate_lock


class Wanted(Protocol):
    """Something that a thread waits for."""

    def free(self) -> bool:
        """Whether it need not wait any more."""


class _Gone(BaseException):
    """Ends a thread that nobody will let go on; a program has no business catching it."""


class _Turn:
    """One thread: what it does now, the lock it waits for, and how it ended. `adopted`: it was started by another one."""

    __slots__ = ("adopted", "baton", "began", "error", "name", "over", "started", "state", "thread", "used", "value", "wanted")

    def __init__(self, name: str, *, adopted: bool = False) -> None:
        self.name, self.adopted = name, adopted
        self.started = 0
        self.baton = real_lock()
        self.baton.acquire()
        self.state = _READY
        self.wanted: Wanted | None = None
        self.value: Any = None
        self.error: BaseException | None = None
        self.thread: threading.Thread
        self.used = 0.0
        self.began = self.over = 0

    def free(self) -> bool:
        """Whether it can be joined."""
        return self.state == _OVER


class Baton:
    """Who holds it runs. `run` lets the threads of some turns go on one at a time, as a chooser says, until all are over."""

    def __init__(
        self,
        turns: Sequence[Callable[[], Any]],
        chooser: Chooser | None = None,
        *,
        limit: int = LIMIT,
        watch: Callable[[], int] | None = None,
    ) -> None:
        self._functions = turns
        self._chooser: Chooser = chooser or Stay()
        self._limit = limit
        self._turns = [_Turn(str(number)) for number in range(len(turns))]
        self._mine = threading.local()
        self._back = real_lock()
        self._back.acquire()
        self._guard = real_lock()
        self._given_up = self._free = False
        self.choices: list[Choice] = []
        self.steps: list[str] = []
        self.marks: list[int] = []
        self._watcher = watch

    # -- in the threads

    def point(self) -> None:
        """Give way here, if the thread that runs is one of these."""
        turn = getattr(self._mine, "turn", None)
        if turn is not None:
            self._give_way(turn, _READY)

    def wait_for(self, wanted: Wanted) -> None:
        """Give way until this is free."""
        turn = getattr(self._mine, "turn", None)
        if turn is not None:
            turn.wanted = wanted
            self._give_way(turn, _LOCKED)
            turn.wanted = None

    def adopt(self, thread: threading.Thread, start: Callable[[], None]) -> None:
        """Start a thread for one of these; it is one of them from its first step on."""
        parent: _Turn = self._mine.turn
        parent.started += 1
        turn = _Turn(f"{parent.name}.{parent.started}", adopted=True)
        turn.thread, function = thread, thread.run
        thread.run = lambda: self._life(turn, function)  # type: ignore[method-assign]
        self._mine.turn = None  # what `threading` does to start it is none of our business
        try:
            start()
        finally:
            self._mine.turn = parent
        self._turns.append(turn)

    def turn_in(self, thread: threading.Thread) -> Wanted | None:
        """What to wait for in order to join a thread of these; None for other threads."""
        return next((turn for turn in self._turns if turn.thread is thread), None)

    def owned(self) -> bool:
        """Whether the thread that asks is one of these."""
        return getattr(self._mine, "turn", None) is not None

    def _give_way(self, turn: _Turn, state: str) -> None:
        if not self._free and not self._given_up:
            self._hand_back(turn, state)
            turn.baton.acquire()
        if self._free:
            self._mine.turn = None
        elif self._given_up:
            raise _Gone

    def _life(self, turn: _Turn, function: Callable[[], Any]) -> None:
        turn.baton.acquire()
        self._mine.turn = None if self._free else turn
        try:
            if not self._given_up:
                turn.value = function()
        except _Gone:
            pass
        except BaseException as error:  # noqa: BLE001  however a turn ends, that is its outcome
            turn.error = error
        finally:
            self._mine.turn = None
            self._hand_back(turn, _OVER)

    def _hand_back(self, turn: _Turn, state: str) -> None:
        with self._guard:
            late = turn.state == _STILL  # it was held to wait, and somebody else has the baton
            turn.state = state
            if not late and not self._given_up and not self._free:
                self._back.release()

    # -- in the thread of the test

    def run(self) -> Overlapped:
        """Run all turns to their ends."""
        for turn, function in zip(self._turns, self._functions, strict=True):
            turn.thread = threading.Thread(target=self._life, args=(turn, function), name=f"turn {turn.name}", daemon=True)
            turn.thread.start()
        stuck = self._schedule()
        mine = [turn for turn in self._turns if not turn.adopted]
        if stuck is not None:
            self._end(stuck)
        else:
            self._let_go()
        for turn in mine:
            turn.thread.join(1.0)
        stubborn = tuple(turn.name for turn in mine if turn.thread.is_alive())
        ended = tuple(Ended(t.name, t.value, t.error, t.began, t.over) for t in mine)
        steps, choices = tuple(self.steps), tuple(self.choices)
        return Overlapped(ended, Order.taken(choices), steps, choices, (), stubborn, tuple(self.marks))

    def _schedule(self) -> RuntimeError | None:
        """Until all turns are over, and the threads that they started cannot go on; else why not."""
        last = ""
        while True:
            self._settle()
            ready = [turn for turn in self._turns if self._can_go_on(turn)]
            if not ready:
                if all(turn.state == _OVER for turn in self._turns if not turn.adopted):
                    return None
                if self._awaken():
                    continue
                return Deadlock(tuple(of_stack(t.name, _frame(t)) for t in self._turns if t.state != _OVER))
            turn = self._pick(ready, last)
            last = turn.name
            self.steps.append(last)
            if self._watcher is not None:
                self.marks.append(self._watcher())
            turn.began, turn.over = turn.began or len(self.steps), len(self.steps)
            if len(self.steps) > self._limit:
                return Livelock(self._limit)
            turn.state = _RUNNING
            turn.baton.release()
            self._watch(turn)

    def _pick(self, ready: list[_Turn], last: str) -> _Turn:
        if len(ready) == 1:
            return ready[0]
        point = Point.at(last, tuple(turn.name for turn in ready))
        index = self._chooser.choose(point)
        self.choices.append(Choice(point, index, len(self.steps)))
        return ready[index]

    @staticmethod
    def _can_go_on(turn: _Turn) -> bool:
        return turn.state == _READY or (turn.state == _LOCKED and turn.wanted is not None and turn.wanted.free())

    def _watch(self, turn: _Turn) -> None:
        """Until this thread gives way, is over, or stands still."""
        before: _Stand | None = None
        while not self._back.acquire(timeout=STILL):
            stand = _stand(turn)
            if stand == before and asleep(turn.thread.native_id):
                with self._guard:
                    if turn.state == _RUNNING:
                        turn.state, turn.used = _STILL, stand[0]
                        return
            before = stand

    def _settle(self) -> None:
        """What the last step woke goes on first, up to where it gives way: else who is ready depended on who is faster."""
        for turn in self._turns:
            if turn.state == _STILL and (_processor_seconds(turn.thread) != turn.used or not asleep(turn.thread.native_id)):
                self._await(turn)

    @staticmethod
    def _await(turn: _Turn) -> None:
        """Until one that was woken gives way or stands still again; no longer than `LOOKS` for one that only looks around."""
        before: _Stand | None = None
        same = 0
        for _ in range(LOOKS):
            if turn.state != _STILL:
                return
            stand = _stand(turn)
            same = same + 1 if stand == before and asleep(turn.thread.native_id) else 0
            if same > LOOKS_STILL:
                break
            before = stand
            time.sleep(STILL / LOOKS_STILL)
        turn.used = _processor_seconds(turn.thread)

    def _awaken(self) -> bool:
        """Nobody can go on, so wait a while for one that stands still; whether one moved."""
        still = [turn for turn in self._turns if turn.state == _STILL]
        for _ in range(LOOKS if still else 0):
            if any(turn.state != _STILL for turn in still):
                return True
            time.sleep(STILL / LOOKS_STILL)
        return False

    def _let_go(self) -> None:
        """Threads that the turns left behind (those of a pool) are threads like any other from here on."""
        with self._guard:
            self._free = True
        for turn in self._turns:
            if turn.state in (_READY, _LOCKED):
                turn.baton.release()

    def _end(self, stuck: RuntimeError) -> None:
        """Let every thread end that can be ended: it raises where it gives way."""
        with self._guard:
            self._given_up = True
        for turn in self._turns:
            if turn.state != _OVER:
                turn.error = stuck
                if turn.state != _STILL:
                    turn.baton.release()


_Stand = tuple[float, tuple[int, int] | None]
"""Processor time used and the place in the code: equal twice, the thread did nothing in between."""


def _stand(turn: _Turn) -> _Stand:
    frame = _frame(turn)
    return _processor_seconds(turn.thread), frame and (id(frame), frame.f_lasti)


def _frame(turn: _Turn) -> Any:
    return sys._current_frames().get(turn.thread.ident or 0)  # noqa: SLF001  there is no other way to see where it stands


def _processor_seconds(thread: threading.Thread) -> float:
    """What a thread has used so far; 0.0 where that cannot be told."""
    clock = getattr(time, "pthread_getcpuclockid", None)
    if clock is None or thread.ident is None or not thread.is_alive():
        return 0.0
    try:
        return time.clock_gettime(clock(thread.ident))
    except OSError:  # it ended this moment
        return 0.0
