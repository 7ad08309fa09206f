"""Shows in one glance what the user did, what the disk was told, and where the crash fell between the two.

Rule: only what happened is shown. Crash states are computed from one recording that goes on after the crash point, so
the timeline of a crash ends there, unless the history itself goes on behind an op of kind `crash`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from pytest_durability.history import Lane, Op, Outcome
from pytest_durability.observation import plain
from pytest_durability.report.together import Group, columns, groups
from pytest_durability.report.words import WIDTH, fit
from pytest_durability.tokens import find
from pytest_durability.turn import DELIVERED
from pytest_durability.verdict import LostDelivered, Result

WHOLE = 40
"""Up to so many ops all are shown; above, the witnesses and the lost ones with their neighbours."""
MOST = 2_000
"""So many ops at most are shown, also when everything is asked for."""
NEIGHBOURS = 2
_LOST_SHOWN = 6
_FOLDED = 3
LANES = (Lane.USER, Lane.STREAM, Lane.DISK, Lane.PROVIDER)
"""In the order of their columns."""
_NUMBER = 7
_USER = 30


@dataclass(frozen=True, slots=True)
class _Row:
    """One line: the first and last op it stands for, its lane and its words."""

    first: int
    last: int
    lane: Lane
    text: str
    mark: str = " "


def timeline(result: Result, *, everything: bool = False) -> str:
    """The timeline as text; `everything` shows all ops (up to 2,000) instead of the witnesses and their neighbours."""
    ops = happened(result)
    if not ops:
        return "  the crash came before the first op" if result.history else "  no op was recorded"
    chosen = _chosen(result, ops, everything=everything)
    lanes = [lane for lane in LANES if lane in (Lane.USER, Lane.DISK) or any(op.lane is lane for op in ops)]
    widths = _widths(lanes)
    lines = ["   op  " + "".join(f"{lane.value:<{widths[lane]}}" for lane in lanes).rstrip()]
    expected = 1
    together = groups(ops)
    for row in _rows(result, chosen):
        group = next((group for group in together if group.first <= row.first <= group.last), None)
        if group is not None:
            if expected <= group.first:
                lines += _at_once(group, chosen, result)
            expected = max(expected, group.last + 1)
            continue
        if row.first > expected:
            lines += _gap(expected, row.first - 1, result)
        lines.append(_died(row) if row.text.startswith("crash") else _line(row, lanes, widths))
        if row.first <= result.crash_after <= row.last:
            lines.append(_crash(result))
        expected = row.last + 1
    if expected <= ops[-1].seq:
        lines += _gap(expected, ops[-1].seq, result)
    return "\n".join(lines)


def _at_once(group: Group, chosen: Sequence[Op], result: Result) -> list[str]:
    inside = [op for op in chosen if group.first <= op.seq <= group.last]
    lines = columns(group, inside, lambda op: _signed(phrase(op, result.history), op, lost=False), witnesses_of(result))
    missing = group.last - group.first + 1 - len(inside)
    return lines + ([f"  ...  {missing} op{'s' if missing > 1 else ''} of these left out"] if missing else [])


def happened(result: Result) -> Sequence[Op]:
    """The ops up to the crash, or up to the end of a run that went on after it."""
    ops: Sequence[Op] = list(result.history or ())
    after = result.crash_after
    if after and not (after < len(ops) and ops[after].kind == "crash"):
        return ops[:after]
    return ops if after or not result.model else []


def _chosen(result: Result, ops: Sequence[Op], *, everything: bool) -> list[Op]:
    if len(ops) <= (MOST if everything else WHOLE):
        return list(ops)
    if everything:
        return list(ops[-MOST:])
    lost = [loss.seq for loss in result.losses]
    centres = {*witnesses_of(result), *lost[:_LOST_SHOWN], result.crash_after or ops[-1].seq}
    near = {seq + step for seq in centres for step in range(-NEIGHBOURS, NEIGHBOURS + 1)}
    return [op for op in ops if op.seq in near]


def witnesses_of(result: Result) -> tuple[int, ...]:
    """Numbers of the ops that prove the anomaly."""
    return result.anomaly.witnesses if result.anomaly is not None else ()


def _rows(result: Result, ops: Sequence[Op]) -> Iterator[_Row]:
    """One row an op; a run of equal disk ops on one file, none of them a witness, is one row."""
    lost = {loss.seq for loss in result.losses} | unread(result)
    witnesses = set(witnesses_of(result))

    def alike(left: Op, right: Op) -> bool:
        return (
            left.lane is right.lane is Lane.DISK
            and (left.kind, left.target, left.outcome, left.seq in lost)
            == (right.kind, right.target, right.outcome, right.seq in lost)
            and right.seq == left.seq + 1
            and not {left.seq, right.seq} & witnesses
            and left.seq != result.crash_after
        )

    for run in _runs(ops, alike):
        if len(run) >= _FOLDED:
            yield _folded(run, lost=run[0].seq in lost)
            continue
        for op in run:
            text = phrase(op, result.history)
            yield _Row(op.seq, op.seq, op.lane, _signed(text, op, lost=op.seq in lost), ">" if op.seq in witnesses else " ")


def unread(result: Result) -> set[int]:
    """Numbers of the ops by which text was shown to the user that the reopened session no longer has."""
    if not isinstance(result.anomaly, LostDelivered) or not result.anomaly.witnesses:
        return set()
    call, lost, said = result.anomaly.witnesses[0], set[int](), ""
    for op in happened(result):
        if op.lane is Lane.STREAM and op.kind == DELIVERED and op.call == call:
            said = op.target if find(op.target) else said + op.target  # a reply begins with its mark
            if not any(plain(said.strip()) in line for line in result.observed):
                lost.add(op.seq)
    return lost


def _runs(ops: Sequence[Op], alike: Callable[[Op, Op], bool]) -> Iterator[list[Op]]:
    run: list[Op] = []
    for op in ops:
        if run and not alike(run[-1], op):
            yield run
            run = []
        run.append(op)
    if run:
        yield run


def _folded(run: Sequence[Op], *, lost: bool) -> _Row:
    total = sum(op.size for op in run)
    text = f"{run[0].kind} {run[0].target}  {len(run)} times" + (f", {total} B" if total else "")
    return _Row(run[0].seq, run[-1].seq, Lane.DISK, _signed(text, run[0], lost=lost))


def _signed(text: str, op: Op, *, lost: bool) -> str:
    """`~x~ LOST` for what the crash took, `X` for what failed, `?` for what may have happened."""
    if op.outcome is Outcome.FAILED:
        text = f"X {text}"
    elif op.outcome is Outcome.UNKNOWN:
        text = f"? {text}"
    return f"~{text}~ LOST" if lost else text


def phrase(op: Op, history: Sequence[Op]) -> str:
    """What an op did, in a few words; not escaped."""
    if op.lane is Lane.USER and op.kind == "ack":
        call = history[op.call - 1] if 0 < op.call <= len(history) else None
        return f"ok {op.target}" if call is None or op.target == call.kind else f"ok {call.kind} {op.target}"
    if op.lane is Lane.USER and op.kind == "raised":
        return f"{op.target} {op.note or 'raised'}"
    if op.kind == "commit":
        return f"commit keep={op.size}"
    words = " ".join(part for part in (op.kind, op.target) if part)
    if op.lane is Lane.DISK and op.size:
        return f"{words}  {op.size} B"
    return f"{words}  {op.note}" if op.note and op.lane is not Lane.DISK else words


def _widths(lanes: Sequence[Lane]) -> dict[Lane, int]:
    room = WIDTH - _NUMBER
    if len(lanes) == 2:  # noqa: PLR2004  the usual case: user and disk
        return {Lane.USER: _USER, Lane.DISK: room - _USER}
    return dict.fromkeys(lanes, room // len(lanes))


def _line(row: _Row, lanes: Sequence[Lane], widths: dict[Lane, int]) -> str:
    number = str(row.first) if row.first == row.last else f"{row.first}-{row.last}"
    left = sum(widths[lane] for lane in lanes[: lanes.index(row.lane)])
    # The last lane that has something on this line may run on to the edge of the page: nothing stands to its right.
    return f"{row.mark}{number:>4}  {' ' * left}{_fit_mark(row.text, WIDTH - _NUMBER - left)}"


def _fit_mark(text: str, width: int) -> str:
    """Cut in front of the closing mark, because LOST is what the reader looks for."""
    if text.endswith("~ LOST"):
        return fit(text[:-6], width - 6) + "~ LOST"
    return fit(text, width)


def _crash(result: Result) -> str:
    left, right = f"==== CRASH after op {result.crash_after} ", f" {result.model}" if result.model else ""
    return left + "=" * max(WIDTH - len(left) - len(right), 4) + right


def _died(row: _Row) -> str:
    """A death in the middle: the ops that follow happened in the world that it left."""
    left, right = f"==== CRASH, op {row.first} ", row.text.removeprefix("crash")
    return left + "=" * max(WIDTH - len(left) - len(right), 4) + right


def _gap(first: int, last: int, result: Result) -> list[str]:
    lost = sum(1 for loss in result.losses if first <= loss.seq <= last)
    number = last - first + 1
    return [f"  ...  {number} op{'s' if number > 1 else ''} left out" + (f", {lost} of them lost" if lost else "")]
