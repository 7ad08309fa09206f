"""The transcript of a conversation in SQLite: what the user said and saw is in it, once, however turns end or overlap.

`Agent` is the way in: `resume`, then `begin` a turn and `run` it. Messages are known by identity, never by position; text is
journalled before it is shown; a conversation that outgrows its model is split in one transaction.
"""

from reference_impl.transcript.agent import Agent
from reference_impl.transcript.errors import (
    BusyError,
    CorruptError,
    EndedError,
    SchemaError,
    StreamCutError,
    TranscriptError,
    TurnOverError,
    UnknownSessionError,
    UnsavedError,
)
from reference_impl.transcript.repair import provider_view, repair_message_sequence
from reference_impl.transcript.rows import amend
from reference_impl.transcript.stream import Call, Done, Text
from reference_impl.transcript.turn import Turn, TurnResult

__all__ = [
    "Agent",
    "BusyError",
    "Call",
    "CorruptError",
    "Done",
    "EndedError",
    "SchemaError",
    "StreamCutError",
    "Text",
    "TranscriptError",
    "Turn",
    "TurnOverError",
    "TurnResult",
    "UnknownSessionError",
    "UnsavedError",
    "amend",
    "provider_view",
    "repair_message_sequence",
]
