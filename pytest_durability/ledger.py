"""What a correct session must remember after a crash at any moment: the oracle, computed from the user's lane alone.

Rule: three values. A message *must* be there once its append was acknowledged, *may* be there from the moment it was
attempted, and must *not* be there before that, or after its removal was acknowledged. What failed or was interrupted
stays *may* for ever. (Must-sets shrink as well as grow: a commit moves messages out.)
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from pytest_durability.adapter import Promise
from pytest_durability.delivered import TURN, call_id, told
from pytest_durability.history import History, Lane, Op, Outcome
from pytest_durability.notes import is_amid, is_retry, note_session
from pytest_durability.observation import Row
from pytest_durability.turn import EFFECT
from pytest_durability.workload import SESSION, Say

APPENDS = ("append", "append_many")
INPUT, REPLY = "input", "reply"
"""What a message of a turn is: what the user typed, or what the model answered."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One message that was said: by which call (op number), and when it was acknowledged (None: never).

    `excused`: a lost write took a copy of it, so that it may be missing for a while. Of a turn: `role` is "input" or
    "reply", and `shown` says how much of a reply is due from which op on; `answers`: the call whose result it is.
    `amid`: it came in the middle of a turn, so its place among the messages of that is open.
    """

    token: str
    say: Say
    call: int
    acked: int | None
    excused: bool = False
    role: str = ""
    shown: tuple[tuple[int, int], ...] = ()
    answers: str = ""
    amid: bool = False

    def due(self, k: int) -> Entry:
        """The same with as much of it as is due at op `k`."""
        if self.role != REPLY:
            return self
        shown = tuple(item for item in self.shown if item[0] <= k)
        return replace(self, say=Say(self.say.role, self.say.text[: shown[-1][1] if shown else 0]), shown=shown)

    @property
    def last(self) -> int:
        """The op from which on the most of it is due."""
        return self.shown[-1][0] if self.shown else self.acked or self.call


@dataclass(frozen=True, slots=True)
class Removal:
    """One commit: the entries it may take (an entry index below `upto`), its call, its acknowledgement, and what it took.

    `missing`: tokens that the fault-free calibration run no longer showed after this commit; `took`: those of them that
    it may not keep here either.
    """

    call: int
    acked: int | None
    upto: int
    took: frozenset[str]
    missing: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a fault-free run of the same workload taught.

    `kinds`: (role, empty) of rows without a token. `altered`: tokens whose text does not come back as it was said.
    `roles`: roles of messages that come back under the same role; `recast`: tokens that come back under another one.
    `removed`: for each commit in order, the tokens that were gone afterwards. `published`: roles of files that exist
    after a clean run. `volatile`: patterns of files that may change. `refused`: the rules that its next request breaks.
    `goes_on`: after it one more turn succeeds.
    """

    kinds: frozenset[tuple[str, bool]] = frozenset()
    altered: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()
    recast: frozenset[str] = frozenset()
    removed: tuple[frozenset[str], ...] = ()
    published: frozenset[str] = frozenset()
    volatile: tuple[str, ...] = ()
    refused: frozenset[str] = frozenset()
    goes_on: bool = False


@dataclass(frozen=True, slots=True)
class Expectation:
    """What must, may and must not be there at one crash point.

    `must` and `said` are entries in the order of saying (`needed`, `allowed`: how often each token is in them); `shed` holds the entries that a commit may have taken, `gone`
    the tokens whose removal was acknowledged. `taken` holds, for each commit that had begun, what a healthy run no longer
    shows after it. `batches` are the batches that nobody acknowledged yet. `in_flight`: the store was at work at that
    moment, so that its last record may be torn. `archives`: the adapter can show its archives. `retried`: messages that a
    retry repeated which had to add nothing, and which is over.
    """

    at: int
    must: tuple[Entry, ...]
    said: tuple[Entry, ...]
    shed: tuple[Entry, ...]
    gone: frozenset[str]
    promise: Promise
    calibration: Calibration
    archives: bool = False
    taken: tuple[frozenset[str], ...] = ()
    batches: tuple[tuple[Entry, ...], ...] = ()
    in_flight: bool = False
    needed: Mapping[str, int] = field(default_factory=dict)
    allowed: Mapping[str, int] = field(default_factory=dict)
    last: Mapping[str, Entry] = field(default_factory=dict)
    retried: frozenset[str] = frozenset()

    def entry(self, token: str) -> Entry | None:
        """The last entry of a token, or None if it was not said by then."""
        return self.last.get(token)

    def keeps_role(self, entry: Entry) -> bool:
        """Whether a healthy run shows messages of this role, and this one too if it shows it, under the role they have."""
        return entry.say.role in self.calibration.roles and entry.token not in self.calibration.recast

    def legal_stranger(self, row: Row) -> bool:
        """Whether a row without a token is of a kind that a healthy run shows too (notices of other roles always are)."""
        if row.role not in ("user", "assistant", "tool") or row.answers is not None:  # whoever answers a call may close it
            return True
        return (row.role, not row.text.strip()) in self.calibration.kinds or self._beginning(row.text.strip())

    def _beginning(self, text: str) -> bool:
        """Whether a text may come of a reply that was cut before its mark was whole."""
        return any(text.startswith(reply[:2]) for entry in self.said if entry.role == REPLY and (reply := entry.say.text))


class Ledger:
    """Answers `at(k)`: what holds if the crash comes right after op k."""

    __slots__ = ("_archives", "_cache", "_calls", "_idle", "_marks", "_repeats", "calibration", "entries", "promise", "removals")

    def __init__(
        self,
        entries: Sequence[Entry],
        removals: Sequence[Removal],
        *,
        promise: Promise,
        calibration: Calibration,
        archives: bool = False,
        calls: Sequence[tuple[int, int]] = (),
        repeats: Mapping[str, int] | None = None,
    ) -> None:
        """`calls`: the first and last op of each call during which a crash may tear a record (see `Promise.torn_tail`).

        `repeats`: the messages that were said again by a retry which had to add nothing, each with the op that ended it.
        """
        self.entries = tuple(entries)
        self.removals = tuple(removals)
        self.promise = promise
        self.calibration = calibration
        self._archives = archives
        self._calls = tuple(calls)
        self._repeats = dict(repeats or {})
        self._idle = sorted(end for _, end in calls if not self._at_work(end))
        marks = {entry.call for entry in entries} | {entry.acked for entry in entries if entry.acked is not None}
        marks |= {removal.call for removal in removals} | {removal.acked for removal in removals if removal.acked is not None}
        marks |= {op for entry in entries for op, _ in entry.shown}
        marks |= {op for call in calls for op in call} | set(self._repeats.values())
        self._marks = sorted(marks)
        self._cache: dict[int, Expectation] = {}

    @classmethod
    def build(
        cls,
        history: History,
        says: Mapping[str, Say],
        *,
        promise: Promise,
        calibration: Calibration | None = None,
        archives: bool = False,
        session: str = SESSION,
    ) -> Ledger:
        """Read the user's lane of a history. `says` maps each token of the session to what was said with it."""
        calibration = calibration or Calibration()
        removed = calibration.removed
        commits = 0
        ends = {op.call: op for op in history if op.lane is Lane.USER and op.kind in ("ack", "raised")}
        entries: list[Entry] = []
        removals: list[Removal] = []
        repeats: dict[str, int] = {}
        for op in history.lane(Lane.USER):
            if note_session(op.note) != session and op.kind not in ("ack", "raised"):
                continue
            end = _acked(ends.get(op.seq))
            if op.kind in APPENDS:
                tokens = [token for token in op.target.split(",") if token]
                again = is_retry(op.note) and promise.retry == "idempotent"
                known = {entry.token: i for i, entry in enumerate(entries)} if again else {}
                for token in tokens:
                    if token in known:  # the same entry, acknowledged by whichever answer came first
                        entry = entries[known[token]]
                        entries[known[token]] = replace(entry, acked=entry.acked or end)
                        if op.seq in ends:
                            repeats.setdefault(token, ends[op.seq].seq)
                    else:
                        entries.append(Entry(token, says[token], op.seq, end, amid=is_amid(op.note)))
            elif op.kind == TURN:
                entries += _of_turn(history, op, ends.get(op.seq), says, promise)
            elif op.kind == "commit":
                missing = removed[commits] if commits < len(removed) else frozenset()
                live = {entry.token for entry in entries[_may_keep_from(entries, op.size) :]}
                removals.append(Removal(op.seq, end, max(0, len(entries) - max(op.size, 0)), missing - live, missing))
            commits += op.kind == "commit" or (op.kind, op.target) == ("skipped", "commit")
        calls = _calls(history, ends) if promise.torn_tail == "refuse" else ()
        return cls(entries, removals, promise=promise, calibration=calibration, archives=archives, calls=calls, repeats=repeats)

    def excusing(self, since: Mapping[str, int | None]) -> Ledger:
        """The same ledger with some messages only *may* for a while: those whose copies a lost write took.

        `since`: token -> the op from which on another copy was acknowledged (None: there is none).
        """
        entries = [
            replace(entry, acked=since[entry.token], excused=True) if entry.token in since else entry for entry in self.entries
        ]
        return Ledger(
            entries,
            self.removals,
            promise=self.promise,
            calibration=self.calibration,
            archives=self._archives,
            calls=self._calls,
            repeats=self._repeats,
        )

    def at(self, k: int) -> Expectation:
        """What must, may and must not be there if the crash comes right after op `k`."""
        segment = bisect_right(self._marks, k)
        found = self._cache.get(segment)
        if found is None:
            found = self._cache[segment] = self._expect(k)
        return found

    def judging_points(self, first: int, last: int) -> tuple[int, ...]:
        """The crash points of `[first, last]` at which a verdict can differ.

        What must not be there is widest at `first`; what must be there grows towards `last`, except that a commit
        shrinks it, so the moment before each commit counts too. Where a torn record may be refused, the last moment
        between two calls counts besides: no record is torn then.
        """
        inside = {removal.call - 1 for removal in self.removals if first < removal.call <= last}
        idle = bisect_right(self._idle, last)
        if idle and self._idle[idle - 1] > first:
            inside.add(self._idle[idle - 1])
        return tuple(sorted({first, last} | inside))

    def turning_points(self, first: int, last: int) -> list[int]:
        """The crash points of `[first, last]` from which on something else is due, in order, `first` included."""
        return [first, *(mark for mark in self._marks if first < mark <= last)]

    def _at_work(self, k: int) -> bool:
        return any(call <= k < end for call, end in self._calls)

    def _expect(self, k: int) -> Expectation:
        said = [entry for entry in self.entries if entry.call <= k]
        begun = [removal for removal in self.removals if removal.call <= k]
        upto = max((removal.upto for removal in begun), default=0)
        acknowledged = [removal for removal in begun if removal.acked is not None and removal.acked <= k]
        again = [{entry.token for entry in said[removal.upto :]} for removal in acknowledged]  # said again since then
        gone: frozenset[str] = frozenset().union(
            *(removal.took - tokens for removal, tokens in zip(acknowledged, again, strict=True))
        )
        acked = [(i, entry) for i, entry in enumerate(said) if entry.acked is not None and entry.acked <= k]
        must = tuple(entry.due(k) for i, entry in acked if i >= upto)
        shed = tuple(entry for i, entry in acked if i < upto)
        return Expectation(
            at=k,
            must=must,
            said=tuple(said),
            shed=shed,
            gone=gone,
            promise=self.promise,
            calibration=self.calibration,
            archives=self._archives,
            taken=tuple(removal.missing for removal in begun),
            batches=_open_batches(said, k, upto),
            in_flight=self._at_work(k),
            needed=Counter(entry.token for entry in must),
            allowed=Counter(entry.token for entry in said),
            last={entry.token: entry for entry in said},
            retried=frozenset(token for token, end in self._repeats.items() if end <= k),
        )


def _of_turn(history: History, call: Op, end: Op | None, says: Mapping[str, Say], promise: Promise) -> list[Entry]:
    """What the user typed in a turn, and what was shown of each reply; between two of them, what the tool gave."""
    user, *others = call.target.split(",")
    replies = others[::2]
    found = told(history, call, end, [says[token].text for token in replies], promise)
    entries = [
        Entry(token, says[token], call.seq, shown[0][0] if shown else None, role=REPLY, shown=shown)
        for token, shown in zip(replies, found.shown, strict=True)
    ]
    if len(others) > 1:
        name = call_id(sum(op.lane is Lane.USER and op.kind == TURN for op in history[: call.seq - 1]))
        ran = any(op.kind == EFFECT and (op.target, op.call) == (name, call.seq) for op in history[call.seq :])
        entries.insert(1, Entry(others[1], says[others[1]], call.seq, _acked(end) if ran else None, answers=name))
    return [Entry(user, says[user], call.seq, found.accepted, role=INPUT), *entries]


def _acked(end: Op | None) -> int | None:
    return end.seq if end is not None and end.kind == "ack" and end.outcome is Outcome.OK else None


def _calls(history: History, ends: Mapping[int, Op]) -> list[tuple[int, int]]:
    """The first and last op of each call of the user; one that never returned lasts to the end."""
    never = len(history) + 1
    return [
        (op.seq, ends[op.seq].seq if op.seq in ends else never)
        for op in history.lane(Lane.USER)
        if op.kind not in ("ack", "raised", "skipped")
    ]


def _open_batches(said: Sequence[Entry], k: int, upto: int) -> tuple[tuple[Entry, ...], ...]:
    """The batches that were not acknowledged by op `k`, without those that a commit or a lost write may have divided."""
    groups: dict[int, list[Entry]] = {}
    divided = {entry.call for entry in said[:upto]}
    for entry in said[upto:]:
        if entry.call not in divided and not entry.role:
            groups.setdefault(entry.call, []).append(entry)
    return tuple(
        tuple(group)
        for group in groups.values()
        if len(group) > 1 and not any(entry.excused or (entry.acked is not None and entry.acked <= k) for entry in group)
    )


def _may_keep_from(entries: Sequence[Entry], keep: int) -> int:
    """The index of the first entry that a commit may keep live: the `keep`-th acknowledged one from the end.

    What it *must* keep is less: the last `keep` entries of all, because those without an acknowledgement may be there too.
    """
    if keep <= 0:
        return len(entries)
    acked = [i for i, entry in enumerate(entries) if entry.acked is not None]
    return acked[-keep] if len(acked) >= keep else 0
