"""A finding is worth what its report is worth: this is what the terminal shows of a result and of a sweep.

Rule: the same result gives the same bytes (no dates, no durations, no absolute order of dictionaries); what a limit cut
away is said with its number.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from textwrap import wrap

from pytest_durability.faults import Crash
from pytest_durability.report.difference import difference
from pytest_durability.report.timeline import timeline
from pytest_durability.report.words import WIDTH, count, fit, plain
from pytest_durability.verdict import Anomaly, ModelReport, Result, SweepReport
from pytest_durability.workload import FullDisk, PowerLoss, Reload

STEPS = 40
"""So many steps of a workload are printed; the saved case has all of them."""
FAKE = "the fake one, a file system of its own from / on"
FINDINGS = 20
"""So many findings of a sweep are printed as one line each."""
_MODEL_ROW = "  {:<21}{:>7}{:>8}{:>8}{:>8}{:>8}{:>8}{:>7}"


def sections(result: Result, *, test: str = "", html: str = "", verbosity: int = 0) -> list[tuple[str, str]]:
    """Title and text of each section below a failure, in reading order.

    `test` is the pytest node id for the command that reproduces it, `html` where the same is as a page. A negative `verbosity` keeps that command only, a
    positive one shows all ops.
    """
    if verbosity < 0:
        return [("durability: reproduce", f"  exact     {command(result, test)}")]
    return [
        ("durability: timeline", timeline(result, everything=verbosity > 0)),
        ("durability: state", difference(result)),
        ("durability: reproduce", reproduce(result, test, html)),
    ]


def command(result: Result, test: str) -> str:
    """The command line that runs exactly this case again; without a saved case, the one that runs the test."""
    words = ["pytest", *([test] if test else [])]
    if result.case_id:
        words.append(f"--durability-replay={result.case_id}")
    return plain(shlex.join(words))


def reproduce(result: Result, test: str = "", html: str = "") -> str:
    """What to type to see it again, and the two texts that define the run."""
    faults = list(result.schedule or ())
    crashes = sum(isinstance(fault, Crash) for fault in faults) or int(bool(result.model))
    ops = result.crash_after or len(result.history or ())
    numbers = [count(ops, "op"), count(crashes, "crash")]
    if len(faults) > crashes:
        numbers.append(count(len(faults) - crashes, "other fault"))
    if result.losses:
        numbers.append(f"{count(len(result.losses), 'operation')} lost")
    lines = [f"  {', '.join(numbers)}", f"  exact     {command(result, test)}"]
    lines += _listed("html", [html] if html else [])
    lines += _listed("disk", [FAKE] if result.disk == "fake" else [])
    lines += _listed("fault", [str(fault) for fault in faults])
    if models := by_model(result):
        lines += wrap(f"models    {models}", WIDTH, initial_indent="  ", subsequent_indent=" " * 12)
    return "\n".join(lines + _listed("workload", [str(step) for step in result.workload or ()]))


def by_model(result: Result) -> str:
    """`fails under: posix; holds under: process-kill, strict`: which models suffice to show it, and which do not.

    Of a finding that no crash at the end shows, what it needs instead; empty if nobody asked.
    """
    sides = (("fails under", result.fails_under), ("holds under", result.holds_under))
    told = "; ".join(f"{label}: {', '.join(names)}" for label, names in sides if names)
    return told if told or result.model or result.anomaly is None else _without_crash(result)


def _without_crash(result: Result) -> str:
    """`needs no crash`, and what else went wrong in the story; or the model of the crash that is a step of it."""
    steps = tuple(result.workload or ())
    died = dict.fromkeys(step.model for step in steps if isinstance(step, PowerLoss))
    if died:
        return f"fails under: {', '.join(died)}, by the PowerLoss of the workload; not tried with others"
    fault = "" if result.schedule or any(isinstance(step, FullDisk) for step in steps) else " and no fault"
    restart = ", only a restart" if any(isinstance(step, Reload) for step in steps) else ""
    return f"needs no crash{fault}{restart}: fails under every model"


def _listed(label: str, texts: Sequence[str]) -> list[str]:
    lines = [f"  {label if number == 0 else '':<8}  {plain(text)}" for number, text in enumerate(texts[:STEPS])]
    if len(texts) > STEPS:
        lines.append(f"            ... {len(texts) - STEPS} left out, the saved case has all of them")
    return lines


def name(anomaly: Anomaly) -> str:
    """`LostAcknowledged under posix`: the verdict in two words."""
    model = anomaly.result.model if anomaly.result is not None else ""
    return type(anomaly).__name__ + (f" under {model}" if model else "")


def finding(anomaly: Anomaly) -> str:
    """One finding as one line: verdict, summary, source line in the store, id of the saved case."""
    case = anomaly.result.case_id if anomaly.result is not None else ""
    site = f" ({anomaly.site})" if anomaly.site else ""
    return plain(f"{name(anomaly)}: {anomaly.summary}{site}{f' [case {case}]' if case else ''}")


def headline(report: SweepReport) -> str:
    """One sweep as one line: adapter, operations, states, models."""
    models = ", ".join(model.model for model in report.models)
    return plain(
        f"{report.adapter}: {report.verdict.value}, {count(report.operations, 'operation')}, "
        f"{count(report.states, 'crash state')}{f' under {models}' if models else ''}{_disk(report)}"
        f"{f'; {report.stronger} would hold too' if report.stronger and not report.anomalies else ''}"
    )


def _disk(report: SweepReport) -> str:
    return ", on the fake disk" if report.disk == "fake" else ""


def counts(report: SweepReport) -> str:
    """What was tried and found under each model, as one line: `posix 120 states 1 finding, strict 80 states 0 findings`."""
    return ", ".join(
        f"{model.model} {count(model.states, 'state')} {count(model.findings, 'finding')}" for model in report.models
    )


def summary(report: SweepReport, *, timing: bool = True) -> str:
    """What a sweep tried within which bounds, and what it found; `timing` adds the one line that differs between runs."""
    size = f"{count(report.steps, 'step')}, {count(report.operations, 'operation')}, depth {report.depth}{_disk(report)}"
    lines = [plain(f"{report.adapter}: {report.verdict.value} ({size})")]
    if report.models:
        lines.append(_MODEL_ROW.format("model", "points", "cuts", "states", "opened", "repeats", "deeper", "found"))
        lines += [_model(model) for model in report.models]
        lines += _bounds(report.models)
    lines += [fit(f"  SQLite ran with {mode}", WIDTH) for mode in report.databases]
    lines += _findings("fails", report.anomalies)
    lines += _findings("portability", report.portability)
    if report.holds_under and not report.anomalies:
        lines.append(f"  nothing found under {', '.join(report.holds_under)}, which the promise does not name")
    lines += [fit(f"  not judged: {reason}", WIDTH) for reason in report.unknown[:FINDINGS]]
    lines += _cut(len(report.unknown))
    if timing:
        lines.append(f"  time {report.seconds:.2f} s, {report.store_share:.0%} of it inside the store")
    return "\n".join(lines)


def _model(model: ModelReport) -> str:
    return _MODEL_ROW.format(
        model.model,
        model.crash_points,
        model.cuts,
        model.states,
        model.judged,
        model.repeats,
        model.deeper,
        model.findings,
    )


def _bounds(models: Sequence[ModelReport]) -> list[str]:
    """The bounds once for each group of models that shares them, and a warning for each limit that was reached."""
    groups: dict[tuple[int, int, int], list[str]] = {}
    for model in models:
        groups.setdefault((model.lagging, model.versions, model.limit), []).append(model.model)
    lines = []
    for (lagging, versions, limit), names in groups.items():
        whom = "" if len(groups) == 1 else f" of {', '.join(names)}"
        lines.append(f"  bounds{whom}: {count(lagging, 'chain')} behind, {count(versions, 'version')} each, {limit} cuts")
    lines += [f"  limit reached under {model.model}: not every crash state was tried" for model in models if model.cut_short]
    return lines


def _findings(label: str, anomalies: Sequence[Anomaly]) -> list[str]:
    return [f"  {label}: {finding(anomaly)}" for anomaly in anomalies[:FINDINGS]] + _cut(len(anomalies))


def _cut(number: int) -> list[str]:
    return [f"  ... {number - FINDINGS} more left out"] if number > FINDINGS else []
