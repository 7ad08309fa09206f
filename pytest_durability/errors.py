"""Misuse is told apart from findings here: these errors mean "the question was wrong", never "the store is wrong".

Rule: every message has three parts: what happened, with the offending value; why it matters; what to do about it.
"""


class DurabilityError(Exception):
    """Base of all misuse errors; `str()` is the whole three-part message."""

    def __init__(self, what: str, *, why: str = "", fix: str = "") -> None:
        self.what, self.why, self.fix = what, why, fix
        super().__init__("\n".join(part for part in (what, why and f"  why: {why}", fix and f"  fix: {fix}") if part))


class UsageError(DurabilityError):
    """An argument, option or fault that cannot be used as given."""


class AdapterError(DurabilityError):
    """The adapter itself is wrong (a method is missing, a type is wrong, a text is altered), so nothing was judged."""


class CaseError(DurabilityError):
    """A saved case that cannot be read, is of another version, or does not fit what it is replayed on."""


class RecorderError(DurabilityError):
    """The recorded log does not explain what is on disk, so any verdict built on it would be worthless."""


class UnsupportedError(DurabilityError):
    """This platform or this store is outside what the harness can do; said instead of passing."""


class InconclusiveError(DurabilityError):
    """Something that had to be judged gave no answer; UNKNOWN is never a pass."""
