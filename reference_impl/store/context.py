"""What a model is shown: summaries where they stand for messages, the messages themselves wherever they do not.

Rule: every acknowledged message is in the context, as itself or in a summary that covers it, and no id is there twice.
A budget takes whole groups away, the oldest first, and never the newest question.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from reference_impl.durable import Durable
from reference_impl.store.archive import Archive, completion, contents
from reference_impl.store.layout import OVERVIEW
from reference_impl.store.message import Message
from reference_impl.store.snapshot import Snapshot

Group = list[Message]


@dataclass(frozen=True, slots=True)
class ArchiveRef:
    """A completed archive with its overview and the archives from `start` to `number` that the overview stands for."""

    number: int
    start: int
    overview: str


@dataclass(frozen=True, slots=True)
class Context:
    """`overviews`: oldest first. `messages`: by `seq`, without record lines. `left_out`: ids the budget had no room for."""

    overviews: tuple[str, ...]
    messages: tuple[Message, ...]
    left_out: tuple[str, ...] = ()


def completed_refs(disk: Durable, archives: Sequence[Archive]) -> tuple[ArchiveRef, ...]:
    """The archives whose completion marker agrees with their content and whose overview is there, by number."""
    found: list[ArchiveRef] = []
    for archive in archives:
        done = completion(disk, archive, contents(disk, archive))
        overview = disk.read(f"{archive.folder}/{OVERVIEW}") if done else None
        if done is not None and overview is not None:
            found.append(ArchiveRef(archive.number, done.coverage_start, overview.decode("utf-8", "replace")))
    return tuple(found)


def shown(refs: Sequence[ArchiveRef]) -> list[ArchiveRef]:
    """The fewest overviews that stand for all completed archives: the newest, then the newest that it does not cover."""
    chosen: list[ArchiveRef] = []
    for ref in sorted(refs, key=lambda ref: -ref.number):
        if not chosen or ref.number < chosen[-1].start:
            chosen.append(ref)
    return chosen[::-1]


def collect(disk: Durable, session: Snapshot, refs: Sequence[ArchiveRef]) -> tuple[list[ArchiveRef], list[Message]]:
    """The overviews to show, and in order every message that none of them covers."""
    chosen = shown(refs)
    covered = {number for ref in chosen for number in range(ref.start, ref.number + 1)}
    found: dict[str, Message] = {}
    for archive in session.archives:
        if archive.number not in covered:
            mine = [m for m in contents(disk, archive) if session.archived_in(m.id) == archive.number]
            found.update((message.id, message) for message in mine)
    for message in session.messages:
        found.setdefault(message.id, message)
    spoken = [message for message in found.values() if not message.is_record]
    return chosen, sorted(spoken, key=lambda message: message.seq)


def within(messages: Sequence[Message], budget: int | None, count: Callable[[Message], int]) -> tuple[Message, ...]:
    """The newest groups that fit a budget in tokens; the newest user message and the newest calls stay in any case."""
    if budget is None:
        return tuple(messages)
    groups = grouped(messages)
    needed = {_newest(groups, lambda m: m.role == "user"), _newest(groups, lambda m: bool(m.calls() or m.results()))}
    room = budget - sum([_size(groups[i], count) for i in needed if i is not None])
    kept = {i for i in needed if i is not None}
    for i in range(len(groups) - 1, -1, -1):
        if i in kept:
            continue
        room -= _size(groups[i], count)
        if room < 0:
            break
        kept.add(i)
    return tuple([message for i in sorted(kept) for message in groups[i]])


def grouped(messages: Sequence[Message]) -> list[Group]:
    """Messages in groups that stand or fall together: from a call to the last of its results, with what is in between."""
    groups: list[Group] = []
    called: dict[str, int] = {}  # the group of each call
    for message in messages:
        first = min([called[name] for name in message.results() if name in called], default=len(groups))
        groups[first:] = [[*[m for group in groups[first:] for m in group], message]]
        called = {name: min(at, first) for name, at in called.items()} | dict.fromkeys(message.calls(), first)
    return groups


def _newest(groups: Sequence[Group], wanted: Callable[[Message], bool]) -> int | None:
    return next((i for i in range(len(groups) - 1, -1, -1) if any(wanted(message) for message in groups[i])), None)


def _size(group: Group, count: Callable[[Message], int]) -> int:
    return sum([count(message) for message in group])
