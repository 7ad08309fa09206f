"""What the user does, as data: the same steps can be explored, shrunk, saved and replayed.

Rule: a step is a frozen value whose text parses back to it; steps say nothing about faults.
"""

from __future__ import annotations

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


Step = Append | AppendMany | Commit | Reload | Close
_NAMES: dict[str, type] = {kind.__name__: kind for kind in (Append, AppendMany, Commit, Reload, Close, Say)}


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
        return item
    raise UsageError(
        f"{item!r} is not a step",
        why="only steps can be saved and replayed",
        fix=f"use {', '.join(sorted(_NAMES))} or Message",
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

    return Workload(tuple(_replace_says(step, marked) for step in workload))


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


def _replace_says(step: Step, change: Any) -> Step:
    if isinstance(step, Append):
        said = change(step.says()[0])
        return Append(said.role, said.text, said.id)
    if isinstance(step, AppendMany):
        return AppendMany(tuple(change(say) for say in step.messages))
    return step


def _letter(role: str) -> str:
    letter = role[:1].lower()
    return letter if len(letter) == 1 and "a" <= letter <= "y" else "m"


def standard(*, batches: bool, commits: bool, closes: bool, ids: bool) -> Workload:
    """The workload of a sweep that was given none: two turns, then whatever the adapter can do besides.

    First use is part of it (the session does not exist before), and so is a restart in the middle.
    """
    numbers: dict[str, int] = {}

    def say(role: str, body: str) -> Say:
        letter = _letter(role)
        numbers[letter] = numbers.get(letter, 0) + 1
        name = f"{letter}{numbers[letter]}"
        return Say(role, f"{mark(name)} {body}", f"id-{name}" if ids else None)

    def append(role: str, body: str) -> Append:
        said = say(role, body)
        return Append(said.role, said.text, said.id)

    steps: list[Step] = [append("user", "what is in the report?"), append("assistant", "three findings.\nThe first is short.")]
    if batches:
        steps.append(AppendMany((say("user", "go on"), say("assistant", "the second one"))))
    steps += [Reload(), append("user", "and the last: caf\u00e9, \u65e5\u672c?"), append("assistant", "the last one.")]
    if commits:
        steps += [Commit(keep=2), append("user", "after the commit"), append("assistant", "noted."), Commit(keep=0)]
        steps += [append("user", "once more"), append("assistant", "done.")]
    if closes:
        steps += [Close(), append("user", "after a clean exit")]
    return Workload(tuple(steps))
