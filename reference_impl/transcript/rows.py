"""A message is a dict in memory and a row in the database; this says which key is which column, and loses nothing on the way.

Rule: a key that begins with an underscore never reaches a provider. A row that was loaded is born stamped. Nothing that a
message may hold makes it unwritable: one odd message must not keep all the others out of the database.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Message = dict[str, Any]
"""One chat message: `role`, `content`, `tool_calls`, ..., and the private keys below."""

STAMP = "_db_persisted"
"""This message has a row. The value is the id of the session that holds the row."""
MESSAGE_ID = "_message_id"
"""What a message is called in every store; a copied dict copies it, and is the same logical message."""
SYNTHETIC = "_synthetic"
"""Not said by user or model: "view_only" (never written), "backfill", "closing", "interrupted", "summary"."""
VIEW_ONLY = "view_only"
PARTS = "_parts"
"""The dicts that a merged message stands for, oldest first."""
SEQ, TURN, INTERRUPTED, API_CONTENT = "_seq", "_turn_id", "_interrupted", "_api_content"
AWAITING = "_awaiting_approval"
"""The calls of this message wait for the user; a missing result is then not a hole."""

_TEXT = {
    "role": "role",
    "content": "content",
    "api_content": API_CONTENT,
    "tool_call_id": "tool_call_id",
    "tool_name": "tool_name",
    "finish_reason": "_finish_reason",
    "turn_id": TURN,
}
_JSON = {"tool_calls": "tool_calls", "reasoning_items": "_reasoning_items"}
_COLUMNS = {**_TEXT, **_JSON}
_PRIVATE_EXTRAS = (AWAITING, SYNTHETIC)
CONTENTS = (*_COLUMNS, "interrupted", "extra")
"""The columns that hold what a message says; two rows that agree in them are equal."""


def encode(message: Mapping[str, Any]) -> dict[str, Any]:
    """The values of the columns `CONTENTS` for a message."""
    extra = {key: message[key] for key in sorted(filter(_is_extra, message), key=str)}
    row: dict[str, Any] = {}
    for column, key in _TEXT.items():
        value = message.get(key)
        if value is not None and not isinstance(value, str):
            extra[key] = value  # content may be a list of parts; it comes back as it was
            value = None
        row[column] = None if value is None else _storable(value)
    for column, key in _JSON.items():
        row[column] = None if message.get(key) is None else _as_json(message[key])
    row["interrupted"] = int(bool(message.get(INTERRUPTED)))
    row["extra"] = _as_json(extra) if extra else None
    return row


def decode(row: sqlite3.Row) -> Message:
    """The message of a row, stamped with the session that holds it."""
    message: Message = {"role": _loaded(row["role"]), "content": _loaded(row["content"])}
    for column, key in _TEXT.items():
        if row[column] is not None:
            message[key] = _loaded(row[column])
    for column, key in _JSON.items():
        if row[column] is not None:
            message[key] = json.loads(row[column])
    if row["interrupted"]:
        message[INTERRUPTED] = True
    message.update(json.loads(row["extra"]) if row["extra"] else {})
    return {**message, "_timestamp": row["timestamp"], MESSAGE_ID: row["message_id"], SEQ: row["seq"], STAMP: row["session_id"]}


def _is_extra(key: object) -> bool:
    return key in _PRIVATE_EXTRAS or not (str(key).startswith("_") or key in _COLUMNS.values())


def _storable(text: str) -> str | bytes:
    """Half a surrogate pair is no UTF-8, and a stream that was cut inside an escape may end in one; it is kept as bytes."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
    return text


def _loaded(value: str | bytes | None) -> str | None:
    return value.decode("utf-8", "surrogatepass") if isinstance(value, bytes) else value


def _as_json(value: object) -> str:
    try:
        return json.dumps(value, default=repr)
    except (TypeError, ValueError, RecursionError):  # odd keys, a circle: better told in words than not at all
        return json.dumps({"unwritable": repr(value)})


def amend(message: Message, content: object) -> None:
    """Change what a message says. Its stamp goes, so that the next flush brings the row up to date."""
    message["content"] = content
    message.pop(STAMP, None)


def visible_text(message: Mapping[str, Any]) -> str:
    """The text of a message as a user sees it."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "".join([part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str)])


def logical(messages: Iterable[object]) -> Iterator[Message]:
    """The messages that a list stands for: a merged one for its parts, a view-only one for none, a non-dict for none."""
    for message in messages:
        if not isinstance(message, dict) or message.get(SYNTHETIC) == VIEW_ONLY:
            continue
        if PARTS in message:
            yield from logical(message[PARTS])
        else:
            yield message


def serial_order(messages: Iterable[Message]) -> list[Message]:
    """The messages turn by turn, turns by their first row, rows by `_seq`; what has no row yet comes last.

    Turns may overlap and interleave their rows; to a reader they happened one after the other.
    """
    first: dict[str, float] = {}
    listed = list(messages)
    for message in listed:
        turn = message.get(TURN)
        if turn is not None:
            first[turn] = min(first.get(turn, float("inf")), _seq(message))
    return sorted(listed, key=lambda message: (first.get(message.get(TURN) or "", _seq(message)), _seq(message)))


def _seq(message: Message) -> float:
    seq = message.get(SEQ)
    return seq if isinstance(seq, int) else float("inf")
