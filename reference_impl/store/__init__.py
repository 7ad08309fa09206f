"""One session on disk: live messages, numbered archives, and a load that restores one consistent state after any crash.

`Session` is the way in. A commit has two phases: the first, short and under a lock, moves messages into an archive; the
second, slow and repeatable, summarises the archive and sets its completion marker.
"""

from reference_impl.store.context import Context
from reference_impl.store.errors import CommitError, ConflictError, SessionError, TransientError, UnusableError
from reference_impl.store.message import Draft, Message
from reference_impl.store.receipts import CommitReceipt, HealReport
from reference_impl.store.session import Session
from reference_impl.store.workers import Summary, Workers

__all__ = [
    "CommitError",
    "CommitReceipt",
    "ConflictError",
    "Context",
    "Draft",
    "HealReport",
    "Message",
    "Session",
    "SessionError",
    "Summary",
    "TransientError",
    "UnusableError",
    "Workers",
]
