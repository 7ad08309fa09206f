"""A Hypothesis machine chooses what the user does and what goes wrong; what it chose is a list of steps, which needs no Hypothesis.

Rule: a rule only chooses a step. Each fault takes a constant number of draws, because shrinking prefers fewer draws to a
later fault; and which rules there are follows from the adapter and the drawn steps, never from what the store did.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from pytest_durability.adapter import Message
from pytest_durability.arming import INJECTORS, Arm
from pytest_durability.capabilities import check_workload
from pytest_durability.errors import UsageError
from pytest_durability.explore.drawn import HUGE, MANY, OTHER, REPLIES, TEXTS, Writer
from pytest_durability.faults import Schedule
from pytest_durability.recording import Play
from pytest_durability.workload import (
    Append,
    AppendMany,
    Ask,
    Close,
    Commit,
    FullDisk,
    On,
    PowerLoss,
    Reload,
    Retry,
    Say,
    Step,
    Workload,
)

if TYPE_CHECKING:
    from pytest_durability.explore.search import Search

ROLES = ("user", "assistant", "user", "assistant")
TOOL_ROLES = ("user", "assistant", "tool", "assistant")
TOOL_TEXTS = ("one moment", "42", "it is")
CALLS = 3
"""What strikes calls, and not operations, strikes one of the next few."""
RARELY = 17
"""The draw that stands for a huge message."""
PLANS = 63
"""Every fourth plan is one in which nothing goes wrong before the end."""


def _faulty(machine: Any) -> bool:
    return bool(machine.faulty)


def _spoken(machine: Any) -> bool:
    return bool(machine.writer.said)


class SessionMachine(RuleBasedStateMachine):
    """Stories of a user and a disk; subclass it, name the `adapter`, add rules and invariants, give it to `run_machine`.

    A rule calls `append`, `do` (any step) and `transcript`; what was done is in the saved case, whoever did it. At the end of
    each story the session is crashed everywhere and judged.
    """

    adapter: ClassVar[Any] = None
    search: ClassVar[Search | None] = None

    def __init__(self) -> None:
        super().__init__()
        if self.search is None:
            raise UsageError(
                f"{type(self).__name__} was started without the harness",
                why="the store needs a directory that is watched, and what it leaves has to be judged",
                fix="write a test that calls durability.run_machine with the class",
            )
        self.writer = Writer(ids=self.search.runner.able.promise.retry == "idempotent")
        self.faulty = False
        self._steps: list[Step | Arm] = []
        self._schedule = Schedule()
        self._play: Play | None = None
        self._outer = sys.exc_info()[1]

    # -- what rules of a subclass use

    def append(self, role: str, text: str) -> bool | None:
        """Append one message, which gets a mark unless its text has one; see `do`."""
        said = self.writer.say(role, text)
        return self.do(Append(said.role, said.text, said.id))

    def ask(self, text: str, reply: str) -> bool | None:
        """One turn, in which the model answers `reply`; both get a mark unless they have one; see `do`."""
        return self.do(Ask(self.writer.say("user", text).text, self.writer.say("assistant", reply).text))

    def do(self, step: Step) -> bool | None:
        """Do a step now; whether the store acknowledged it (None with `isolation="process"`, where it is done at the end)."""
        search = self._search
        check_workload(Workload.of([step]), search.runner.able)
        self._steps.append(step)
        if search.apart:
            return None
        play = self._living()
        play.step(step)
        return play.history[-1].kind == "ack" if len(play.history) else None

    def transcript(self) -> list[Message]:
        """What the living store shows now.

        Raises:
            UsageError: with `isolation="process"`, because the store lives elsewhere.
        """
        if self._search.apart:
            raise UsageError(
                'transcript() cannot be used with isolation="process"', fix="leave the invariant out, or the isolation"
            )
        return [Message(row.role, row.text) for row in self._living().read()]

    # -- rules

    @initialize(plan=st.integers(0, PLANS), fault=st.integers(0, 23), skip=st.integers(0, 23), keep=st.integers(0, 2))
    def plan(self, plan: int, fault: int, skip: int, keep: int) -> None:
        """Whether things go wrong in this story, and what goes wrong from its first operation on."""
        search = self._search
        self.faulty = plan % 4 > 0
        if self.faulty and search.instances:
            self._schedule = Schedule((search.instances[plan // 4 % len(search.instances)],))
        if plan % 4 > 1 and search.troubles:
            self.trouble(fault, skip, keep)

    @rule(text=st.integers(0, len(TEXTS) - 1))
    def says(self, text: int) -> None:
        """The user says something."""
        self.append("user", TEXTS[text])

    @rule(text=st.integers(0, len(TEXTS) - 1))
    def answers(self, text: int) -> None:
        """The assistant says something."""
        self.append("assistant", TEXTS[text])

    @rule(text=st.integers(0, len(TEXTS) - 1), reply=st.integers(0, len(REPLIES) - 1))
    def asks(self, text: int, reply: int) -> None:
        """A turn: the user says something, and is shown the reply."""
        self.ask(TEXTS[text], REPLIES[reply])

    @rule(reply=st.integers(0, len(REPLIES) - 1), amid=st.integers(0, 1))
    def uses_tool(self, reply: int, amid: int) -> None:
        """A turn in which the model calls a tool; the user may say something while it runs."""
        said = [self.writer.say(role, text).text for role, text in zip(TOOL_ROLES, (TEXTS[0], *TOOL_TEXTS), strict=True)]
        said[-1] = f"{said[-1]} {REPLIES[reply]}"
        if amid and "append" in self._search.runner.able.members:
            said.append(self.writer.say("user", TEXTS[0]).text)
        self.do(Ask(*said))

    @precondition(_spoken)
    @rule(which=st.integers(0, 3))
    def says_again(self, which: int) -> None:
        """A whole text is said a second time."""
        said = self.writer.again(which)
        self.do(Append(said.role, said.text, said.id))

    @rule(texts=st.tuples(*[st.integers(0, len(TEXTS) - 1)] * MANY))
    def says_much(self, texts: tuple[int, ...]) -> None:
        """More messages in a row than one digit counts; as many draws as messages, so that shrinking prefers a few."""
        for text in texts:
            self.append("user", TEXTS[text])

    @rule(role=st.integers(0, 1), rarely=st.integers(0, 49))
    def says_huge(self, role: int, rarely: int) -> None:
        """A message of many pages, once in a while, because it takes long to crash everywhere."""
        self.append(ROLES[role], HUGE if rarely == RARELY else TEXTS[-1])

    @rule(text=st.integers(0, len(TEXTS) - 1), more=st.integers(0, 3))
    def batch(self, text: int, more: int) -> None:
        """Several messages as one."""
        self.do(AppendMany(self._several(text, more)))

    @rule(keep=st.integers(0, 3))
    def commit(self, keep: int) -> None:
        """Archive or compact."""
        self.do(Commit(keep))

    @rule()
    def restart(self) -> None:
        """The process ends and another one begins."""
        self.do(Reload())

    @rule()
    def shut(self) -> None:
        """A clean end."""
        self.do(Close())

    @precondition(_spoken)
    @rule(times=st.integers(1, 2), wait=st.integers(0, 1))
    def repeat(self, times: int, wait: int) -> None:
        """The caller tries its last call again, in the same process or in the next one."""
        if wait:
            self.do(Reload())
        for _ in range(times):
            self.do(Retry())

    @rule(commits=st.booleans(), keep=st.integers(0, 3))
    def second_handle(self, commits: bool, keep: int) -> None:  # noqa: FBT001  drawn
        """A second store object on the session."""
        self.do(On(self._something(keep, commits=commits), handle=2))

    @rule(commits=st.booleans(), keep=st.integers(0, 3))
    def other_session(self, commits: bool, keep: int) -> None:  # noqa: FBT001  drawn
        """Another session in the same root."""
        self.do(On(self._something(keep, commits=commits), session=OTHER))

    @precondition(_faulty)
    @rule(model=st.integers(0, 5), back=st.integers(0, 15), pick=st.integers(0, 15))
    def power_loss(self, model: int, back: int, pick: int) -> None:
        """The machine ends, perhaps in the middle of the last step, and begins anew."""
        ways = self._search.deaths
        self.do(PowerLoss(ways[model % len(ways)], back=back, pick=pick))

    @precondition(_faulty)
    @rule(text=st.integers(0, len(TEXTS) - 1), model=st.integers(0, 5), back=st.integers(0, 7), pick=st.integers(0, 15))
    def dies_at_it(self, text: int, model: int, back: int, pick: int) -> None:
        """The machine ends while somebody says something."""
        self.append("user", TEXTS[text])
        self.power_loss(model, back, pick)

    @precondition(_faulty)
    @rule(fault=st.integers(0, 23), skip=st.integers(0, 3), keep=st.integers(0, 2))
    def trouble(self, fault: int, skip: int, keep: int) -> None:
        """One of the next operations goes wrong."""
        names = self._search.troubles
        name = names[fault % len(names)]
        self._arm(Arm(name, skip if name in INJECTORS else skip % CALLS, keep))

    @precondition(_faulty)
    @rule(fault=st.integers(0, 23), skip=st.integers(0, 15), keep=st.integers(0, 2))
    def trouble_later(self, fault: int, skip: int, keep: int) -> None:
        """Some later operation goes wrong."""
        self.trouble(fault, skip, keep)

    @precondition(_faulty)
    @rule(reply=st.integers(0, len(REPLIES) - 1), kind=st.integers(0, 1), keep=st.integers(0, 11), again=st.integers(0, 3))
    def broken_turn(self, reply: int, kind: int, keep: int, again: int) -> None:
        """A turn whose reply breaks, or which the user stops; once in a while the model says what it said before."""
        streams = self._search.streams
        self._arm(Arm(streams[kind % len(streams)], 0, keep))
        before = [step.reply for step in self._steps if isinstance(step, Ask)]
        self.ask(TEXTS[0], before[-1] if again == 1 and before else REPLIES[reply])

    @precondition(_faulty)
    @rule(kind=st.integers(0, 1), keep=st.integers(0, 11))
    def broken_tool_turn(self, kind: int, keep: int) -> None:
        """A turn with a tool that breaks, or which the user stops."""
        streams = self._search.streams
        self._arm(Arm(streams[kind % len(streams)], 0, keep))
        self.uses_tool(0, 0)

    @precondition(_faulty)
    @rule(model=st.integers(0, 5), back=st.integers(0, 7), pick=st.integers(0, 15))
    def dies_in_a_tool_turn(self, model: int, back: int, pick: int) -> None:
        """The machine ends while a turn runs its tool, or just after."""
        self.uses_tool(0, 0)
        self.power_loss(model, back, pick)

    @precondition(_faulty)
    @rule(ops=st.integers(1, 8))
    def full_disk(self, ops: int) -> None:
        """No room for a while."""
        self.do(FullDisk(ops))

    # -- the machinery

    @property
    def _search(self) -> Search:
        assert self.search is not None
        return self.search

    def _several(self, text: int, more: int) -> tuple[Say, ...]:
        return tuple(self.writer.say(role, TEXTS[text]) for role in ROLES[: more + 1])

    def _something(self, keep: int, *, commits: bool) -> Append | Ask | Commit:
        able = self._search.runner.able.members
        if commits and "commit" in able:
            return Commit(keep)
        said = self.writer.say("user", TEXTS[0])
        if "append" not in able:
            return Ask(said.text, self.writer.say("assistant", REPLIES[0]).text)
        return Append(said.role, said.text, said.id)

    def _arm(self, arm: Arm) -> None:
        self._steps.append(arm)
        if not self._search.apart:
            self._living().step(arm)

    def _living(self) -> Play:
        if self._play is None:
            self._play = self._search.runner.play(self._schedule, arming=self.faulty)
            self._play.begin()
        return self._play

    def teardown(self) -> None:
        """The story ends: everything that may be left of it is judged, unless something else ended it."""
        __tracebackhide__ = True
        play, self._play = self._play, None
        if sys.exc_info()[1] is not self._outer:
            if play is not None:
                play.abandon()
            return
        search = self._search
        search.examples += 1
        if any(not isinstance(step, Arm) for step in self._steps):
            recording = play.end() if play is not None else search.runner.played(self._steps, self._schedule, arming=self.faulty)
            search.examine(recording, self._schedule)
        elif play is not None:
            play.abandon()


def bound(machine: type[SessionMachine], search: Search, name: str) -> type[SessionMachine]:
    """The machine for one search, without the rules that the adapter, or what was asked for, has no use for."""
    has, able = search.runner.able.members.__contains__, search.runner.able
    wanted = {
        "says": has("append"),
        "answers": has("append"),
        "says_again": has("append"),
        "says_much": has("append"),
        "asks": has("turn"),
        "broken_turn": has("turn") and bool(search.streams),
        "uses_tool": has("turn") and able.tools,
        "broken_tool_turn": has("turn") and able.tools and bool(search.streams),
        "dies_in_a_tool_turn": has("turn") and able.tools and bool(search.deaths),
        "says_huge": has("append") and search.long,
        "batch": has("append_many"),
        "commit": has("commit"),
        "repeat": has("append") or has("append_many") or has("commit"),
        "shut": has("close"),
        "second_handle": (has("append") or has("turn")) and able.handles > 1,
        "other_session": (has("append") or has("turn")) and able.sessions,
        "power_loss": bool(search.deaths),
        "dies_at_it": bool(search.deaths) and has("append"),
        "trouble": bool(search.troubles),
        "trouble_later": bool(search.troubles),
        "full_disk": "ENOSPC" in search.names,
    }
    base = vars(SessionMachine)
    idle = {rule: None for rule, useful in wanted.items() if not useful and getattr(machine, rule) is base[rule]}
    return type(name, (machine,), {**idle, "search": search, "__doc__": machine.__doc__, "__module__": machine.__module__})
