"""A fault-free run comes first: it tells a wrong adapter from a wrong store, and what is normal for this store.

Rule: a text that comes back altered, or a store that fails without any fault, is told as an adapter error before
anything else runs; a store that loses, doubles or rewrites without any fault is a finding with an empty schedule.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from pytest_durability.checkers import judge
from pytest_durability.errors import AdapterError
from pytest_durability.faults import Schedule, role_of
from pytest_durability.incarnation import AdapterFactory, Incarnation
from pytest_durability.ledger import Calibration, Ledger
from pytest_durability.observation import Observation, Row, entry_line, observed_lines
from pytest_durability.recording import Capabilities, Play, Recording
from pytest_durability.reopening import Look, Reopener, present
from pytest_durability.tokens import find, mark
from pytest_durability.verdict import Result, Verdict
from pytest_durability.workload import Commit, Say, Step, Workload
from pytest_durability.world.arena import Arena
from pytest_durability.world.disk.difference import changes
from pytest_durability.world.process import Run, run_here


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """A fault-free run: for each commit, what was gone from the transcript afterwards and what was shown."""

    recording: Recording
    removed: tuple[frozenset[str], ...]
    shown: tuple[tuple[Row, ...], ...]


def calibrate(
    factory: AdapterFactory, able: Capabilities, arena: Arena, workload: Workload, reopener: Reopener, run: Run = run_here
) -> Calibration:
    """Run the workload without faults, reopen twice, and learn what is normal.

    Raises:
        AdapterError: the adapter or the store fails, or alters texts, although nothing bad happened.
        Anomaly: the store breaks its promise although nothing bad happened.
    """
    rehearsal: Rehearsal = run(_rehearse, factory, able, arena, workload)
    recording = rehearsal.recording
    if recording.failures:
        raise _failed(able, str(recording.failures[0][1]))
    first = reopener.open_now(recording.final, healthy=True)
    if first.failure is not None:
        _judge_clean(workload, able, recording, Observation(None, first.failure), Calibration())
    rows = first.rows or ()
    groups = (rows, *rehearsal.shown)
    roles, recast = _roles(workload, groups)
    calibration = Calibration(
        kinds=frozenset((row.role, not row.text.strip()) for group in groups for row in group if not row.tokens),
        altered=frozenset().union(*(_altered(workload, group) for group in groups)),
        roles=roles,
        recast=recast,
        removed=rehearsal.removed,
        published=frozenset(role_of(file.path) for file in recording.final.files),
        volatile=able.volatile,
    )
    _check_texts(able, workload, (*rows, *(first.archived or ())), frozenset().union(*rehearsal.removed))
    _check_clean(workload, able, recording, calibration, first, reopener)
    return calibration


def _rehearse(factory: AdapterFactory, able: Capabilities, arena: Arena, workload: Workload) -> Rehearsal:
    said: set[str] = set()
    removed: list[frozenset[str]] = []
    shown: list[tuple[Row, ...]] = []

    def after_step(step: Step, life: Incarnation | None) -> None:
        said.update(find(say.text)[0] for say in step.says())
        if isinstance(step, Commit) and life is not None:
            rows = life.rows()
            shown.append(rows)
            removed.append(frozenset(said) - {token for row in rows for token in row.tokens})

    recording = Play(factory, able, arena).run(workload, after_step)
    return Rehearsal(recording, tuple(removed), tuple(shown))


def _altered(workload: Workload, rows: tuple[Row, ...]) -> frozenset[str]:
    """Tokens whose text comes back with other white space (a store that normalises): only the token counts then.

    Any other change of the text is not tolerated here: a text that is cut at a line separator has lost its end.
    """
    texts: dict[str, list[str]] = {}
    for row in rows:
        for token in row.tokens:
            texts.setdefault(token, []).append(row.text)
    said = {find(say.text)[0]: say.text.strip() for say in workload.says()}
    changed = [(t, text) for t, text in said.items() if t in texts and not any(text in row for row in texts[t])]
    return frozenset(t for t, text in changed if any(_words(text) in _words(row) for row in texts[t]))


def _words(text: str) -> str:
    return " ".join(text.split())


def _roles(workload: Workload, groups: tuple[tuple[Row, ...], ...]) -> tuple[frozenset[str], frozenset[str]]:
    """The roles under which messages come back as they were said, and the tokens that come back under another one."""
    said = {find(say.text)[0]: say.role for say in workload.says()}
    kept: set[str] = set()
    recast: set[str] = set()
    for rows in groups:
        shown = {(token, row.role) for row in rows for token in row.tokens}
        own = {(token, role) for token, role in shown if said.get(token) == role}
        kept |= {role for _, role in own}
        recast |= {token for token, _ in shown} - {token for token, _ in own}
    return frozenset(kept), frozenset(recast)


def _check_texts(able: Capabilities, workload: Workload, rows: tuple[Row, ...], removed: frozenset[str]) -> None:
    """A token that is missing while a row without a token stands in its place was changed by the adapter."""
    shown = {token for row in rows for token in row.tokens}
    strangers = [row for row in rows if not row.tokens and row.text.strip()]
    for say in workload.says():
        token = find(say.text)[0]
        alike = next((row for row in strangers if row.role == say.role and _alike(row.text, say)), None)
        if token not in shown and token not in removed and alike is not None:
            raise AdapterError(
                f"{able.name} was given {ascii(say.text)[:60]} and its transcript shows {ascii(alike.text)[:60]}, without any fault",
                why="messages are recognised by the mark in their text, so a changed text can be neither missed nor found",
                fix="let transcript return the text as it was given to append (outer white space does not matter)",
            )


def _alike(text: str, say: Say) -> bool:
    """Whether a row is likely the altered form of a message: the same but for case, or most of its words."""
    token = mark(find(say.text)[0])
    if token.lower() in text.lower():
        return True
    words = set(say.text.lower().split()) - {token.lower()}
    return bool(words) and len(words & set(text.lower().split())) * 2 >= len(words)


def _check_clean(
    workload: Workload, able: Capabilities, recording: Recording, calibration: Calibration, first: Look, reopener: Reopener
) -> None:
    """Judge the reopened session of a run in which nothing bad happened."""
    ended = first.after or recording.final
    second = reopener.open_now(ended, healthy=True)
    rows, archived = first.rows or (), first.archived
    seen = Observation(rows, None, archived, again=second.rows, again_failure=second.failure, healthy=True)
    if second.after is not None:
        third = reopener.open_now(second.after, healthy=True)
        sites = {op.target: op.site for op in second.healing}
        seen = replace(seen, changed=changes(ended, second.after, able.volatile, sites))
        if third.after is not None and seen.changed:
            sites = {op.target: op.site for op in third.healing}
            grown = [c for c in changes(second.after, third.after, able.volatile, sites) if (c.after or 0) > (c.before or 0)]
            seen = replace(seen, regrown=tuple(grown))
    _judge_clean(workload, able, recording, seen, calibration)


def _judge_clean(
    workload: Workload, able: Capabilities, recording: Recording, seen: Observation, calibration: Calibration
) -> None:
    says = {find(say.text)[0]: say for say in workload.says()}
    ledger = Ledger.build(
        recording.history, says, promise=able.promise, calibration=calibration, archives="archived" in able.members
    )
    due = ledger.at(len(recording.history))
    missing = [entry.token for entry in due.must if entry.token not in set(seen.tokens())]
    if missing and seen.rows is not None:
        seen = replace(seen, present=present(recording.final, missing, due.calibration.published))
    anomaly = judge(seen, due).anomaly
    if anomaly is None:
        return
    anomaly.because = ("no fault at all: the session was only reopened", *anomaly.because)
    anomaly.result = Result(
        adapter=able.name,
        workload=workload,
        schedule=Schedule(),
        history=recording.history,
        verdict=Verdict.INVALID,
        anomaly=anomaly,
        expected=tuple(entry_line(entry.token, entry.say.role, entry.say.text) for entry in due.must),
        observed=observed_lines(seen),
    )
    raise anomaly


def _failed(able: Capabilities, what: str) -> AdapterError:
    return AdapterError(
        f"{able.name}: {what}, without any fault",
        why="a store that fails on its own cannot be judged under faults",
        fix="make the plain run work first: open, append, transcript on an empty directory",
    )
