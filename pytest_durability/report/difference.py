"""Puts what had to be there next to what came back, so that nobody has to compare two transcripts by eye.

Rule: rows are compared by the tokens they carry, else by their text; `-` marks what is missing, `+` what nobody expected.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher
from textwrap import wrap

from pytest_durability.report.words import WIDTH, count, fit, plain
from pytest_durability.tokens import find
from pytest_durability.verdict import Result
from pytest_durability.world.disk.sqlite.modes import effective, in_force

MOST = 40
"""So many rows of each side, and so many losses, are shown at most."""
_LABEL = 18
_INDENT = " " * 10


def difference(result: Result) -> str:
    """Expected rows, observed rows and lost operations as text."""
    missing, extra = marks(result.expected, result.observed)
    lines = _side("must be there", result.expected, missing, "-", "nothing yet")
    lines += _side("came back", result.observed, extra, "+", "nothing")
    if result.losses:
        lines += ["", f"  lost in the crash{f', as {result.model} allows' if result.model else ''}"]
        lines += [line for loss in result.losses[:MOST] for line in _loss(loss.seq, loss.what, loss.site, loss.why)]
        lines += _more(len(result.losses), "operation")
    modes = in_force(effective(result.history))
    if modes:
        lines += ["", *(f"  SQLite ran with {plain(mode)}" for mode in modes)]
    if result.note:
        lines += ["", f"  {plain(result.note)}"]
    return "\n".join(lines)


def _key(row: str) -> tuple[str, ...]:
    return find(row) or (row.strip(),)


def marks(expected: Sequence[str], observed: Sequence[str], most: int = MOST) -> tuple[set[int], set[int]]:
    """Indices of the rows that have no partner on the other side, in order; of each side only the first `most` are looked at."""
    left, right = [_key(row) for row in expected[:most]], [_key(row) for row in observed[:most]]
    missing, extra = set(range(len(left))), set(range(len(right)))
    for block in SequenceMatcher(None, left, right, autojunk=False).get_matching_blocks():
        missing -= set(range(block.a, block.a + block.size))
        extra -= set(range(block.b, block.b + block.size))
    return missing, extra


def _side(label: str, rows: Sequence[str], marked: set[int], sign: str, empty: str) -> list[str]:
    if not rows:
        return [f"  {label:<{_LABEL - 4}}  {empty}"]
    lines = []
    for number, row in enumerate(rows[:MOST]):
        left = f"  {label if number == 0 else '':<{_LABEL - 4}}{sign if number in marked else ' '} "
        lines.append(left + fit(row, WIDTH - len(left)))
    return lines + _more(len(rows), "row")


def _loss(seq: int, what: str, site: str, why: str) -> list[str]:
    """One line if it fits, else the reason on lines of its own."""
    head = plain(f"    op {seq}  {what}{f'  ({site})' if site else ''}")
    whole = f"{head}: {plain(why)}"
    if len(whole) <= WIDTH or not why:
        return [whole if why else head]
    return [head, *wrap(plain(why), WIDTH, initial_indent=_INDENT, subsequent_indent=_INDENT)]


def _more(number: int, noun: str) -> list[str]:
    return [f"    ... {count(number - MOST, noun)} left out"] if number > MOST else []
