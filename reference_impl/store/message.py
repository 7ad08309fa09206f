"""A message and its line in a file: everything else in the store moves these around and never looks inside.

Rule: a line is kept byte for byte wherever it goes, so that fields of a later version survive every rewrite.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

Part = Mapping[str, Any]

RECORD = "record"
_CRC_MARK, _CRC_SIZE = b',"crc":"', len(b',"crc":"01234567"}')


@dataclass(frozen=True, slots=True)
class Draft:
    """A message before the session knows it. `id` None: the session gives one, and a retry cannot be recognised.

    `parts`: dicts with a `type`: text (`text`), tool_call (`call_id`, `name`, `arguments`), tool_result (`call_id`,
    `content`), image, context.
    """

    role: str | None
    parts: tuple[Part, ...]
    id: str | None = None
    kind: str = ""
    turn_id: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def text(cls, role: str, text: str, id: str | None = None) -> Draft:  # noqa: A002  the word of the format
        """A message of one text part."""
        return cls(role, ({"type": "text", "text": text},), id)

    def content(self) -> str:
        """What makes two messages the same: everything but id, order and time, in one canonical text.

        Raises:
            TypeError: something in it is no JSON.
            ValueError: a number in it is no JSON (NaN, infinity).
        """
        return _canonical(self.role, self.parts, self.kind or _KINDS.get(self.role, RECORD), self.turn_id, self.metadata)


@dataclass(frozen=True, slots=True)
class Batch:
    """The place of a message among those that were appended in one call: the `n`-th (from 1) `of` so many."""

    id: str
    n: int
    of: int


@dataclass(frozen=True, slots=True)
class Message:
    """A message of the session. `seq` is the order; `created_at` is for people, clocks go backwards.

    `line`: its bytes in the file, without the newline. `implied`: the line names no `id` or no `seq` (an older layout),
    so both were derived from it.
    """

    id: str
    seq: int
    role: str | None
    parts: tuple[Part, ...]
    kind: str
    turn_id: str | None
    created_at: str
    batch: Batch | None
    metadata: Mapping[str, Any]
    line: bytes = field(repr=False)
    implied: bool = False

    @property
    def text(self) -> str:
        """All its text parts, joined."""
        return "".join([part.get("text", "") for part in self.parts if part.get("type") == "text"])

    @property
    def is_record(self) -> bool:
        """Whether it is a line of bookkeeping, which no context shows."""
        return self.kind == RECORD

    def content(self) -> str:
        """See `Draft.content`."""
        return _canonical(self.role, self.parts, self.kind, self.turn_id, self.metadata)

    def calls(self) -> list[str]:
        """The ids of the tool calls it makes."""
        return [str(part["call_id"]) for part in self.parts if part.get("type") == "tool_call" and "call_id" in part]

    def results(self) -> list[str]:
        """The ids of the tool calls it answers."""
        return [str(part["call_id"]) for part in self.parts if part.get("type") == "tool_result" and "call_id" in part]


_KINDS: dict[str | None, str] = {
    "user": "user_query",
    "assistant": "assistant_step",
    "tool": "tool_transport",
    "system": "checkpoint",
}


def _canonical(*content: Any) -> str:
    return json.dumps([*content[:1], list(content[1]), *content[2:]], sort_keys=True, allow_nan=False)


def sealed(fields: Mapping[str, Any]) -> bytes:
    """The line of a JSON object, with a checksum of everything before the checksum as its last field.

    ASCII only: a line cut short anywhere is cut between characters, and no separator of Unicode is in it.
    """
    body = json.dumps(fields, separators=(",", ":"), allow_nan=False).encode("ascii")[:-1]
    return b'%s%s%08x"}' % (body, _CRC_MARK, crc32(body))


def written(draft: Draft, *, id: str, seq: int, created_at: str, batch: Batch | None) -> Message:  # noqa: A002
    """The message that a draft becomes when the session takes it."""
    kind = draft.kind or _KINDS.get(draft.role, RECORD)
    fields: dict[str, Any] = {
        "id": id,
        "seq": seq,
        "role": draft.role,
        "parts": list(draft.parts),
        "message_kind": kind,
        "turn_id": draft.turn_id,
        "created_at": created_at,
        "metadata": dict(draft.metadata),
    }
    if batch is not None:
        fields["batch"] = {"id": batch.id, "n": batch.n, "of": batch.of}
    line = sealed(fields)
    return Message(id, seq, draft.role, draft.parts, kind, draft.turn_id, created_at, batch, draft.metadata, line)


def read_line(line: bytes, follows: int, occurrence: int = 0) -> Message:
    """The message of a line. `follows`: the `seq` before it, for a line that names none.

    `occurrence`: how many equal lines stand before it; lines without id are told apart by it.

    Raises:
        ValueError: the line is damaged.
    """
    fields = json.loads(line.decode("utf-8"))
    if not isinstance(fields, dict):
        raise ValueError("not an object")  # noqa: TRY004  damage is one kind of error, whatever its form
    if line[-_CRC_SIZE : 8 - _CRC_SIZE] == _CRC_MARK and b"%08x" % crc32(line[:-_CRC_SIZE]) != line[-10:-2]:
        raise ValueError("the checksum differs")
    get = fields.get
    name, seq, role, parts, metadata = get("id"), get("seq"), get("role"), get("parts"), get("metadata")
    implied = not isinstance(name, str) or type(seq) is not int
    if parts is None:
        parts = [{"type": "text", "text": get("content", "")}]
    if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
        raise ValueError("parts is no list of objects")
    return Message(
        name if isinstance(name, str) else _derived_id(line, occurrence),
        seq if type(seq) is int else follows + 1,
        role,
        tuple(parts),
        get("message_kind") or _KINDS.get(role, RECORD),
        get("turn_id"),
        get("created_at") or "",
        _batch(get("batch")),
        metadata if isinstance(metadata, dict) else {},
        line,
        implied,
    )


def _batch(value: Any) -> Batch | None:
    try:
        return Batch(str(value["id"]), int(value["n"]), int(value["of"])) if value else None
    except (KeyError, TypeError):
        raise ValueError("batch is damaged") from None


def _derived_id(line: bytes, occurrence: int) -> str:
    """A name for a line that has none. The content makes it stable, the occurrence makes equal lines two messages."""
    return f"line-{hashlib.blake2s(line, digest_size=8).hexdigest()}-{occurrence}"


def explicit(message: Message) -> bytes:
    """The line to write when a message moves: as it was, except that an implied id and `seq` are now said."""
    if not message.implied:
        return message.line
    fields = json.loads(message.line.decode("utf-8"))
    fields.pop("crc", None)
    return sealed({**fields, "id": message.id, "seq": message.seq})
