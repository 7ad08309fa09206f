"""The history holds one line for each call, so what the call was made on, and when, is said in its note.

Rule: what `noted` writes the other functions read; a note that says nothing is empty.
"""

from __future__ import annotations

from pytest_durability.workload import SESSION

AMID = "while a tool runs"


def noted(*, session: str = SESSION, handle: int = 1, retry: bool = False, amid: bool = False) -> str:
    """The note on a call in the history that says on what it was made; `note_session`, `is_retry` and `is_amid` read it."""
    words = (
        f"session {session}" if session != SESSION else "",
        f"handle {handle}" if handle > 1 else "",
        "retry" if retry else "",
        AMID if amid else "",
    )
    return ", ".join(word for word in words if word)


def note_session(note: str) -> str:
    """The session that a call was about."""
    return next((word.removeprefix("session ") for word in note.split(", ") if word.startswith("session ")), SESSION)


def is_retry(note: str) -> bool:
    """Whether a call repeated an earlier one."""
    return "retry" in note.split(", ")


def is_amid(note: str) -> bool:
    """Whether a call was made in the middle of a turn."""
    return AMID in note.split(", ")
