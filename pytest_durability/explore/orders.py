"""Which turns are made at once, and who of them goes on: first every simple order of some plain stories, then drawn ones.

Rule: what overlaps is a step, who goes on is an armed fault right before it, so a story shrinks like any other one: fewer calls, fewer
preemptions. A story is as long as its few steps, and is judged by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from pytest_durability.arming import JUMPS, TURNS, Arm
from pytest_durability.explore.drawn import REPLIES, TEXTS, Writer
from pytest_durability.explore.machine import SessionMachine
from pytest_durability.faults import Schedule
from pytest_durability.together import Ran
from pytest_durability.workload import Append, AppendMany, Ask, Commit, On, Reload, Step, Together
from pytest_durability.world.arena import Arena

if TYPE_CHECKING:
    from pytest_durability.explore.search import Search

TRIES = {"dev": 40, "ci": 120, "deep": 1000}
"""How many orders of each plain story a profile tries."""

Inner = Append | AppendMany | Ask | Commit


class Speaker:
    """Makes the calls of a story; every message has a mark of its own."""

    def __init__(self, search: Search) -> None:
        self._able = search.runner.able
        self._writer = Writer(ids=self._able.promise.retry == "idempotent")

    @property
    def kinds(self) -> tuple[str, ...]:
        """What can be made at once: `append` or `turn` first, then the others."""
        return tuple(name for name in ("append", "turn", "append_many", "commit") if name in self._able.members)

    def call(self, kind: str) -> Inner:
        """A call of this kind."""
        if kind == "commit":
            return Commit(1)
        if kind == "turn":
            return Ask(self._writer.say("user", TEXTS[0]).text, self._writer.say("assistant", REPLIES[0]).text)
        if kind == "append_many":
            return AppendMany(tuple(self._writer.say(role, TEXTS[0]) for role in ("user", "assistant")))
        said = self._writer.say("user", TEXTS[0])
        return Append(said.role, said.text, said.id)


def strike_orders(search: Search, profile: str) -> None:
    """Tell plain stories of overlapping calls in all simple orders; what is wrong is in `search.found`."""
    for story in _stories(search):
        search.examples += 1
        recording = search.runner.played(story, Schedule(), arming=True)
        if search.shows(recording):
            continue
        at = next(number for number, step in enumerate(story) if isinstance(step, Together))
        for _, arm in zip(range(TRIES[profile]), _arms(search, recording.overlaps[0]), strict=False):
            if search.shows(search.runner.played((*story[:at], arm, *story[at:]), Schedule(), arming=True)):
                break


def strike_clock(search: Search) -> None:
    """Tell one plain story with the clock set before each of its steps."""
    speaker = Speaker(search)
    story = [speaker.call(speaker.kinds[0]) for _ in range(3)]
    for at in range(len(story)):
        for keep in range(len(JUMPS)):
            search.examples += 1
            parts = (*story[:at], Arm("ClockStep", 0, keep), *story[at:])
            if search.shows(search.runner.played(parts, Schedule(), arming=True)):
                return


def _stories(search: Search) -> Iterator[tuple[Step, ...]]:
    """Two calls of each kind beside one of the first kind, on a new session and on one that holds something; and on two store objects."""
    kinds = Speaker(search).kinds
    for kind in kinds:
        for before in (0, 3):
            if kind == "commit" and not before:
                continue
            for pair in dict.fromkeys(((kinds[0], kind), (kind, kinds[0]))):  # who begins is no preemption
                speaker = Speaker(search)
                first = [speaker.call(kinds[0]) for _ in range(before)]
                yield (*first, Together(tuple(map(speaker.call, pair))), speaker.call(kinds[0]))
    if search.runner.able.handles > 1:
        speaker = Speaker(search)
        other = On(speaker.call(kinds[0]), handle=2)
        yield (speaker.call(kinds[0]), Together((speaker.call(kinds[0]), other)), Reload(), speaker.call(kinds[0]))


def _arms(search: Search, ran: Ran) -> Iterator[Arm]:
    """One preemption at each point, or one cancellation at each suspension; one of each in turn."""
    swerves = [Arm("ReorderTurns", at, pick) for at, others in enumerate(ran.others) for pick in range(others)]
    stops = [Arm("CancelTurn", at, turn) for turn, count in enumerate(ran.suspended) for at in range(count)]
    lists = [arms for name, arms in zip(TURNS, (swerves, stops), strict=True) if name in search.turns]
    for at in range(max(map(len, lists), default=0)):
        yield from (arms[at] for arms in lists if at < len(arms))


DRAWS: dict[str, Any] = {
    "kinds": st.tuples(st.integers(0, 3), st.integers(0, 3)),
    "more": st.integers(0, 2),
    "swerves": st.integers(0, 3),
    "points": st.tuples(*[st.tuples(st.integers(0, 11), st.integers(0, 1))] * 3),
    "stops": st.integers(0, 7),
    "who": st.integers(0, 2),
}
"""What is drawn for one overlap, always as much: the kinds of two calls, what else, up to three preemptions, and who is stopped where."""

Points = tuple[tuple[int, int], ...]


class Overlapping(SessionMachine):
    """Stories in which calls are made at once; without any other fault."""

    plan = None  # type: ignore[assignment]  # nothing else goes wrong in these stories

    @initialize(before=st.integers(0, 3), **DRAWS)
    def begins(self, before: int, **drawn: Any) -> None:
        """Something was said, and then several calls are made at once, so that no story is without."""
        speaker = _Drawn(self)
        for _ in range(before):
            self.do(speaker.call(speaker.kinds[0]))
        self._at_once(**drawn)

    @rule(**DRAWS)
    def together(self, **drawn: Any) -> None:
        """Several calls at once."""
        self._at_once(**drawn)

    def _at_once(self, kinds: tuple[int, int], more: int, swerves: int, points: Points, stops: int, who: int) -> None:
        """Two calls (a third one, or another store object, once in a while), with some preemptions, and perhaps one stopped."""
        speaker = _Drawn(self)
        calls: list[Any] = [speaker.call(speaker.kinds[kind % len(speaker.kinds)]) for kind in kinds]
        if more == 1:
            calls.append(speaker.call(speaker.kinds[0]))
        elif more == 2 and self._search.runner.able.handles > 1:  # noqa: PLR2004  the third of three values
            calls[1] = On(calls[1], handle=2)
        if "ReorderTurns" in self._search.turns:
            for at, pick in points[:swerves]:
                self._arm(Arm("ReorderTurns", at, pick))
        if stops and "CancelTurn" in self._search.turns:
            self._arm(Arm("CancelTurn", stops - 1, who))
        self.do(Together(tuple(calls)))


class _Drawn(Speaker):
    """Goes on with the messages of a machine's story."""

    def __init__(self, machine: Overlapping) -> None:
        super().__init__(machine._search)  # noqa: SLF001  one module
        self._writer = machine.writer


def overlapping(search: Search, name: str) -> type[SessionMachine]:
    """The machine of overlapping calls for one search."""
    has = search.runner.able.members.__contains__
    wanted = {"says": has("append"), "asks": has("turn"), "batch": has("append_many"), "commit": has("commit"), "restart": True}
    # (The other rules of the usual machine say a text twice, or let something else go wrong.)
    idle = {rule: None for rule in _rules() if rule != "together" and not wanted.get(rule, False)}
    return type(name, (Overlapping,), {**idle, "search": search, "__module__": Overlapping.__module__})


def _rules() -> Iterator[str]:
    for name, value in vars(SessionMachine).items():
        if getattr(value, "hypothesis_stateful_rule", None) is not None or getattr(
            value, "hypothesis_stateful_initialize_rule", None
        ):
            yield name


@contextmanager
def clock_of(arena: Arena, wanted: bool) -> Iterator[None]:  # noqa: FBT001  one question
    """While this lasts, the wall clock of an arena can be set, if that is wanted.

    Raises:
        UnsupportedError: freezegun is not installed.
    """
    if not wanted:
        yield
        return
    from pytest_durability.world.turns.clock import frozen_clock

    with frozen_clock() as clock:
        arena.clock = clock
        try:
            yield
        finally:
            arena.clock = None
