"""Walks the crash states of one recording under one model and finds those that break the promise.

Rule: every distinct disk content is opened once and judged over every interval of crash points in which it is legal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from pytest_durability.calibration import remarks
from pytest_durability.errors import InconclusiveError, UsageError
from pytest_durability.evidence import crash_fault, explain
from pytest_durability.faults import LostWrite, Schedule
from pytest_durability.observation import Observation
from pytest_durability.persistence import PersistenceModel
from pytest_durability.persistence import model as model_named
from pytest_durability.runner import Case, Runner
from pytest_durability.verdict import Anomaly, ModelReport, Verdict
from pytest_durability.workload import SESSION
from pytest_durability.world.disk import states
from pytest_durability.world.disk.image import Image
from pytest_durability.world.disk.states import Log, State, build, find, walk

LAGGING = 2
"""How many version chains may be behind in one crash state."""
VERSIONS = 4
"""By how many versions a chain may be behind (its durable version is always tried besides)."""
LIMIT = 40_000
"""How many cuts are tried per model; fewer losses come first."""
DEEPER = 4_000
"""How many crash states of healing are tried per model at depth 2; there one chain may be behind."""
EXPLAINED = 100
"""How many failing states of one kind are looked at closely under one model, to tell distinct bugs apart."""


def bounds(name: str) -> tuple[int, int]:
    """How many chains of a model's states may be behind, and by how many versions; on a mount, how many of its PUTs."""
    return states.bounds(model_named(name), LAGGING, VERSIONS)


@dataclass(frozen=True, slots=True)
class Suspect:
    """A failing state by its name alone, so that it can travel between processes and be rebuilt.

    `inner`: for a crash during the healing of that state, the crash of the healing, by the same two values. `session`: the
    one that fails.
    """

    model: str
    first: int
    lag: tuple[str, ...]
    inner: tuple[int, tuple[str, ...]] | None = None
    session: str = SESSION


@dataclass(slots=True)
class Tally:
    """What the exploration of one model counted, what it suspects (one suspect per identity), and of which types that is."""

    model: str
    points: int = 0
    cuts: int = 0
    states: int = 0
    opened: int = 0
    repeats: int = 0
    deeper: int = 0
    cut_short: bool = False
    suspects: list[Suspect] = field(default_factory=list)
    kinds: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)

    def report(self, found: Sequence[Anomaly], limit: int) -> ModelReport:
        """The counts for people, with the bounds they hold within and how many of `found` belong to this model."""
        lagging, versions = bounds(self.model)
        return ModelReport(
            model=self.model,
            crash_points=self.points,
            cuts=self.cuts,
            states=self.states,
            judged=self.opened,
            repeats=self.repeats,
            lagging=lagging,
            versions=versions,
            limit=limit,
            cut_short=self.cut_short,
            findings=sum(1 for anomaly in found if anomaly.result is not None and anomaly.result.model == self.model),
            deeper=self.deeper,
        )


class Examiner:
    """Judges the crash states of one case; of several workers each takes the contents of its share.

    `since`: states that are gone before this op are left out; they were judged already, in a story that is the same up to there.
    `enough`: so many failing states of one kind are looked at closely under one model (None: `EXPLAINED`, of those that no simpler one explains).
    """

    def __init__(
        self,
        runner: Runner,
        case: Case,
        depth: int = 1,
        *,
        share: int = 0,
        shares: int = 1,
        limit: int = LIMIT,
        since: int = 0,
        enough: int | None = None,
    ) -> None:
        self.runner, self.case, self.depth, self.limit = runner, case, depth, limit
        self.since, self.enough = since, enough
        self._share, self._shares = share, shares
        self._logs: dict[str, Log] = {}
        self._observed: dict[tuple[int, str], Observation] = {}
        self.sessions = case.workload.sessions
        self._live: Tally | None = None
        self._times = case.times

    def canary(self) -> None:
        """See `Runner.canary`."""
        self.runner.canary(self.case)

    def log(self, name: str) -> Log:
        """The versions of everything in the recording under a model, built once."""
        found = self._logs.get(name)
        if found is None:
            found = self._logs[name] = build(self.case.recording.initial, self.case.ops, model_named(name))
        return found

    def examine(self, name: str) -> Tally:
        """All crash states under the model `name`, within the bounds."""
        model = model_named(name)
        if model.names == model.data == "live":
            # Models that lose nothing differ in their story only: the states are the same, and are walked once.
            if self._live is None:
                self._live = _Walk(self, model).run()
                return self._live
            again = [replace(suspect, model=name) for suspect in self._live.suspects]
            return replace(self._live, model=name, opened=0, suspects=again)
        return _Walk(self, model).run()

    def mine(self, cut: State) -> bool:
        """Whether the content of a cut belongs to this worker's share."""
        return self._shares == 1 or cut.content % self._shares == self._share

    def observe(self, cut: State, session: str = SESSION) -> Observation:
        """What two opens of a cut's content show; the same content is opened once, whatever model it came from."""
        found = self._observed.get((cut.content, session))
        if found is None:
            found = self._observed[cut.content, session] = self.runner.observe(cut.image(), session=session)
        return found

    def find(self, name: str, first: int, lag: Sequence[str]) -> State:
        """The cut with this name under the model `name`."""
        return find(self.log(name), first, lag)

    def newest(self, name: str, point: int) -> State:
        """The cut in which nothing is behind after op `point`: made by that op or by the last one that changed the disk."""
        for seq in range(point, self.case.base, -1):
            try:
                return self.find(name, seq, ())
            except UsageError:  # an op that changed nothing on disk makes no cut
                continue
        return self.find(name, 0, ())

    def rebuild(self, suspect: Suspect, *, fatal: bool) -> Anomaly:
        """Make the full anomaly of a suspect, with its proof.

        Raises:
            UsageError: the state does not fail any more, so the store is not deterministic.
        """
        cut = self.find(suspect.model, suspect.first, suspect.lag)
        anomaly = self.revisit(suspect, cut, None, fatal=fatal)
        if anomaly is None:
            raise UsageError(
                f"a failing state of {self.runner.able.name} did not fail when it was opened again",
                why="the store is not deterministic, so no finding about it can be reproduced",
                fix='look for wall-clock times, unseeded chance or module state; isolation="process" rules out the last',
            )
        return anomaly

    def revisit(self, suspect: Suspect, cut: State, point: int | None, *, fatal: bool) -> Anomaly | None:
        """Open one state again and judge it at `point` (None: wherever it is legal)."""
        inner = None if suspect.inner is None else self.inner_cut(cut.image(), suspect.model, *suspect.inner)
        seen = self.observe(inner or cut, suspect.session)
        span = (cut.first, cut.last) if point is None else (point, point)
        excused = self.excused(cut, inner)
        judgement, at = self.runner.judge(self.case, (inner or cut).image, seen, *span, excused, suspect.session, suspect.model)
        if judgement.verdict is Verdict.UNKNOWN:
            raise InconclusiveError(judgement.reason)
        if judgement.anomaly is None:
            return None
        return self.explain(judgement.anomaly, seen, cut, at, suspect, excused, fatal=fatal)

    def excused(self, cut: State, inner: State | None = None) -> frozenset[str]:
        """The messages that nobody can ask for in this state, nor after a crash (`inner`) during its healing."""
        published = self.case.calibration.published
        taken = cut.taken(published, self._times)
        return taken if inner is None else taken | inner.taken(published, self._times)

    def inner_cut(self, image: Image, name: str, first: int, lag: tuple[str, ...]) -> State:
        """A crash state of the healing that opening `image` does."""
        return find(self.healing_log(image, model_named(name)), first, lag)

    def healing_log(self, image: Image, model: PersistenceModel) -> Log:
        """The versions of everything that opening `image` writes."""
        return build(image, self.runner.reopener.look(image).healing, model)

    def explain(
        self,
        anomaly: Anomaly,
        seen: Observation,
        cut: State,
        point: int,
        suspect: Suspect,
        excused: frozenset[str] = frozenset(),
        *,
        fatal: bool,
    ) -> Anomaly:
        """The anomaly with evidence and result."""
        ops = self.case.history
        crash = crash_fault(ops, suspect.model, first=cut.first, point=point, lag=cut.lag)
        faults: list[object] = [*self.case.schedule, *([crash] if crash else [])]
        note, losses = "", list(cut.losses(point))
        if suspect.inner is not None:
            note = f"then  a second crash during healing, after its operation {suspect.inner[0]}"
            healing = self.runner.reopener.look(cut.image()).healing
            inner = crash_fault(healing, suspect.model, first=suspect.inner[0], point=suspect.inner[0], lag=suspect.inner[1])
            faults += [inner] if inner else []
        return explain(
            anomaly,
            adapter=self.runner.able.name,
            workload=self.case.workload,
            schedule=Schedule.of(faults),
            history=ops,
            seen=seen,
            due=self.runner.ledger(self.case, excused, suspect.session, suspect.model).at(point),
            model=suspect.model,
            point=point,
            losses=losses,
            fatal=fatal,
            notes=(*([note] if note else []), *remarks(self.case.workload, suspect.session)),
            strikes=self.case.recording.strikes,
        )


class _Walk:
    """One pass over the cuts of one model."""

    def __init__(self, examiner: Examiner, model: PersistenceModel) -> None:
        self.examiner, self.model = examiner, model
        self.runner, self.case = examiner.runner, examiner.case
        self.tally = Tally(model.name)
        self._seen: dict[int, Observation | None] = {}
        self._others = examiner.sessions[1:]
        self._known: dict[tuple[str, str, str], tuple[int, bool]] = {}
        self._once: set[tuple[str, str, str]] = set()
        self._explained: dict[tuple[str, str, str], int] = {}
        self._looked: dict[tuple[str, str, str], int] = {}

    def run(self) -> Tally:
        """Judge every cut; then those that heal, once more with a crash during the healing."""
        log = self.examiner.log(self.model.name)
        self.tally.points = len(self.case.ops)
        walked = walk(log, lagging=self._behind(LAGGING), versions=VERSIONS, limit=self.examiner.limit)
        healed: list[State] = []
        for cut in walked:
            if cut.last < self.examiner.since:
                continue
            self.tally.cuts += 1
            fresh = cut.content not in self._seen
            if fresh:
                self._seen[cut.content] = self._open(cut)
            else:
                self.tally.repeats += 1
            seen = self._seen[cut.content]
            if seen is None:
                continue
            self._judge(cut, seen, None)
            for session in self._others:
                self._judge(cut, self.examiner.observe(cut, session), None, session)
            # The first open of all is crashed by the recording itself, and what needs three losses is left out.
            if fresh and self.examiner.depth > 1 and seen.again is not None and cut.first and len(cut.picks) <= 1:
                healed.append(cut)
        self.tally.cut_short = walked.cut_short
        for cut in healed:  # afterwards, so that what needs one crash is told with one crash
            self._deeper(cut)
        return self.tally

    def _behind(self, asked: int, already: int = 0) -> int:
        """How many chains may be behind; of the writes of a mount that misbehave, those of the schedule and before count too."""
        if self.model.mount is None:
            return asked
        lost = sum(isinstance(fault, LostWrite) for fault in self.case.schedule)
        return max(0, min(asked, self.model.mount.faults - already - lost))

    def _open(self, cut: State) -> Observation | None:
        if not self.examiner.mine(cut):
            return None
        self.tally.states += 1
        before = self.runner.reopener.opened
        seen = self.examiner.observe(cut)
        self.tally.opened += self.runner.reopener.opened - before
        return seen

    def _deeper(self, outer: State) -> None:
        """Crash the healing of one state, everywhere, with one chain behind."""
        log = self.examiner.healing_log(outer.image(), self.model)
        for inner in walk(log, lagging=self._behind(1, len(outer.picks)), versions=1, limit=DEEPER):
            if self.tally.deeper >= DEEPER:
                self.tally.cut_short = True
                return
            self.tally.deeper += 1
            before = self.runner.reopener.opened
            seen = self.examiner.observe(inner)
            self.tally.opened += self.runner.reopener.opened - before
            self._judge(outer, seen, inner)

    def _judge(self, outer: State, seen: Observation, second: State | None, session: str = SESSION) -> None:
        excused = self.examiner.excused(outer, second)
        image = (second or outer).image
        judgement, point = self.runner.judge(self.case, image, seen, outer.first, outer.last, excused, session, self.model.name)
        if judgement.verdict is Verdict.UNKNOWN:
            self.tally.unknown.add(judgement.reason)
        if judgement.anomaly is None:
            return
        self.tally.kinds.add(type(judgement.anomaly).__name__)
        if self._had_enough(judgement.anomaly):
            return
        if self._seen_simpler(judgement.anomaly, outer, second, point, session):
            return
        key = judgement.anomaly.identity
        self._explained[key] = self._explained.get(key, 0) + 1
        if self._explained[key] > EXPLAINED:
            self.tally.cut_short = True
            return
        name = None if second is None else (second.first, second.lag)
        suspect = Suspect(self.model.name, outer.first, outer.lag, name, session)
        anomaly = self.examiner.explain(judgement.anomaly, seen, outer, point, suspect, excused, fatal=False)
        self._remember(anomaly, suspect)

    def _had_enough(self, anomaly: Anomaly) -> bool:
        if self.examiner.enough is None:
            return False
        self._looked[anomaly.identity] = self._looked.get(anomaly.identity, 0) + 1
        return self._looked[anomaly.identity] > self.examiner.enough

    def _seen_simpler(self, anomaly: Anomaly, outer: State, second: State | None, point: int, session: str) -> bool:
        """Whether the same thing goes wrong with less: without the second crash, or with fewer chains behind."""
        if second is not None:
            return anomaly.identity in self._once
        self._once.add(anomaly.identity)
        return any(self._fails_too(anomaly, outer.first, few, point, session) for few in outer.less)

    def _fails_too(self, anomaly: Anomaly, first: int, lag: tuple[str, ...], point: int, session: str) -> bool:
        try:
            cut = self.examiner.find(self.model.name, first, lag)
        except UsageError:  # the model does not let this chain lag alone
            return False
        if not cut.first <= point <= max(cut.last, self.case.base):
            return False
        seen, excused = self.examiner.observe(cut, session), self.examiner.excused(cut)
        judgement, _ = self.runner.judge(self.case, cut.image, seen, point, point, excused, session, self.model.name)
        found = judgement.anomaly
        return found is not None and (found.identity, found.summary) == (anomaly.identity, anomaly.summary)

    def _remember(self, anomaly: Anomaly, suspect: Suspect) -> None:
        """Keep the first sighting of each bug, or the first in which an acknowledged message is at stake: it says more."""
        stake = anomaly.result is not None and bool(anomaly.result.expected)
        known = self._known.get(anomaly.identity)
        if known is None:
            self._known[anomaly.identity] = (len(self.tally.suspects), stake)
            self.tally.suspects.append(suspect)
        elif stake and not known[1]:
            self._known[anomaly.identity] = (known[0], True)
            self.tally.suspects[known[0]] = suspect
