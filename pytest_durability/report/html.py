"""A finding is discussed by people who did not run the test: this page shows it to them, in one file and without a network.

Rule: everything that a store or a model wrote is escaped; the page has no script that runs and asks for nothing; the
same result gives the same bytes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from html import escape

from pytest_durability.faults import Crash
from pytest_durability.history import Op, Outcome
from pytest_durability.report import text
from pytest_durability.report.difference import marks
from pytest_durability.report.style import CSS
from pytest_durability.report.timeline import LANES, MOST, happened, phrase, witnesses_of
from pytest_durability.report.words import count, plain
from pytest_durability.verdict import Result

ROWS = 400
"""So many rows of each side are shown."""
# A page that was opened from a disk may do nothing but show itself.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_OP = re.compile(r"\bop (\d+)\b")


def page(result: Result, *, test: str = "") -> str:
    """The finding as a complete HTML page, in ASCII; `test` is the pytest node id for the command that reproduces it."""
    anomaly = result.anomaly
    name = type(anomaly).__name__ if anomaly is not None else "No anomaly"
    summary = anomaly.summary if anomaly is not None else ""
    ops = happened(result)
    shown = ops[-MOST:]
    parts = [
        f'<header class="{result.verdict.value}">',
        f"<h1>{_safe(name)} <small>{_safe(result.verdict.value.upper())}</small></h1>",
        f"<p><strong>{_safe(summary)}</strong></p>",
        f"<p>{_safe(_facts(result, test, len(ops)))}</p>",
        f"<p>Reproduce <code>{_safe(text.command(result, test))}</code></p>",
        "</header>",
        *_because(result, shown),
        *_timeline(result, ops, shown),
        *_states(result),
        *_details(result),
        f'<script type="application/json" id="durability">{_data(result, test, shown)}</script>',
    ]
    return _HEAD.format(policy=_POLICY, title=_safe(f"{name}: {summary}"), css=CSS) + "\n".join(parts) + "\n</body>\n</html>\n"


_HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
{css}</style>
</head>
<body>
"""


def _safe(content: str) -> str:
    return escape(plain(content))


def _facts(result: Result, test: str, ops: int) -> str:
    crashes = sum(isinstance(fault, Crash) for fault in result.schedule or ()) or int(bool(result.model))
    numbers = f"{count(ops, 'op')}, {count(crashes, 'crash')}"
    model = f"under {result.model}" if result.model else ""
    disk = "on the fake disk" if result.disk == "fake" else ""
    return " - ".join(part for part in (test, result.adapter, numbers, model, disk) if part)


def _because(result: Result, shown: Sequence[Op]) -> Iterator[str]:
    if result.anomaly is None or not (result.anomaly.because or result.anomaly.site):
        return
    yield "<section><h2>Because</h2><ul>"
    known = {op.seq for op in shown}
    for line in result.anomaly.because:
        yield f"<li>{_linked(line, known)}</li>"
    if result.anomaly.site:
        yield f"<li>look at <code>{_safe(result.anomaly.site)}</code></li>"
    yield "</ul></section>"


def _linked(line: str, known: set[int]) -> str:
    """The escaped line with a link to each op that is on the page."""

    def link(found: re.Match[str]) -> str:
        number = int(found[1]) if len(found[1]) < 10 else 0  # noqa: PLR2004  no history is that long
        return f'<a href="#op-{number}">{found[0]}</a>' if number in known else found[0]

    return _OP.sub(link, _safe(line))


def _timeline(result: Result, ops: Sequence[Op], shown: Sequence[Op]) -> Iterator[str]:
    lanes = [lane for lane in LANES if any(op.lane is lane for op in shown)] or list(LANES[:1])
    yield '<section><h2>Timeline</h2><div class="wide"><table>'
    yield f"<tr><th>op</th>{''.join(f'<th>{lane.value}</th>' for lane in lanes)}<th>line in the store</th></tr>"
    if len(shown) < len(ops):
        yield f'<tr><td colspan="{len(lanes) + 2}">... {count(len(ops) - len(shown), "op")} left out</td></tr>'
    lost = {loss.seq: loss.why for loss in result.losses}
    witnesses = set(witnesses_of(result))
    crash = (
        f'<tr class="crash"><td colspan="{len(lanes) + 2}">CRASH after op {result.crash_after} {_safe(result.model)}</td></tr>'
    )
    if result.model and not result.crash_after:
        yield crash
    for op in shown:
        cell = f"<td{_hint(op, lost)}>{_sign(op, lost, _safe(phrase(op, result.history)))}</td>"
        cells = "".join(cell if lane is op.lane else "<td></td>" for lane in lanes)
        kind, sign = (' class="witness"', "&gt; ") if op.seq in witnesses else ("", "")
        yield f'<tr id="op-{op.seq}"{kind}><th>{sign}{op.seq}</th>{cells}<td>{_safe(op.site)}</td></tr>'
        if op.seq == result.crash_after:
            yield crash
    yield '</table></div><p class="key">struck, LOST: taken by the crash; X: failed; ?: nobody knows; &gt;: proves the finding</p></section>'


def _hint(op: Op, lost: dict[int, str]) -> str:
    return f' title="{_safe(lost[op.seq])}"' if lost.get(op.seq) else ""


def _sign(op: Op, lost: dict[int, str], words: str) -> str:
    """Marks that can be read without colour, as in the terminal."""
    sign = {Outcome.FAILED: "X ", Outcome.UNKNOWN: "? "}.get(op.outcome, "")
    return f"<del>{sign}{words}</del> LOST" if op.seq in lost else sign + words


def _states(result: Result) -> Iterator[str]:
    missing, extra = marks(result.expected, result.observed, ROWS)
    yield '<section class="states">'
    yield from _side("Must be there", result.expected, missing, "-", "missing")
    yield from _side("Came back", result.observed, extra, "+", "nobody expected it")
    yield "</section>"


def _side(title: str, rows: Sequence[str], marked: set[int], sign: str, why: str) -> Iterator[str]:
    yield f"<div><h2>{title}</h2><ol>"
    for number, row in enumerate(rows[:ROWS]):
        yield f"<li><mark>{sign} {_safe(row)}</mark> {why}</li>" if number in marked else f"<li>{_safe(row)}</li>"
    yield "</ol>"
    if len(rows) > ROWS:
        yield f"<p>... {count(len(rows) - ROWS, 'row')} left out</p>"
    yield ("" if rows else "<p>nothing</p>") + "</div>"


def _details(result: Result) -> Iterator[str]:
    losses = [f"op {loss.seq}  {loss.what}  ({loss.site}): {loss.why}" for loss in result.losses]
    yield from _folded("Lost in the crash", losses)
    yield from _folded("Faults", [str(fault) for fault in result.schedule or ()])
    yield from _folded("Workload", [str(step) for step in result.workload or ()])
    yield from _folded("Note", [result.note] if result.note else [])


def _folded(title: str, lines: Sequence[str]) -> Iterator[str]:
    if lines:
        more = [f"... {len(lines) - MOST} left out"] if len(lines) > MOST else []
        body = "\n".join(_safe(line) for line in [*lines[:MOST], *more])
        yield f"<details><summary>{title} ({len(lines)})</summary><pre>{body}</pre></details>"


def _data(result: Result, test: str, shown: Iterable[Op]) -> str:
    """The same once more for programs; no text in it can end the element that holds it."""
    anomaly = result.anomaly
    content = {
        "adapter": result.adapter,
        "anomaly": type(anomaly).__name__ if anomaly is not None else "",
        "because": list(anomaly.because) if anomaly is not None else [],
        "case": result.case_id,
        "crash_after": result.crash_after,
        "expected": list(result.expected),
        "lost": [loss.seq for loss in result.losses],
        "model": result.model,
        "observed": list(result.observed),
        "ops": [[op.seq, op.lane.value, op.kind, op.target, op.size, op.outcome.value, op.site] for op in shown],
        "schedule": str(result.schedule or ""),
        "summary": anomaly.summary if anomaly is not None else "",
        "test": test,
        "verdict": result.verdict.value,
        "workload": str(result.workload or ""),
    }
    shown_as = json.dumps(content, ensure_ascii=True, sort_keys=True)
    return shown_as.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
