"""A fault-free run comes first: it tells a wrong adapter from a wrong store, and what is normal for this store.

Rule: a text that comes back altered, or a store that fails without any fault, is told as an adapter error before
anything else runs; a store that loses, doubles or rewrites without any fault is a finding with an empty schedule.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pytest_durability.capabilities import Capabilities
from pytest_durability.checkers import effects, judge
from pytest_durability.errors import AdapterError
from pytest_durability.faults import CutStream, Interrupt, Schedule, role_of
from pytest_durability.history import Lane
from pytest_durability.incarnation import AdapterFactory, Incarnation
from pytest_durability.ledger import Calibration, Ledger
from pytest_durability.notes import is_amid
from pytest_durability.observation import Observation, Row, entry_line, observed_lines
from pytest_durability.recording import Play, Recording
from pytest_durability.reopening import Look, Reopener, present
from pytest_durability.tokens import find, mark
from pytest_durability.verdict import Result, Verdict
from pytest_durability.workload import SESSION, Ask, Commit, On, Say, Step, Workload, session_of, with_tokens
from pytest_durability.world.arena import Arena
from pytest_durability.world.disk.difference import changes
from pytest_durability.world.process import Run, run_here

BROKEN = (CutStream(0, 12, "reset"), Interrupt(1, 2), CutStream(2, 0, "reset"), CutStream(3, 12), CutStream(4, 0))
"""What is done to turns to learn what a store writes about broken ones."""

BROKEN_TOOLS = (CutStream(6, 7, "reset"), CutStream(7, 16, "reset"), CutStream(8, 26, "reset"), Interrupt(9, 2), Interrupt(10, 4))
"""The same for turns that call a tool: before the call, at it, and in what the model says to the result."""


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """A fault-free run: for each commit of each session, what was gone from the transcript afterwards and what was shown."""

    recording: Recording
    removed: Mapping[str, tuple[frozenset[str], ...]]
    shown: Mapping[str, tuple[tuple[Row, ...], ...]]


def calibrate(
    factory: AdapterFactory,
    able: Capabilities,
    arena: Arena,
    workload: Workload,
    reopener: Reopener,
    run: Run = run_here,
    kinds: frozenset[tuple[str, bool]] = frozenset(),
) -> dict[str, Calibration]:
    """Run the workload without faults, reopen twice, and learn what is normal, for each session of the workload.

    `kinds`: rows without a token that are legal besides, see `broken_kinds`.

    Raises:
        AdapterError: the adapter or the store fails, or alters texts, although nothing bad happened.
        Anomaly: the store breaks its promise although nothing bad happened.
    """
    rehearsal: Rehearsal = run(_rehearse, factory, able, arena, workload)
    _check_failures(able, workload, rehearsal.recording)
    found = {name: _calibrated(able, workload, rehearsal, reopener, name) for name in workload.sessions}
    if any(failed.refused for _, failed in rehearsal.recording.failures):
        alone: Rehearsal = run(_rehearse, factory, able, arena, _alone(workload))
        found = {name: replace(one, kinds=one.kinds | _kinds_of(alone, reopener, name)) for name, one in found.items()}
    return {name: replace(one, kinds=one.kinds | kinds) for name, one in found.items()} if kinds else found


def _alone(workload: Workload) -> Workload:
    """The same with one store object for each session: what is refused because of a second one is done here.

    A fault may keep the second one from being opened; what the store then writes has to be known as normal.
    """
    return Workload(tuple(replace(step, handle=1) if isinstance(step, On) else step for step in workload))


def _kinds_of(rehearsal: Rehearsal, reopener: Reopener, session: str) -> frozenset[tuple[str, bool]]:
    """The kinds of rows without a token that a fault-free run leaves in a session."""
    rows = reopener.look(rehearsal.recording.final, session=session).rows or ()
    return _unmarked(rows, *rehearsal.shown.get(session, ()))


def _unmarked(*groups: Sequence[Row]) -> frozenset[tuple[str, bool]]:
    """Role, and whether it is empty, of each row without a token."""
    return frozenset((row.role, not row.text.strip()) for group in groups for row in group if not row.tokens)


def broken_kinds(
    factory: AdapterFactory, able: Capabilities, arena: Arena, reopener: Reopener, run: Run = run_here
) -> frozenset[tuple[str, bool]]:
    """The kinds of rows without a token that turns leave which were cut or stopped: notices, synthetic closings."""
    if "turn" not in able.members:
        return frozenset()
    asks = [Ask(f"question {n}", "an answer of several words") for n in range(len(BROKEN) + 1)]
    if able.tools:
        asks += [Ask(f"task {n}", "one moment", "42", "an answer of several words") for n in range(len(BROKEN_TOOLS) + 1)]
    recording: Recording = run(_broken, factory, able, arena, with_tokens(Workload(tuple(asks))))
    look = reopener.open_now(recording.final)
    return _unmarked(look.rows or ())


def _broken(factory: AdapterFactory, able: Capabilities, arena: Arena, steps: Workload) -> Recording:
    return Play(factory, able, arena, schedule=Schedule((*BROKEN, *BROKEN_TOOLS)), calm=True).run(steps)


def _calibrated(able: Capabilities, workload: Workload, rehearsal: Rehearsal, reopener: Reopener, session: str) -> Calibration:
    recording, shown = rehearsal.recording, rehearsal.shown.get(session, ())
    first = reopener.open_now(recording.final, healthy=True, session=session)
    if first.failure is not None:
        _judge_clean(workload, able, recording, Observation(None, first.failure), Calibration(), session)
    rows = first.rows or ()
    groups = (rows, *shown)
    own = _says(workload, session)
    roles, recast = _roles(own, groups)
    removed = rehearsal.removed.get(session, ())
    onward = reopener.onward(first.after or recording.final, session) if first.failure is None else None
    calibration = Calibration(
        goes_on=onward is not None and onward.failure is None,
        kinds=_unmarked(*groups),
        altered=frozenset().union(*(_altered(own, group) for group in groups)),
        roles=roles,
        recast=recast,
        removed=removed,
        published=frozenset(role_of(file.path) for file in recording.final.files),
        volatile=able.volatile,
        refused=frozenset(fault.rule for fault in first.asked.refused) if first.asked is not None else frozenset(),
    )
    _check_texts(able, own, (*rows, *(first.archived or ())), frozenset().union(*removed))
    _check_clean(workload, able, recording, calibration, first, reopener, session)
    return calibration


def _rehearse(factory: AdapterFactory, able: Capabilities, arena: Arena, workload: Workload) -> Rehearsal:
    said: dict[str, set[str]] = {}
    removed: dict[str, tuple[frozenset[str], ...]] = {}
    shown: dict[str, tuple[tuple[Row, ...], ...]] = {}

    def after(step: Step, life: Incarnation | None, session: str) -> None:
        own = said.setdefault(session, set())
        own.update(find(say.text)[0] for say in step.says())
        if isinstance(step, Commit) and life is not None:
            rows = life.rows()
            shown[session] = (*shown.get(session, ()), rows)
            gone = frozenset(own) - {token for row in rows for token in row.tokens}
            removed[session] = (*removed.get(session, ()), gone)

    recording = Play(factory, able, arena, calm=True, after=after).run(workload)
    return Rehearsal(recording, removed, shown)


def _check_failures(able: Capabilities, workload: Workload, recording: Recording) -> None:
    """Without any fault a store may refuse a text that is no valid Unicode, and a second store object; nothing else fails.

    (What such a text did to the session, if it was taken, shows when that is opened.)
    """
    odd = doubtful(workload)
    said = next((op.seq for op in recording.history if op.lane is Lane.USER and odd & set(op.target.split(","))), None)
    # Once there were two store objects, either of them may be the stale one that has to refuse.
    opened_twice = next((op.seq for op in recording.history.lane(Lane.USER) if "handle" in op.note), len(recording.history) + 1)
    for seq, failed in recording.failures:
        second = seq >= opened_twice
        amid = is_amid(recording.history[seq - 1].note)
        if ((second or amid) and failed.refused) or (said is not None and seq >= said):
            continue
        if second:
            raise AdapterError(
                f"{able.name}: with a second store object open on the session, {failed}, without any fault",
                why="a program may open a session twice, and a store that cannot cope has to refuse that in a way callers know",
                fix=f"name {failed.kind} in the adapter's `refuses`, or declare handles = 1 if the store says that it is opened once",
            )
        raise _failed(able, str(failed))


def is_unicode(text: str) -> bool:
    """Whether a text can be written in any encoding of Unicode: a lone surrogate cannot."""
    return not any("\ud800" <= char <= "\udfff" for char in text)


def doubtful(workload: Workload) -> frozenset[str]:
    """The messages from the first text on that is no valid Unicode."""
    says = workload.says()
    first = next((at for at, say in enumerate(says) if not is_unicode(say.text)), len(says))
    return frozenset(find(say.text)[0] for say in says[first:])


def _says(workload: Workload, session: str) -> tuple[Say, ...]:
    """What is said in one session."""
    return tuple(say for step in workload if session_of(step) == session for say in step.says())


def _altered(says: Sequence[Say], rows: tuple[Row, ...]) -> frozenset[str]:
    """Tokens whose text comes back with other white space (a store that normalises): only the token counts then.

    Any other change of the text is not tolerated here: a text that is cut at a line separator has lost its end. (What a
    store makes of a text that is no valid Unicode is its own affair.)
    """
    texts: dict[str, list[str]] = {}
    for row in rows:
        for token in row.tokens:
            texts.setdefault(token, []).append(row.text)
    said = {find(say.text)[0]: say.text.strip() for say in says}
    changed = [(t, text) for t, text in said.items() if t in texts and not any(text in row for row in texts[t])]
    return frozenset(t for t, text in changed if not is_unicode(text) or any(_words(text) in _words(row) for row in texts[t]))


def _words(text: str) -> str:
    return " ".join(text.split())


def _roles(says: Sequence[Say], groups: tuple[tuple[Row, ...], ...]) -> tuple[frozenset[str], frozenset[str]]:
    """The roles under which messages come back as they were said, and the tokens that come back under another one."""
    said = {find(say.text)[0]: say.role for say in says}
    kept: set[str] = set()
    recast: set[str] = set()
    for rows in groups:
        shown = {(token, row.role) for row in rows for token in row.tokens}
        own = {(token, role) for token, role in shown if said.get(token) == role}
        kept |= {role for _, role in own}
        recast |= {token for token, _ in shown} - {token for token, _ in own}
    return frozenset(kept), frozenset(recast)


def _check_texts(able: Capabilities, says: Sequence[Say], rows: tuple[Row, ...], removed: frozenset[str]) -> None:
    """A token that is missing while a row without a token stands in its place was changed by the adapter."""
    shown = {token for row in rows for token in row.tokens}
    strangers = [row for row in rows if not row.tokens and row.text.strip()]
    for say in says:
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
    workload: Workload,
    able: Capabilities,
    recording: Recording,
    calibration: Calibration,
    first: Look,
    reopener: Reopener,
    session: str,
) -> None:
    """Judge the reopened session of a run in which nothing bad happened."""
    ended = first.after or recording.final
    second = reopener.open_now(ended, healthy=True, session=session)
    rows, archived = first.rows or (), first.archived
    twin = reopener.twin(recording.final, session=session)
    seen = Observation(rows, None, archived, again=second.rows, again_failure=second.failure, healthy=True)
    onward = reopener.onward(ended, session)
    seen = replace(seen, asked=first.asked, twin=twin, records=first.records, onward=onward)
    if second.after is not None:
        third = reopener.open_now(second.after, healthy=True, session=session)
        sites = {op.target: op.site for op in second.healing}
        seen = replace(seen, changed=changes(ended, second.after, able.volatile, sites))
        if third.after is not None and seen.changed:
            sites = {op.target: op.site for op in third.healing}
            grown = [c for c in changes(second.after, third.after, able.volatile, sites) if (c.after or 0) > (c.before or 0)]
            seen = replace(seen, regrown=tuple(grown))
    _judge_clean(workload, able, recording, seen, calibration, session)


def _judge_clean(
    workload: Workload, able: Capabilities, recording: Recording, seen: Observation, calibration: Calibration, session: str
) -> None:
    says = {find(say.text)[0]: say for say in _says(workload, session)}
    ledger = Ledger.build(
        recording.history,
        says,
        promise=able.promise,
        calibration=calibration,
        archives="archived" in able.members,
        session=session,
    )
    due = ledger.at(len(recording.history))
    missing = [entry.token for entry in due.must if entry.token not in set(seen.tokens())]
    if missing and seen.rows is not None:
        seen = replace(seen, present=present(recording.final, missing, due.calibration.published))
    anomaly = effects.repeated(recording.history) or judge(seen, due).anomaly
    if anomaly is None:
        return
    anomaly.because = ("no fault at all: the session was only reopened", *anomaly.because, *remarks(workload, session))
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


def remarks(workload: Workload, session: str = SESSION) -> tuple[str, ...]:
    """What a reader of a finding has to know of the story besides its steps."""
    told = []
    if session != SESSION:
        told.append(f"in    the session {session!r}, which lives in the same root")
    elif len(workload.sessions) > 1:
        told.append("with  another session in the same root")
    if any(isinstance(step, On) and step.handle > 1 for step in workload):
        told.append("needs a second store object on the same session, used after the first one; `handles = 1` rules that out")
    return tuple(told)


def _failed(able: Capabilities, what: str) -> AdapterError:
    return AdapterError(
        f"{able.name}: {what}, without any fault",
        why="a store that fails on its own cannot be judged under faults",
        fix="make the plain run work first: open, append, transcript on an empty directory",
    )
