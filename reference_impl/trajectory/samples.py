"""Turns recorded tokens into training samples: what the model wrote counts, what others wrote is masked.

Rule: committed turns are aligned among themselves first and are in the samples whatever comes after; an aborted
generation is at most the last piece, and says so.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from reference_impl.trajectory.errors import SamplesError
from reference_impl.trajectory.linear import LinearTrajectory
from reference_impl.trajectory.record import ABORT, LENGTH, SessionRecord


class Status(enum.Enum):
    """How the last generation of a sample ended."""

    COMPLETED = "completed"
    TRUNCATED = "truncated"
    ABORTED = "aborted"


@dataclass(frozen=True, slots=True)
class Sample:
    """Tokens to train on. `tokens`: prompt and response. `loss_mask` and `logprobs` cover the response: 1 where the model wrote."""

    tokens: tuple[int, ...]
    prompt_length: int
    loss_mask: tuple[int, ...]
    logprobs: tuple[float, ...]
    status: Status

    @property
    def response_length(self) -> int:
        """How many tokens come after the first prompt."""
        return len(self.tokens) - self.prompt_length


def merge_samples(samples: Sequence[Sample], max_trim_tokens: int = 0) -> Sample:
    """One sample of several consecutive ones: each continues the tokens of the one before.

    Raises:
        SamplesError: there is none, one does not continue the one before it, or one that is not the last was aborted.
    """
    if not samples:
        raise SamplesError("there is nothing to merge: no generation was recorded")
    merged = samples[0]
    for at, (before, sample) in enumerate(pairwise(samples), 2):
        if before.status is Status.ABORTED:
            raise SamplesError(f"sample {at - 1} of {len(samples)} was aborted, and only the last one may be")
        merged = _joined(merged, sample, at, max_trim_tokens)
    return merged


def assemble(trajectory: LinearTrajectory, max_tokens: int | None = None) -> tuple[Sample, ...]:
    """The samples of a trajectory: one of all committed turns, with the aborted tail at its end if it continues them.

    `max_tokens`: leave out whole turns from the end until the sample is no longer than this (then it is TRUNCATED).

    Raises:
        SamplesError: the records do not line up with the tokens; it carries the sample of those that do.
    """
    committed, trim = trajectory.committed, trajectory.policy.max_trim_tokens
    aligned = _aligned(committed, trajectory.token_ids, trim)
    pieces = [_sample(record) for record in committed[:aligned]]
    whole = (merge_samples(pieces, trim),) if pieces else ()
    if aligned < len(committed):
        raise SamplesError(f"the output of turn {aligned + 1} of {len(committed)} is not in the accumulated tokens", whole)
    tail = trajectory.provisional
    samples = _with_tail(pieces, tail, trim) if tail is not None else whole
    return samples if max_tokens is None else _cut(samples, pieces, max_tokens, trim)


def _sample(record: SessionRecord) -> Sample:
    status = {ABORT: Status.ABORTED, LENGTH: Status.TRUNCATED}.get(record.finish_reason, Status.COMPLETED)
    outputs = len(record.output_token_ids)
    return Sample(record.token_ids, len(record.prompt_token_ids), (1,) * outputs, record.output_logprobs, status)


def _joined(first: Sample, second: Sample, at: int, trim: int) -> Sample:
    """`first`, what others said in between (masked), and `second`."""
    kept = len(first.tokens) - _trimmed(first, second)
    if len(first.tokens) - kept > trim or kept < first.prompt_length:
        raise SamplesError(f"sample {at} does not begin with the tokens of the one before it")
    observed = second.prompt_length - kept
    if observed <= 0:
        raise SamplesError(f"sample {at} follows the one before it with no message in between")
    response = kept - first.prompt_length
    return Sample(
        second.tokens,
        first.prompt_length,
        first.loss_mask[:response] + (0,) * observed + second.loss_mask,
        first.logprobs[:response] + (0.0,) * observed + second.logprobs,
        second.status,
    )


def _trimmed(first: Sample, second: Sample) -> int:
    """How many tokens at the end of `first` the prompt of `second` lacks."""
    pairs = zip(first.tokens, second.tokens[: second.prompt_length], strict=False)
    same = next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(first.tokens), second.prompt_length))
    return len(first.tokens) - same


def _aligned(records: Sequence[SessionRecord], tokens: Sequence[int], trim: int) -> int:
    """How many records, from the first, have their output in the accumulated tokens, right after their prompt."""
    for at, record in enumerate(records):
        start = len(record.prompt_token_ids)
        last = at == len(records) - 1
        output = record.output_token_ids
        found = tuple(tokens[start : start + len(output)])
        same = next((n for n, (a, b) in enumerate(zip(found, output, strict=False)) if a != b), min(len(found), len(output)))
        if len(output) - same > (0 if last else trim) or (last and start + len(output) != len(tokens)):
            return at
    return len(records)


def _with_tail(pieces: list[Sample], tail: SessionRecord, trim: int) -> tuple[Sample, ...]:
    """The committed pieces with an aborted generation at their end, or beside it if it goes back behind them."""
    aborted = _sample(tail)
    if not pieces:
        return (aborted,) if tail.output_token_ids else ()
    committed = merge_samples(pieces, trim)
    if not tail.output_token_ids:
        return (replace(committed, status=Status.ABORTED),)
    try:
        return (merge_samples([*pieces, aborted], trim),)
    except SamplesError:  # it was a retry of the last committed turn, and that turn stays
        return (committed, aborted)


def _cut(samples: tuple[Sample, ...], pieces: Sequence[Sample], limit: int, trim: int) -> tuple[Sample, ...]:
    """The samples, shortened by whole turns until they fit."""
    fitting = tuple(sample for sample in samples if len(sample.tokens) <= limit)
    if len(fitting) == len(samples):
        return samples
    turns = [piece for piece in pieces if len(piece.tokens) <= limit]
    return (replace(merge_samples(turns, trim), status=Status.TRUNCATED),) if turns else ()
