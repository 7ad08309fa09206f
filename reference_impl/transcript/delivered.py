"""What the user has seen of a reply exists before the reply does: this log keeps it through the death of the process.

Rule: a piece of text is appended here, and only then shown. The log is removed when the database holds all of its text, and not
before; a log that is found when a session is resumed belongs to a turn that did not end.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from reference_impl.durable import Durable

_PREFIX, _SUFFIX = "delivered-", ".jsonl"
_SAFE = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_")
_LONGEST_ESCAPE = len(r"\ud83d\ude00")


@dataclass(slots=True)
class Delivered:
    """Text that was shown as (the beginning of) one message."""

    turn_id: str
    message_id: str
    text: str = ""


class DeliveredLog:
    """The log of one open turn, in `folder`. Turns may overlap, so each has a file of its own.

    `disk`: its level says what shown text survives, and what each piece costs: with "power-loss" every piece waits for a sync.
    """

    def __init__(self, disk: Durable, folder: str, turn_id: str) -> None:
        self.disk, self.turn_id = disk, turn_id
        self.path = os.path.join(folder, f"{_PREFIX}{file_name(turn_id)}{_SUFFIX}")
        self._message_id = ""
        self._saved = True

    def append(self, message_id: str, piece: str) -> None:
        """Journal a piece of a message. It may be shown when this has returned.

        Raises:
            StorageError: it is not in the log, and must not be shown.
        """
        data = _line(piece)
        if message_id != self._message_id:  # the line that names the message comes with its first piece: one sync, not two
            data = _line({"turn_id": self.turn_id, "message_id": message_id}) + data
        if self._saved:  # the file holds nothing that is still needed
            self.disk.replace(self.path, data)
        else:
            self.disk.append(self.path, data)
        self._message_id, self._saved = message_id, False

    def saved(self) -> None:
        """The database holds all of it: the next message starts the file afresh."""
        if not self._saved:
            self._saved, self._message_id = True, ""

    def remove(self) -> None:
        """Forget the turn.

        Raises:
            StorageError: the file is still there; the next resume finds that the database has it all, and removes it.
        """
        self.disk.remove(self.path)


def file_name(name: str) -> str:
    """A name as a part of a file name; different names stay different where upper and lower case are the same."""
    return "".join([character if character in _SAFE else f"%{ord(character):x}%" for character in name])


def logs_in(disk: Durable, folder: str) -> list[str]:
    """The paths of the logs in a folder.

    Raises:
        StorageError: the folder cannot be listed.
    """
    names = disk.names(folder) or []
    return [os.path.join(folder, name) for name in names if name.startswith(_PREFIX) and name.endswith(_SUFFIX)]


def read_log(disk: Durable, path: str) -> list[Delivered]:
    """The messages of a log, as far as they were journalled: a line that is torn counts up to its last whole character.

    Raises:
        StorageError: the file cannot be read; that is not the same as "nothing was shown".
    """
    found: list[Delivered] = []
    for value in _values(disk.read(path) or b""):
        if isinstance(value, dict):
            found.append(Delivered(str(value.get("turn_id")), str(value.get("message_id"))))
        elif isinstance(value, str) and found:
            found[-1].text += value
    return found


def completed(held: str, shown: str) -> str | None:
    """What a message has to say that holds `held` and was shown as `shown`; None if it need not change.

    A message may hold more than was shown, and may not hold less. What is neither the one nor the other is no reply, but
    something that stands in its place ("waiting for the model"): the text that was shown wins.
    """
    return None if held.startswith(shown) else shown


def _line(value: object) -> bytes:
    """ASCII, so that a line is never cut inside a character, and no character of the text ends it."""
    return json.dumps(value).encode("ascii") + b"\n"


def _values(data: bytes) -> Iterator[Any]:
    *lines, tail = data.split(b"\n")
    for line in lines:
        try:
            yield json.loads(line)
        except ValueError:  # damage costs its own line: what was shown after it was shown all the same
            continue
    yield _whole_characters(tail.split(b"\0")[0])


def _whole_characters(torn: bytes) -> str:
    """The text of a JSON string without its end."""
    if not torn.startswith(b'"'):
        return ""
    for cut in range(min(_LONGEST_ESCAPE, len(torn))):
        try:
            text = json.loads(torn[: len(torn) - cut] + b'"')
        except ValueError:
            continue
        if not "\ud800" <= text[-1:] <= "\udbff":  # half of a pair, whose other half was cut off
            return str(text)
    return ""
