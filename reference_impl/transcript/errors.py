"""What can go wrong with a transcript, told apart by what a caller can do about it.

Rule: failures of files stay `StorageError`. An error that reaches the caller says what is kept and what is not; nothing that
was shown to the user is forgotten because one of these was raised.
"""

from __future__ import annotations

import sqlite3
from typing import Literal

Trouble = Literal["locked", "full", "read-only", "corrupt", "input-output", "ended", "other"]
"""Why a flush failed. "locked" passes by itself; "ended": the session was ended and has no open child; "other": see the cause."""


class TranscriptError(Exception):
    """Any refusal of the transcript."""


class CorruptError(TranscriptError):
    """The database cannot be trusted. It is left as it is: a new one would be an empty session under an old name."""


class SchemaError(TranscriptError):
    """The database was written by a version that this one does not know."""


class UnknownSessionError(TranscriptError):
    """A session was to be resumed, and the database has none of that name."""


class EndedError(TranscriptError):
    """The session was ended by a split and none of its children is open: there is no place to write to."""


class UnsavedError(TranscriptError):
    """Messages are in memory and not in the database; the next flush, or the next resume, tries again."""


class BusyError(TranscriptError):
    """The operation runs between turns only, and a turn is open."""


class TurnOverError(TranscriptError):
    """Something arrived for a turn that has ended."""


class StreamCutError(TranscriptError):
    """The stream of a reply ended without its terminal event; the failure of the stream, if it had one, is the cause."""


_TROUBLES: dict[int, Trouble] = {
    sqlite3.SQLITE_BUSY: "locked",
    sqlite3.SQLITE_LOCKED: "locked",
    sqlite3.SQLITE_FULL: "full",
    sqlite3.SQLITE_READONLY: "read-only",
    sqlite3.SQLITE_CORRUPT: "corrupt",
    sqlite3.SQLITE_NOTADB: "corrupt",
    sqlite3.SQLITE_IOERR: "input-output",
    sqlite3.SQLITE_CANTOPEN: "input-output",
}


def trouble_of(error: BaseException) -> Trouble:
    """The kind of a failure. SQLite gives extended codes, whose low byte is the kind."""
    if isinstance(error, EndedError):
        return "ended"
    if isinstance(error, CorruptError):
        return "corrupt"
    return _TROUBLES.get(getattr(error, "sqlite_errorcode", -1) & 0xFF, "other")
