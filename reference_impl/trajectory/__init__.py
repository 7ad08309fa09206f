"""Token trajectories: what a model sampled, turn by turn, exact to the token, and honest about what was aborted.

`LinearTrajectory` is the record, `Chat` answers requests over it, `assemble` makes training samples of it. `server`
(which needs Starlette) puts many of them behind a chat endpoint.
"""

from reference_impl.trajectory.chat import Answer, Chat
from reference_impl.trajectory.journal import FileJournal, Journal, Memory
from reference_impl.trajectory.linear import LinearTrajectory
from reference_impl.trajectory.matching import same_meaning, same_message
from reference_impl.trajectory.plan import Plan
from reference_impl.trajectory.record import SessionRecord
from reference_impl.trajectory.samples import Sample, Status, assemble, merge_samples
from reference_impl.trajectory.tokenizing import ChatTokenizer, TokenPolicy

__all__ = [
    "Answer",
    "Chat",
    "ChatTokenizer",
    "FileJournal",
    "Journal",
    "LinearTrajectory",
    "Memory",
    "Plan",
    "Sample",
    "SessionRecord",
    "Status",
    "TokenPolicy",
    "assemble",
    "merge_samples",
    "same_meaning",
    "same_message",
]
