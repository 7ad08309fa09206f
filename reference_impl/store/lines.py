"""Tells whole lines from damaged ones, and damage that a crash explains from damage that it does not.

Rule: lines end at a newline (LF) and nowhere else (U+2028 and its like are text). The tail is what one unfinished append may have
left: it was never acknowledged. Damage before it costs its own line and no other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from reference_impl.store.message import Message, explicit, read_line

Piece = tuple[bytes, Message | None]
"""A line as it stands in the file, and the message in it (None: it is damaged)."""


@dataclass(frozen=True, slots=True)
class Lines:
    """What a live file holds. `damaged`: lines in the middle that cannot be read. `tail`: an unfinished append."""

    messages: tuple[Message, ...]
    damaged: tuple[bytes, ...] = ()
    tail: bytes = b""


def parse_live(data: bytes, follows: int = 0) -> Lines:
    """Read a live file. `follows`: the highest `seq` of the archives, for lines of a layout that had none."""
    pieces = list(_pieces(data, follows))
    end = _end_of_acknowledged(pieces)
    return Lines(
        tuple([message for _, message in pieces[:end] if message is not None]),
        tuple([line for line, message in pieces[:end] if message is None]),
        b"\n".join([line for line, _ in pieces[end:]]),
    )


def parse_archive(data: bytes, follows: int = 0) -> tuple[Message, ...]:
    """Read the messages of an archive, leaving out what is damaged."""
    return tuple([message for _, message in _pieces(data, follows) if message is not None])


def render(messages: Sequence[Message]) -> bytes:
    """The content of a file that holds these messages."""
    return b"".join([explicit(message) + b"\n" for message in messages])


def _pieces(data: bytes, follows: int) -> Iterator[Piece]:
    seen: dict[bytes, int] = {}
    for piece in data.split(b"\n"):
        line = piece[:-1] if piece.endswith(b"\r") else piece
        if not line:
            continue
        try:
            message = read_line(line, follows)
            if message.implied:
                seen[line] = seen.get(line, -1) + 1
                message = read_line(line, follows, seen[line])
        except (ValueError, RecursionError):
            yield line, None
            continue
        follows = max(follows, message.seq)
        yield line, message


def _end_of_acknowledged(pieces: Sequence[Piece]) -> int:
    """Where the tail begins: damaged lines at the end, and a batch at the end that is not whole."""
    end = len(pieces)
    while True:
        while end and pieces[end - 1][1] is None:
            end -= 1
        start = _start_of_torn_batch(pieces, end)
        if start == end:
            return end
        end = start


def _start_of_torn_batch(pieces: Sequence[Piece], end: int) -> int:
    """The index of the first line of the batch that ends at `end`, if that batch is torn; else `end`."""
    last = pieces[end - 1][1] if end else None
    if last is None or last.batch is None:
        return end
    start, wanted = end - 1, last.batch.n - 1
    while start and (before := pieces[start - 1][1]) and before.batch and before.batch.id == last.batch.id and wanted:
        start, wanted = start - 1, wanted - 1
    # A batch whose first lines are missing at the start of the file was divided by a commit, and not by a crash.
    torn = last.batch.n < last.batch.of or (wanted > 0 and start > 0 and pieces[start - 1][1] is None)
    return start if torn else end
