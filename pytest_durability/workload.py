"""What the user does, as data: the same steps can be explored, shrunk, saved and replayed.

Rule: a step is a frozen value whose text parses back to it. Of what can go wrong only that is a step which comes between
two steps of the user: the machine dies (`PowerLoss`), the disk is full for a while (`FullDisk`); all else is a fault.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from pytest_durability import notation
from pytest_durability.adapter import Message
from pytest_durability.errors import UsageError
from pytest_durability.tokens import find, mark


@dataclass(frozen=True, slots=True)
class Say:
    """One message of an `Append` or `AppendMany`; `id` is given to stores that promise idempotent retries."""

    role: str
    text: str
    id: str | None = None

    def message(self) -> Message:
        """What the adapter is given."""
        return Message(self.role, self.text, self.id)


@dataclass(frozen=True, slots=True)
class Append:
    """Append one message and wait for the acknowledgement."""

    kind: ClassVar[str] = "append"
    role: str
    text: str
    id: str | None = None

    def says(self) -> tuple[Say, ...]:
        """The one message."""
        return (Say(self.role, self.text, self.id),)

    def __str__(self) -> str:
        return notation.render(self)


@dataclass(frozen=True, slots=True)
class AppendMany:
    """Append several messages as one acknowledged batch."""

    kind: ClassVar[str] = "append_many"
    messages: tuple[Say, ...]

    def says(self) -> tuple[Say, ...]:
        """The messages of the batch, in order."""
        return self.messages

    def __str__(self) -> str:
        return notation.render(self)


@dataclass(frozen=True, slots=True)
class Ask:
    """One turn: the user says `text`, and the model answers `reply`, which is shown piece by piece.

    With `tool`, the reply ends in a call of a tool whose result that is, and `then` is what the model says to the result. While
    the tool runs, the user may say `meanwhile`, which is appended.

    A scheduled `CutStream` or `Interrupt` counts the turns of a run from 0, over all its lives.
    """

    kind: ClassVar[str] = "turn"
    text: str
    reply: str
    tool: str = ""
    then: str = ""
    meanwhile: str = ""

    def __post_init__(self) -> None:
        if self.meanwhile and not self.tool:
            raise UsageError(
                f"Ask(meanwhile={ascii(self.meanwhile)[:40]}) without a tool", fix="give the result of the tool, and `then`"
            )
        if bool(self.tool) != bool(self.then):
            raise UsageError(
                f"Ask(tool={ascii(self.tool)[:40]}, then={ascii(self.then)[:40]}): one without the other",
                why="a model that called a tool is given its result and goes on",
                fix="give the result of the tool and what the model says to it, or neither",
            )

    def says(self) -> tuple[Say, ...]:
        """What the user says, what the model would answer in full, what the tool gives and what the model makes of that; `meanwhile`."""
        asked: tuple[Say, ...] = (Say("user", self.text), Say("assistant", self.reply))
        if self.tool:
            asked += (Say("tool", self.tool), Say("assistant", self.then))
        return (*asked, Say("user", self.meanwhile)) if self.meanwhile else asked

    def __str__(self) -> str:
        return notation.render(self)


@dataclass(frozen=True, slots=True)
class Commit:
    """Archive or compact, keeping the last `keep` messages live."""

    kind: ClassVar[str] = "commit"
    keep: int = 0

    def __post_init__(self) -> None:
        notation.at_least(self, keep=0)

    def says(self) -> tuple[Say, ...]:
        """No message."""
        return ()

    def __str__(self) -> str:
        return notation.render(self)


@dataclass(frozen=True, slots=True)
class Reload:
    """The process ends without a goodbye (what sits in user-space buffers is lost) and the session is opened again."""

    kind: ClassVar[str] = "reload"

    def says(self) -> tuple[Say, ...]:
        """No message."""
        return ()

    def __str__(self) -> str:
        return notation.render(self)


@dataclass(frozen=True, slots=True)
class Close:
    """Clean shutdown; the next step opens the session again."""

    kind: ClassVar[str] = "close"

    def says(self) -> tuple[Say, ...]:
        """No message."""
        return ()

    def __str__(self) -> str:
        return notation.render(self)


@dataclass(frozen=True, slots=True)
class Retry:
    """The caller repeats its last append, batch or commit with the same message ids, as after a lost acknowledgement.

    It may come after a `Reload` or a `PowerLoss` too. Without an earlier call nothing happens.
    """

    kind: ClassVar[str] = "retry"

    def says(self) -> tuple[Say, ...]:
        """No new message."""
        return ()

    def __str__(self) -> str:
        return notation.render(self)


@dataclass(frozen=True, slots=True)
class Read:
    """Somebody reads the transcript of the living store; what it shows is not judged, what reading does to the files is."""

    kind: ClassVar[str] = "read"

    def says(self) -> tuple[Say, ...]:
        """No message."""
        return ()

    def __str__(self) -> str:
        return notation.render(self)


@dataclass(frozen=True, slots=True)
class PowerLoss:
    """The process, or the machine, ends; the session is opened again on one disk content that may survive that.

    `model`: what the end can take. `after`: the place of the last operation before it (empty: the present one). `born` and
    `lag` name the content, as in `faults.Crash`; without them nothing is lost. While stories are drawn, `back` counts disk
    operations back from the present, at most into the step before, and `pick` chooses among the contents that may survive;
    what is saved is the place and the names that these stand for.
    """

    kind: ClassVar[str] = "power_loss"
    model: str = "process-kill"
    back: int = 0
    pick: int = 0
    after: str = ""
    born: str = ""
    lag: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        notation.at_least(self, back=0, pick=0)

    def says(self) -> tuple[Say, ...]:
        """No message."""
        return ()

    def __str__(self) -> str:
        return notation.render(self)


@dataclass(frozen=True, slots=True)
class FullDisk:
    """The disk is full: the next `ops` writes and creations fail with ENOSPC, at the longest until the machine ends."""

    kind: ClassVar[str] = "full_disk"
    ops: int = 1

    def __post_init__(self) -> None:
        notation.at_least(self, ops=1)

    def says(self) -> tuple[Say, ...]:
        """No message."""
        return ()

    def __str__(self) -> str:
        return notation.render(self)


SESSION = "session"
"""The session that steps are about which name no other."""

_SESSION = re.compile(r"[A-Za-z0-9_-]{1,40}")


@dataclass(frozen=True, slots=True)
class On:
    """A step on another store object of the process: a second one on the same session, or one on another session.

    `handle` counts the store objects of a session from 1; each is opened when it is first used and lives until the process
    ends or it is closed. Used one after the other, a handle may not know what another one did. `session` is what
    `world.session` is for it.
    """

    kind: ClassVar[str] = "on"
    step: Append | AppendMany | Ask | Commit | Retry | Close
    handle: int = 1
    session: str = SESSION

    def __post_init__(self) -> None:
        notation.at_least(self, handle=1)
        name: Any = self.session
        if isinstance(name, str) and not _SESSION.fullmatch(name):
            raise UsageError(f"On(session={ascii(name)[:60]}): no name of a session", fix="use letters, digits, _ and -")

    def says(self) -> tuple[Say, ...]:
        """The messages of the step."""
        return self.step.says()

    def __str__(self) -> str:
        return notation.render(self)


@dataclass(frozen=True, slots=True)
class Together:
    """Several calls at once, each a turn of its own; `On(..., handle=2)` makes one of them on another store object.

    The turns of all these steps of a run are numbered from 0, in order; a scheduled `ReorderTurns` or `CancelTurn` names them by
    these numbers. Without one, each goes on until it waits.
    """

    kind: ClassVar[str] = "together"
    steps: tuple[Append | AppendMany | Ask | Commit | On, ...]

    def says(self) -> tuple[Say, ...]:
        """The messages of all calls."""
        return tuple(say for step in self.steps for say in step.says())

    def __str__(self) -> str:
        return notation.render(self)


Step = Append | AppendMany | Ask | Commit | Reload | Close | Retry | Read | PowerLoss | FullDisk | On | Together
_NAMES: dict[str, type] = {kind.__name__: kind for kind in (*Step.__args__, Say)}


def session_of(step: Step) -> str:
    """The session that a step is about."""
    return step.session if isinstance(step, On) else SESSION


@dataclass(frozen=True, slots=True)
class Workload:
    """An ordered list of steps; `str()` is one step a line and `Workload.parse` reads it back."""

    steps: tuple[Step, ...]

    @classmethod
    def parse(cls, text: str) -> Workload:
        """Read a workload from its text.

        Raises:
            UsageError: the text holds something that is not a step.
        """
        return cls.of(notation.parse_all(text, _NAMES))

    @classmethod
    def of(cls, steps: Any) -> Workload:
        """Make a workload of a Workload, a text, or an iterable of steps and messages.

        Raises:
            UsageError: an item is neither a step nor a `Message`, or a field holds a value of the wrong type.
        """
        if isinstance(steps, Workload):
            return steps
        if isinstance(steps, str):
            return cls.parse(steps)
        return cls(tuple(_as_step(item) for item in _items(steps)))

    def says(self) -> tuple[Say, ...]:
        """All messages of all steps, in order."""
        return tuple(say for step in self.steps for say in step.says())

    @property
    def sessions(self) -> tuple[str, ...]:
        """The sessions of all steps, the usual one first."""
        return tuple(dict.fromkeys((SESSION, *(session_of(step) for step in self.steps))))

    def __iter__(self) -> Iterator[Step]:
        return iter(self.steps)

    def __len__(self) -> int:
        return len(self.steps)

    def __str__(self) -> str:
        return "\n".join(str(step) for step in self.steps)


def _items(steps: Any) -> Iterable[Any]:
    try:
        return list(steps)
    except TypeError:
        raise UsageError(f"{steps!r} is not a workload", fix="give a list of steps such as Append('user', 'hello')") from None


def _as_step(item: Any) -> Step:
    if isinstance(item, Message):
        item = Append(item.role, item.text, item.id)
    if isinstance(item, Step):
        notation.check_types(item)
        if isinstance(item, On):
            notation.check_types(item.step)
        _check_together(item)
        return item
    raise UsageError(
        f"{item!r} is not a step",
        why="only steps can be saved and replayed",
        fix=f"use {', '.join(sorted(_NAMES))} or Message",
    )


def _check_together(step: Step) -> None:
    """What is done at once is said or committed, in the usual session."""
    for inner in step.steps if isinstance(step, Together) else ():
        plain = inner.step if isinstance(inner, On) else inner
        if not isinstance(plain, Append | AppendMany | Ask | Commit) or session_of(inner) != SESSION:
            raise UsageError(
                f"{inner!r} cannot be done together with others",
                why="what overlaps are turns on one session",
                fix="use Append, AppendMany, Ask, Commit, or On(..., handle=2) of one of these",
            )


def with_tokens(workload: Workload) -> Workload:
    """Give every text that carries no token one of its own, so that a hand-written workload can be judged.

    Equal texts get different tokens; a text that already carries a token is left alone (repeats are then on purpose).

    Raises:
        UsageError: a text carries two tokens, or two different messages carry the same one.
    """
    _check_marks(workload)
    used = {name for say in workload.says() for name in find(say.text)}
    counter = 0

    def marked(say: Say) -> Say:
        nonlocal counter
        if find(say.text):
            return say
        counter += 1
        while (name := f"{_letter(say.role)}{counter}") in used:
            counter += 1
        return Say(say.role, f"{mark(name)} {say.text}" if say.text else mark(name), say.id)

    return Workload(tuple(replace_says(step, marked) for step in workload))


def _check_marks(workload: Workload) -> None:
    """A token stands for one message, so it cannot stand for two, nor two for one."""
    known: dict[str, Say] = {}
    for say in workload.says():
        names = find(say.text)
        if len(names) > 1:
            raise UsageError(
                f"the text {ascii(say.text)[:60]} carries {len(names)} marks: {', '.join(map(mark, names[:5]))}",
                why="a mark names one message, so that it is known which one is missing or doubled",
                fix="write one mark in a text, or none: then one is added",
            )
        first = known.setdefault(names[0], say) if names else say
        if (first.role, first.text) != (say.role, say.text):
            raise UsageError(
                f"the mark {mark(names[0])} stands in two messages: "
                f"{ascii(first.role)[:20]}, {ascii(first.text)[:50]} and {ascii(say.role)[:20]}, {ascii(say.text)[:50]}",
                why="a mark names one message; the same role and text may be said again, another one may not have its mark",
                fix="give each message a mark of its own, or none: then one is added",
            )


def replace_says(step: Step, change: Any) -> Step:
    """The same step, with what `change` makes of each message that it says."""
    if isinstance(step, Append):
        said = change(step.says()[0])
        return Append(said.role, said.text, said.id)
    if isinstance(step, AppendMany):
        return AppendMany(tuple(change(say) for say in step.messages))
    if isinstance(step, Ask):
        return Ask(*(change(say).text for say in step.says()))
    if isinstance(step, Together):
        return Together(tuple(replace_says(inner, change) for inner in step.steps))  # type: ignore[misc]  # the same kinds of steps
    if isinstance(step, On):
        return On(replace_says(step.step, change), step.handle, step.session)  # type: ignore[arg-type]  # the same kind of step
    return step


def _letter(role: str) -> str:
    letter = role[:1].lower()
    return letter if len(letter) == 1 and "a" <= letter <= "y" else "m"


def standard(
    *,
    batches: bool,
    commits: bool,
    closes: bool,
    ids: bool,
    appends: bool = True,
    turns: bool = False,
    tools: bool = False,
) -> Workload:
    """The workload of a sweep that was given none: two turns, then whatever the adapter can do besides.

    First use is part of it (the session does not exist before), and so is a restart in the middle.
    """
    numbers: dict[str, int] = {}

    def say(role: str, body: str) -> Say:
        letter = _letter(role)
        numbers[letter] = numbers.get(letter, 0) + 1
        name = f"{letter}{numbers[letter]}"
        return Say(role, f"{mark(name)} {body}", f"id-{name}" if ids else None)

    def said(user: str, assistant: str) -> list[Step]:
        question, answer = say("user", user), say("assistant", assistant)
        if not appends:
            return [Ask(question.text, answer.text)]
        return [Append(one.role, one.text, one.id) for one in (question, answer)]

    steps = said("what is in the report?", "three findings.\nThe first is short.")
    if batches:
        steps.append(AppendMany((say("user", "go on"), say("assistant", "the second one"))))
    if turns and tools:
        spoken: tuple[Say, ...] = (
            say("user", "look it up"),
            say("assistant", "one moment."),
            say("tool", "42"),
            say("assistant", "it is 42."),
        )
        spoken += (say("user", "and hurry"),) if appends else ()
        steps.append(Ask(*(one.text for one in spoken)))
    steps += [Reload(), *said("and the last: caf\u00e9, \u65e5\u672c?", "the last one.")]
    if commits:
        steps += [Commit(keep=2), *said("after the commit", "noted."), Commit(keep=0), *said("once more", "done.")]
    if turns and appends:
        steps += [Ask(say("user", "tell me").text, say("assistant", "what I know of it.").text), Reload()]
        steps.append(Ask(say("user", "and then?").text, say("assistant", "nothing more.").text))
    if closes:
        steps.append(Close())
        steps += said("after a clean exit", "done.") if not appends else said("after a clean exit", "")[:1]
    return Workload(tuple(steps))
