"""Makes a long conversation short again without losing what earlier summaries said, or splitting what belongs together.

Rule: it is a function of the entries; a summary that fails or is empty changes nothing. The metadata of a summary is written out
here in one place, so that no reasoning crosses the boundary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

from reference_impl.replay.entries import COMPRESSED, SUMMARY, Entry, TimelineEntry

Summarise = Callable[[str], str]
"""From a prompt to a summary."""
CountTokens = Callable[[str], int]

PROMPT = "Summarise the conversation below. Keep facts, decisions and open questions."


def compress(
    entries: Sequence[Entry],
    summarise: Summarise,
    *,
    timestamp: str,
    keep: int | None = None,
    keep_tokens: int | None = None,
    count_tokens: CountTokens = len,
) -> tuple[TimelineEntry, int] | None:
    """A summary of the oldest entries, and how many it stands for; None if there is nothing to summarise, or that failed.

    The newest `keep` entries, or those within `keep_tokens`, are not touched, nor is a call whose result is among them or
    has yet to come.
    """
    cut = _cut(entries, len(entries) - _within(entries, keep, keep_tokens, count_tokens))
    old = entries[:cut]
    if not any(not entry.is_summary for entry in old):
        return None
    summary = ""
    with suppress(Exception):  # a model is asked here; without its answer everything stays as it is
        summary = str(summarise(prompt_of(old)) or "").strip()
    if not summary:
        return None
    metadata = {COMPRESSED: True, "compression_timestamp": timestamp, "compressed_entries_count": len(old)}
    return TimelineEntry(SUMMARY, summary, timestamp, metadata), cut


def prompt_of(entries: Sequence[Entry]) -> str:
    """What the model is asked: the summary so far, as such, and what has been said since."""
    before = [str(entry.content) for entry in entries if entry.is_summary]
    said = [_line(entry) for entry in entries if not entry.is_summary]
    parts = [
        PROMPT,
        *(["The summary so far:", *before] if before else []),
        "What was said since:" if before else "What was said:",
    ]
    return "\n\n".join([*parts, "\n".join(said)])


def _line(entry: Entry) -> str:
    calls = [f"{call['name']}({call['arguments']})" for call in entry.tool_calls]
    return f"[{entry.type}] {' '.join([str(entry.content or ''), *calls]).strip()}"


def _within(entries: Sequence[Entry], keep: int | None, keep_tokens: int | None, count_tokens: CountTokens) -> int:
    """How many of the newest entries are within the bounds."""
    most = len(entries) if keep is None else min(keep, len(entries))
    if keep_tokens is None:
        return most if keep is not None else 0
    used = kept = 0
    for entry in reversed(entries[len(entries) - most :]):
        used += count_tokens(_line(entry))
        if used > keep_tokens:
            break
        kept += 1
    return kept


def _cut(entries: Sequence[Entry], wanted: int) -> int:
    """The last place up to `wanted` where no call is parted from its result, or left behind without one."""
    open_at: dict[str, int] = {}
    pairs: list[tuple[int, int]] = []
    for index, entry in enumerate(entries):
        if entry.tool_call_id in open_at:
            pairs.append((open_at.pop(entry.tool_call_id), index))
        open_at.update((str(call["id"]), index) for call in entry.tool_calls)
    pairs += [(index, len(entries)) for index in open_at.values()]
    bound = wanted
    for called, answered in sorted(pairs, reverse=True):
        if called < bound <= answered:
            bound = called
    return bound
