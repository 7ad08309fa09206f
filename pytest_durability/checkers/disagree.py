"""Two records of one conversation that differ after a crash tell two stories, and which one is read next is chance (I20).

Rule: asked of adapters that show their other records (`records`): each of them holds the messages of the transcript, in its
order, with the same texts and the same tool calls.
"""

from __future__ import annotations

from pytest_durability.ledger import Expectation
from pytest_durability.observation import Observation, Row, plain
from pytest_durability.verdict import Anomaly, StoresDisagree


def check(seen: Observation, due: Expectation) -> Anomaly | None:
    """`StoresDisagree` for the first record that differs from the transcript."""
    if seen.rows is None:
        return None
    for name, rows in seen.records:
        how = _difference([row for row in seen.rows if row.tokens], [row for row in rows if row.tokens], due)
        if how:
            return StoresDisagree(
                f"the transcript and its record {plain(name, 30)!r} differ: {how}",
                because=(
                    f"transcript  {_told(seen.rows)}",
                    f"{plain(name, 30):10}  {_told(rows)}",
                    "both were read after the same reopen",
                ),
                kind=plain(name, 30),
            )
    return None


def _difference(rows: list[Row], others: list[Row], due: Expectation) -> str:
    """In what two records differ, or ""."""
    mine, theirs = [t for row in rows for t in row.tokens], [t for row in others for t in row.tokens]
    for token in mine:
        if mine.count(token) > theirs.count(token):
            return f"{token} is in the transcript only"
    for token in theirs:
        if theirs.count(token) > mine.count(token):
            return f"{token} is in the record only"
    if mine != theirs:
        return "the order is another one"
    for row, other in zip(rows, others, strict=False):
        same = row.text.strip() == other.text.strip() or set(row.tokens) & due.calibration.altered
        if not same and row.tokens == other.tokens:
            return f"{row.tokens[0]} is {plain(row.text, 30)!r} in one and {plain(other.text, 30)!r} in the other"
        if row.tokens == other.tokens and (row.calls, row.answers) != (other.calls, other.answers):
            return f"{row.tokens[0]} has other tool calls in one than in the other"
    return ""


def _told(rows: tuple[Row, ...]) -> str:
    return ", ".join([token for row in rows for token in row.tokens][:10]) or "nothing"
