"""One archive directory, read as what it proves: which messages count as archived, and how far its commit came.

Rule: a marker alone proves nothing. An archive claims ids; it holds those of them that its content shows.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal, TypeVar

from reference_impl.durable import Durable
from reference_impl.store import lines
from reference_impl.store.layout import DONE, FAILED, LIVE, META, archive_number
from reference_impl.store.message import Message

State = Literal["empty", "preparing", "ready", "rolled-back", "unrecorded"]
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Phase1:
    """What the first phase set out to do, written before it does it.

    `last_seq`: the highest number in the order that was given when the commit began. `unreadable_message_ids`: ids that
    the archive claimed until its content was found damaged.
    """

    version: int
    status: Literal["preparing", "ready"]
    created_at: str
    ready_at: str | None
    original_message_ids: tuple[str, ...]
    archived_message_ids: tuple[str, ...]
    retained_message_ids: tuple[str, ...]
    last_seq: int = 0
    unreadable_message_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Failure:
    """`.failed.json`. `stage`: phase1 (rolled back: the messages are live) or phase2 (no summary yet)."""

    stage: Literal["phase1", "phase2"]
    error: str
    failed_at: str
    retryable: bool


@dataclass(frozen=True, slots=True)
class Completion:
    """`.done`, written last. `coverage_start`, `coverage_end`: the archives that this overview stands for."""

    starting_message_id: str
    ending_message_id: str
    message_count: int
    coverage_start: int
    coverage_end: int
    completed_steps: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Archive:
    """An archive directory as it was found. `names`: its files. `steps`: steps of the second phase that are finished.

    `follows`: the highest `seq` of the archives before it, for lines of a layout that had none.
    `extra`: fields of other versions in its `.meta.json`.
    """

    number: int
    folder: str
    names: frozenset[str]
    phase1: Phase1 | None = None
    steps: tuple[str, ...] = ()
    failure: Failure | None = None
    follows: int = 0
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def state(self) -> State:
        """How far the first phase came; "unrecorded" is an archive of a layout without phase 1 records."""
        if self.phase1 is None:
            return "unrecorded" if LIVE in self.names else "empty"
        if self.phase1.status == "ready":
            return "ready"
        return "rolled-back" if self.failure is not None and self.failure.stage == "phase1" else "preparing"

    @property
    def claims(self) -> tuple[str, ...]:
        """The ids that this archive says are archived here; only a ready one says so by its record."""
        return self.phase1.archived_message_ids if self.phase1 is not None and self.state == "ready" else ()

    def record(self) -> bytes:
        """The content of its `.meta.json`."""
        phase1 = asdict(self.phase1) if self.phase1 else None
        return json.dumps({**self.extra, "phase1": phase1, "completed_steps": self.steps}, indent=1).encode("ascii") + b"\n"

    def with_phase1(self, **changes: Any) -> Archive:
        """The same archive with some fields of its record changed."""
        assert self.phase1 is not None
        return replace(self, phase1=replace(self.phase1, **changes))


def load_archives(disk: Durable, history: str) -> tuple[Archive, ...]:
    """All archives of a session, by number."""
    found = [(number, name) for name in disk.names(history) or () if (number := archive_number(name)) is not None]
    archives: list[Archive] = []
    follows = 0
    for number, name in sorted(found):
        archive = load_archive(disk, f"{history}/{name}", number, follows)
        archives.append(archive)
        follows = max(follows, last_seq(disk, archive))
    return tuple(archives)


def last_seq(disk: Durable, archive: Archive) -> int:
    """The highest `seq` that an archive accounts for; one without a record has to be read for it."""
    if archive.phase1 is not None:
        return archive.phase1.last_seq
    return max([message.seq for message in contents(disk, archive)], default=0)


def load_archive(disk: Durable, folder: str, number: int, follows: int = 0) -> Archive:
    """One archive, as its record and its failure marker describe it; its content is read when it is needed."""
    names = frozenset(disk.names(folder) or ())
    value = _object(disk.read(f"{folder}/{META}")) if META in names else {}
    phase1, steps = value.pop("phase1", None), value.pop("completed_steps", None)
    return Archive(
        number,
        folder,
        names,
        _parse(Phase1, phase1),
        tuple(steps) if isinstance(steps, list) else (),
        _parse(Failure, _object(disk.read(f"{folder}/{FAILED}"))) if FAILED in names else None,
        follows,
        value,
    )


def contents(disk: Durable, archive: Archive) -> tuple[Message, ...]:
    """The messages that an archive provably holds: readable, with their checksums, and of those its record names."""
    found = lines.parse_archive(disk.read(f"{archive.folder}/{LIVE}") or b"", archive.follows) if LIVE in archive.names else ()
    if archive.phase1 is None:
        return found
    named = set(archive.phase1.archived_message_ids)
    return tuple([message for message in found if message.id in named])


def completion(disk: Durable, archive: Archive, held: Sequence[Message]) -> Completion | None:
    """The completion marker if it is whole and says what the content says; a torn or foreign one counts as absent."""
    if DONE not in archive.names or archive.state in ("preparing", "rolled-back") or not held:
        return None
    value = _object(disk.read(f"{archive.folder}/{DONE}"))
    value.setdefault("coverage_start", archive.number)  # older markers covered one archive
    value.setdefault("coverage_end", archive.number)
    value.setdefault("completed_steps", [])
    done = _parse(Completion, value)
    return done if done is not None and done == marker(held, done.coverage_start, archive.number, done.completed_steps) else None


def marker(held: Sequence[Message], start: int, end: int, steps: Iterable[str]) -> Completion:
    """The completion marker that is due for these messages."""
    return Completion(held[0].id, held[-1].id, len(held), start, end, tuple(steps))


def as_json(value: Failure | Completion) -> bytes:
    """The content of a marker file."""
    return json.dumps(asdict(value), indent=1).encode("ascii") + b"\n"


def _object(data: bytes | None) -> dict[str, Any]:
    """A JSON object; damaged or absent ones are empty, because a marker that cannot be read marks nothing."""
    try:
        value = json.loads(data or b"{}")
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _shapes(kind: type[Any]) -> dict[str, type]:
    """The type of each field of a record, as far as it has one name."""
    named: dict[Any, type] = {"int": int, "bool": bool, "str": str, "tuple[str, ...]": tuple}
    return {item.name: named.get(item.type, object) for item in fields(kind)}


_SHAPES: dict[type[Any], dict[str, type]] = {kind: _shapes(kind) for kind in (Phase1, Failure, Completion)}


def _parse(kind: type[_T], value: Any) -> _T | None:
    """A record from its JSON form, lists as tuples; None if a field is missing or has another shape."""
    if not isinstance(value, dict):
        return None
    shapes = _SHAPES[kind]
    given = {name: tuple(item) if isinstance(item, list) else item for name, item in value.items() if name in shapes}
    if not all(isinstance(item, shapes[name]) for name, item in given.items()):
        return None
    try:
        return kind(**given)
    except TypeError:
        return None
