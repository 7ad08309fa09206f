"""What holds of every trajectory after every operation, as functions that name what is wrong (or None)."""

from __future__ import annotations

from itertools import pairwise


def structure(trajectory):
    """T1: counts agree, checkpoints grow, and each ends with an assistant message."""
    ends = trajectory.generated_checkpoint_message_ends
    committed = [record for record in trajectory.records if not record.provisional]
    if not len(committed) == len(trajectory.trajectory_token_ids) == len(ends) == trajectory.num_assistant:
        return f"{len(committed)} records, {len(trajectory.trajectory_token_ids)} snapshots, {len(ends)} checkpoints"
    if any(first >= second for first, second in pairwise(ends)) or (ends and ends[-1] != len(trajectory.messages)):
        return f"checkpoints {ends} of {len(trajectory.messages)} messages"
    strange = [end for end in ends if trajectory.messages[end - 1]["role"] != "assistant"]
    return f"no assistant message at {strange}" if strange else None


def continuous(trajectory):
    """T3: each snapshot continues the one before it."""
    for at, (first, second) in enumerate(pairwise(trajectory.trajectory_token_ids), 2):
        if not trajectory.policy.continues(first, second):
            return f"turn {at} does not continue the tokens of turn {at - 1}"
    return None


def honest(trajectory):
    """T6: no abort among the committed records, at most one provisional record, and that at the end."""
    flags = [record.finish_reason == "abort" for record in trajectory.records]
    if flags.count(True) > 1 or any(flags[:-1]):
        return f"aborts at {[at for at, flag in enumerate(flags) if flag]} of {len(flags)} records"
    return "an abort is committed" if any(record.finish_reason == "abort" for record in trajectory.committed) else None


def recorded(trajectory):
    """Each snapshot is what its record says was sampled, token for token."""
    for at, (snapshot, record) in enumerate(zip(trajectory.trajectory_token_ids, trajectory.committed, strict=False), 1):
        if snapshot != record.token_ids:
            return f"snapshot {at} is not the tokens of its record"
    return None


ALWAYS = {"T1": structure, "T3": continuous, "T6": honest, "tokens": recorded}
