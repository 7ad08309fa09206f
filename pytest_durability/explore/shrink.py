"""A finding is told by its shortest story: steps and faults that it does not need go, and what is left becomes plain.

Rule: a shorter story counts if the same harm is done in it. Each attempt is played and judged like any story, so what is
left is a finding by itself; and nothing is drawn, so the same finding always ends as the same story.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from pytest_durability.arming import Arm
from pytest_durability.explore.drawn import TEXTS
from pytest_durability.tokens import find, mark
from pytest_durability.verdict import Anomaly
from pytest_durability.workload import (
    Append,
    AppendMany,
    Ask,
    Commit,
    FullDisk,
    On,
    PowerLoss,
    Reload,
    Say,
    Together,
    replace_says,
)

ATTEMPTS = 1000
"""So many stories are tried for one finding."""

LONG = 60
"""A text of more characters is worth cutting in half."""

Parts = tuple[Any, ...]
"""A story: its steps in order, each fault armed right before the step that it strikes."""


@dataclass(frozen=True, slots=True)
class Told:
    """A finding, and the story that shows it."""

    anomaly: Anomaly
    parts: Parts

    @property
    def length(self) -> tuple[int, int, int]:
        """See `length`."""
        return length(self.anomaly)


Retell = Callable[[Parts], Told | None]
"""Plays a story and tells what is wrong with it, if it is the same harm."""


def shrunk(told: Told, retell: Retell) -> Told:
    """The shortest story of this harm that taking away and simplifying leads to."""
    best, before = told, None
    tried: set[Parts] = set()
    while before is not best:
        before = best
        for way in (_fewer, _simpler, _plain):
            best = _by(way, best, retell, tried)
    counted = renumbered(best.parts)
    found = retell(counted) if counted != best.parts else None
    return found if found is not None and found.length <= best.length else best


def _by(way: Callable[[Parts], Iterator[Parts]], best: Told, retell: Retell, tried: set[Parts]) -> Told:
    """The shortest story that one way of making it shorter leads to."""
    before = None
    while before is not best:
        before = best
        for shorter in way(best.parts):
            if len(tried) >= ATTEMPTS:
                return best
            if shorter in tried or not _less(shorter, best.parts):
                continue
            tried.add(shorter)
            found = retell(shorter)
            if found is not None and found.length < best.length:
                best = found
                break
    return best


def length(anomaly: Anomaly) -> tuple[int, int, int]:
    """Fewest steps first, then fewest faults, then the shorter text."""
    result = anomaly.result
    if result is None:
        return (0, 0, 0)
    return (len(result.workload), len(result.schedule), len(str(result.workload)))


def _less(story: Parts, than: Parts) -> bool:
    """Whether a story may come out shorter than another one, by what can be said before it is told."""
    if len(story) != len(than):
        return len(story) < len(than)
    armed, others = (sum(isinstance(part, Arm) for part in parts) for parts in (story, than))
    if armed != others:
        return armed > others  # fewer steps
    return sum(len(str(part)) for part in story) < sum(len(str(part)) for part in than)


def renumbered(story: Parts) -> Parts:
    """The same story with messages that count from 1 for each role, because people read it."""
    names: dict[str, str] = {}
    numbers: dict[str, int] = {}

    def told(said: Say) -> Say:
        known = find(said.text)
        if not known:
            return said
        old = known[0]
        if old not in names:
            numbers[old[0]] = numbers.get(old[0], 0) + 1
            names[old] = f"{old[0]}{numbers[old[0]]}"
        new = names[old]
        name = said.id.replace(f"id-{old}", f"id-{new}", 1) if said.id else None
        return Say(said.role, said.text.replace(mark(old), mark(new), 1), name)

    return tuple(replace_says(part, told) if not isinstance(part, Arm) else part for part in story)


def _fewer(story: Parts) -> Iterator[Parts]:
    """Stories with fewer steps, the fewest first: half of them, then one part less."""
    size = len(story) // 2
    while size > 1:
        for start in reversed(range(0, len(story), size)):
            yield (*story[:start], *story[start + size :])
        size //= 2
    for at in reversed(range(len(story))):
        yield (*story[:at], *story[at + 1 :])
    for at in reversed(range(len(story) - 1)):
        match story[at : at + 2]:
            case (Reload() | PowerLoss() | Append(), Arm() as arm):  # without it the next step is the one that opens the session
                yield from ((*story[:at], replace(arm, skip=arm.skip + more), *story[at + 2 :]) for more in range(1, 8))


def _simpler(story: Parts) -> Iterator[Parts]:
    """The same story with one of its steps made plainer."""
    for at, part in enumerate(story):
        for plainer in _plainer(part):
            yield (*story[:at], plainer, *story[at + 1 :])


def _plainer(part: Any) -> Iterator[Any]:
    """Simpler forms of one step."""
    match part:
        case AppendMany(messages=messages):
            yield from _smaller(messages)
        case Ask(tool=tool) if tool:
            yield Ask(part.text, part.reply)
            if part.meanwhile:
                yield replace(part, meanwhile="")
        case Commit(keep=keep) if keep:
            yield Commit()
        case FullDisk(ops=ops) if ops > 1:
            yield from (FullDisk(), FullDisk(ops - 1))
        case PowerLoss():
            yield from (Reload(), PowerLoss(), PowerLoss(part.model), PowerLoss(part.model, part.back))
            yield from (replace(part, back=part.back - less) for less in (4, 1) if part.back >= less)
        case Together(steps=steps):
            yield from _fewer_at_once(steps)
        case On(step=step):
            yield step
            yield from (replace(part, step=plainer) for plainer in _plainer(step))


def _smaller(messages: tuple[Say, ...]) -> Iterator[Append | AppendMany]:
    """One message less, or the only one by itself."""
    if len(messages) == 1:
        yield Append(messages[0].role, messages[0].text, messages[0].id)
        return
    yield from (AppendMany((*messages[:at], *messages[at + 1 :])) for at in range(len(messages)))


def _fewer_at_once(steps: tuple[Any, ...]) -> Iterator[Together]:
    """One call less, or one of them plainer."""
    for at in range(len(steps) if len(steps) > 1 else 0):
        yield Together((*steps[:at], *steps[at + 1 :]))
    for at, step in enumerate(steps):
        yield from (Together((*steps[:at], plainer, *steps[at + 1 :])) for plainer in _plainer(step))


def _plain(story: Parts) -> Iterator[Parts]:
    """The same story with one of its messages in plain words, wherever that is said: a mark stands for one text."""
    says = [said for part in story if not isinstance(part, Arm) for said in part.says()]
    for name in dict.fromkeys(names[0] for said in says if (names := find(said.text))):
        long = next(said.text for said in says if find(said.text)[:1] == (name,))
        for text in (f"{mark(name)} {TEXTS[0]}", *([long[: len(long) // 2]] if len(long) > LONG else [])):

            def told(said: Say, name: str = name, text: str = text) -> Say:
                return Say(said.role, text, said.id) if find(said.text)[:1] == (name,) else said

            yield tuple(part if isinstance(part, Arm) else replace_says(part, told) for part in story)
