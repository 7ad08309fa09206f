"""What a request would do to the trajectory, worked out before the backend is asked.

Rule: a plan is a value and changes nothing; it names the epoch in which it was made, so that nobody can apply it to a
trajectory that has moved on.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from reference_impl.trajectory.errors import EndedByLengthError, HistoryError
from reference_impl.trajectory.matching import Matcher, matched
from reference_impl.trajectory.record import LENGTH, ChatMessage, SessionRecord
from reference_impl.trajectory.tokenizing import TokenPolicy


@dataclass(frozen=True, slots=True)
class Plan:
    """One turn to be generated.

    `keep`: how many committed turns stay. `discards`: how many go when the turn is committed (0 or 1). `messages`: what
    the request holds beyond the kept turns. `prompt_token_ids`: what the backend is to be given.
    """

    epoch: int
    keep: int
    discards: int
    messages: tuple[ChatMessage, ...]
    prompt_token_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Base:
    """Where a request joins the trajectory: after `keep` turns, which end at message `start`."""

    keep: int
    start: int


def find_base(
    request: Sequence[ChatMessage],
    committed: Sequence[ChatMessage],
    ends: Sequence[int],
    records: Sequence[SessionRecord],
    policy: TokenPolicy,
    same: Matcher,
) -> Base:
    """The checkpoint that a request continues: the last one whose messages it repeats all.

    Raises:
        HistoryError: it goes back too far, adds nothing, or adds a message of a role that may not be added.
        EndedByLengthError: the turn that it continues ended because its tokens ran out.
        MatcherError: the matcher raised.
    """
    keep = bisect_right(ends, matched(committed, request, same))
    start = ends[keep - 1] if keep else 0
    discards = len(ends) - keep
    if discards > policy.max_rollback:
        raise HistoryError(
            f"the request repeats {keep} of {len(ends)} recorded turns, which takes back {discards};"
            f" at most {policy.max_rollback} can be taken back: send the conversation as it was answered"
        )
    added = request[start:]
    if not added:
        raise HistoryError("the request adds no message to the recorded conversation, so there is nothing to answer")
    if keep:
        _check_roles(added, start, policy)
        if records[keep - 1].finish_reason == LENGTH:
            raise EndedByLengthError(f"turn {keep} ended because its tokens ran out; what follows it was never generated")
    return Base(keep, start)


def _check_roles(added: Sequence[ChatMessage], start: int, policy: TokenPolicy) -> None:
    for at, message in enumerate(added, start):
        if message.get("role") not in policy.allowed_append_roles:
            raise HistoryError(
                f"message {at} has the role {message.get('role')!r}; after a generated turn only"
                f" {', '.join(policy.allowed_append_roles)} may be added, because the tokens of others are not known"
            )
