"""What a caller may have to handle differently gets a type of its own.

Rule: failures of the disk stay `StorageError`; these are the store's own refusals, and nothing was written when one of
them is raised.
"""

from __future__ import annotations


class SessionError(Exception):
    """Any refusal of the session store."""


class ConflictError(SessionError):
    """A message id is in the session already, with another content."""


class CommitError(SessionError):
    """A commit failed before its commit point: the live messages are as they were."""


class UnusableError(SessionError):
    """An append failed and could not be taken back; load the session again before anything else."""


class TransientError(Exception):
    """Raised by a summariser or an extractor: the same call may succeed later."""
