"""The ledger: what must, may and must not be there, op by op."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_durability.adapter import Promise
from pytest_durability.checkers import judge
from pytest_durability.history import History, Lane, Outcome
from pytest_durability.ledger import Calibration, Ledger
from pytest_durability.observation import Observation, Row
from pytest_durability.verdict import Verdict
from pytest_durability.workload import Say


class Script:
    """Writes the user's lane of a history, a call and its end at a time."""

    def __init__(self, *removed: set[str]) -> None:
        self.history = History()
        self.says: dict[str, Say] = {}
        self.removed = tuple(frozenset(tokens) for tokens in removed)

    def append(self, *tokens: str, end: str | None = "ack", kind: str = "append") -> Script:
        """One append or batch; `end`: ack, raised, or None for a call that never returned."""
        self.says |= {token: Say("user", f"z{token}z text") for token in tokens}
        return self._end(self.history.add(Lane.USER, kind, ",".join(tokens)), end)

    def commit(self, keep: int, end: str | None = "ack") -> Script:
        """One commit."""
        return self._end(self.history.add(Lane.USER, "commit", size=keep), end)

    def disk(self) -> Script:
        """One disk operation in between."""
        self.history.add(Lane.DISK, "write", "a")
        return self

    def _end(self, call, end) -> Script:
        if end is not None:
            self.history.add(Lane.USER, end, call=call.seq, outcome=Outcome.OK if end == "ack" else Outcome.UNKNOWN)
        return self

    def ledger(self, **options) -> Ledger:
        """What follows from it."""
        return Ledger.build(self.history, self.says, promise=Promise(), calibration=Calibration(removed=self.removed), **options)

    def at_end(self):
        """What is due after the last op."""
        return self.ledger().at(len(self.history))


def tokens(entries) -> list[str]:
    """The tokens of entries."""
    return [entry.token for entry in entries]


def rows(*names: str) -> tuple[Row, ...]:
    """One row for each token."""
    return tuple(Row.of("user", f"z{name}z text") for name in names)


def verdict(due, *names: str) -> str:
    """The judgement of a transcript with these tokens: `valid`, or the name of the anomaly."""
    judgement = judge(Observation(rows(*names)), due)
    return type(judgement.anomaly).__name__ if judgement.verdict is Verdict.INVALID else judgement.verdict.value


def test_a_message_may_be_there_from_its_call_and_must_from_its_acknowledgement():
    """Before the call it must not be there, between call and acknowledgement it may."""
    ledger = Script().append("u1").disk().append("u2").ledger()
    assert [(tokens(ledger.at(k).said), tokens(ledger.at(k).must)) for k in range(6)] == [
        ([], []),
        (["u1"], []),
        (["u1"], ["u1"]),
        (["u1"], ["u1"]),
        (["u1", "u2"], ["u1"]),
        (["u1", "u2"], ["u1", "u2"]),
    ]


@pytest.mark.parametrize("end", ["raised", None])
def test_what_was_not_acknowledged_stays_may_for_ever(end):
    """A failed or interrupted append may have happened; later acknowledgements do not change that."""
    due = Script().append("u1", end=end).append("u2").at_end()
    assert (tokens(due.said), tokens(due.must)) == (["u1", "u2"], ["u2"])
    assert [verdict(due, *shown) for shown in (["u1", "u2"], ["u2"], ["u1"])] == ["valid", "valid", "LostAcknowledged"]


def test_a_batch_is_acknowledged_as_a_whole():
    """All messages of a batch share call and acknowledgement."""
    due = Script().append("u1", "a1", kind="append_many").at_end()
    assert [(entry.token, entry.call, entry.acked) for entry in due.must] == [("u1", 1, 2), ("a1", 1, 2)]


@pytest.mark.parametrize(
    ("keep", "must"), [(0, []), (1, ["u3"]), (2, ["u2", "u3"]), (3, ["u1", "u2", "u3"]), (9, ["u1", "u2", "u3"])]
)
@pytest.mark.parametrize("end", ["ack", "raised", None])
def test_a_commit_keeps_the_last_messages(keep, must, end):
    """From its call on, only the last `keep` messages must be live, whether it succeeds or not."""
    due = Script().append("u1").append("u2").append("u3").commit(keep, end).at_end()
    assert tokens(due.must) == must
    assert tokens(due.shed) + must == ["u1", "u2", "u3"]


@pytest.mark.parametrize(("end", "expected"), [("ack", "Resurrected"), ("raised", "valid"), (None, "valid")])
def test_only_an_acknowledged_removal_binds(end, expected):
    """After it, what it took must not be live again; a commit without acknowledgement may roll back."""
    due = Script({"u1"}).append("u1").append("u2").commit(1, end).at_end()
    assert verdict(due, "u1", "u2") == expected
    assert verdict(due, "u2") == "valid"


def test_a_removal_binds_from_its_acknowledgement_on():
    """One op earlier both are legal."""
    ledger = Script({"u1"}).append("u1").append("u2").commit(1).ledger()
    assert (ledger.at(5).gone, ledger.at(6).gone) == (frozenset(), frozenset({"u1"}))


def test_what_a_store_keeps_beyond_the_window_is_not_gone():
    """A commit may keep more than asked for: what the fault-free run still showed is legal."""
    assert verdict(Script(set()).append("u1").append("u2").commit(1).at_end(), "u1", "u2") == "valid"


@pytest.mark.parametrize("shown", [["u2", "u3"], ["u3", "u4"], ["u2", "u3", "u4"], ["u3"]])
def test_a_commit_after_a_failed_append_may_count_it_or_not(shown):
    """`u4` raised: it may be one of the last two (then u2 is archived) or not be there (then u2 is kept)."""
    script = Script({"u1", "u2"}).append("u1").append("u2").append("u3").append("u4", end="raised").commit(2)
    assert verdict(script.at_end(), *shown) == "valid"


def test_a_commit_after_a_failed_append_still_binds():
    """What is outside of the window either way must not come back, what is inside either way must be there."""
    due = Script({"u1", "u2"}).append("u1").append("u2").append("u3").append("u4", end="raised").commit(2).at_end()
    assert verdict(due, "u1", "u2", "u3") == "Resurrected"
    assert verdict(due, "u4") == "LostAcknowledged"


@pytest.mark.parametrize("end", ["ack", "raised", None])
def test_what_is_said_again_after_its_removal_may_be_live(end):
    """The same text again, after a commit, is no resurrection: not while it is under way, nor after."""
    due = Script({"u1"}).append("u1").commit(0).append("u1", end=end).at_end()
    assert verdict(due, "u1") == "valid"
    assert verdict(due, "u1", "u1") == "valid" or end == "ack"  # which of the two came back cannot be told


def test_a_later_unfinished_commit_does_not_undo_that():
    """The second commit was never acknowledged, so the text that was said again may still be live."""
    due = Script({"u1"}, {"u1"}).append("u1").commit(0).append("u1").commit(0, end=None).at_end()
    assert [verdict(due, "u1"), verdict(due)] == ["valid", "valid"]
    due = Script({"u1"}, {"u1"}).append("u1").commit(0).append("u1").commit(0).at_end()
    assert verdict(due, "u1") == "Resurrected"


def test_equal_texts_are_counted():
    """The same text twice must be there twice; three times is a duplicate."""
    due = Script().append("u1").append("u1").at_end()
    assert [verdict(due, *["u1"] * count) for count in range(4)] == ["LostAcknowledged", "LostAcknowledged", "valid", "Duplicate"]


def test_excused_messages_are_only_may():
    """A message whose only copy was dropped can be missing; the others cannot."""
    script = Script().append("u1").append("u2")
    due = script.ledger().excusing({"u1": None}).at(4)
    assert [verdict(due, *shown) for shown in (["u2"], ["u1", "u2"], ["u1"])] == ["valid", "valid", "LostAcknowledged"]


def test_judging_points_hold_the_moment_before_each_commit():
    """A commit shrinks what must be there, so a range of crash points is judged before it too."""
    ledger = Script().append("u1").append("u2").commit(0).append("u3").ledger()
    assert ledger.judging_points(2, 8) == (2, 4, 8)
    assert ledger.judging_points(5, 8) == (5, 8)
    assert ledger.judging_points(3, 3) == (3,)


def test_turning_points_are_where_something_else_is_due():
    """Disk operations change nothing; the start of the range is always named."""
    ledger = Script().disk().append("u1").disk().disk().append("u2").ledger()
    assert ledger.turning_points(0, 7) == [0, 2, 3, 6, 7]
    assert ledger.turning_points(4, 5) == [4]


def test_strangers_are_legal_as_calibrated():
    """A row without a token is legal if the fault-free run shows one of its role and emptiness, notices always."""
    due = Ledger([], [], promise=Promise(), calibration=Calibration(kinds=frozenset({("user", True)}))).at(0)
    assert due.legal_stranger(Row.of("user", " \n"))
    assert not due.legal_stranger(Row.of("user", "hello"))
    assert not due.legal_stranger(Row.of("assistant", ""))
    assert due.legal_stranger(Row.of("system", "restored"))


steps = st.lists(
    st.tuples(st.sampled_from(["append", "commit"]), st.integers(1, 4), st.sampled_from(["ack", "ack", "raised", None])),
    max_size=8,
)


class Model:
    """A sound store as a set of possible (live, archived) states, to hold against the ledger."""

    def __init__(self) -> None:
        self.states: set[tuple[str, ...]] = {()}

    def step(self, kind: str, name: str, keep: int, end: str | None) -> None:
        """Each state after the step, and with the step left out if it was not acknowledged."""
        after = {(*live, name) if kind == "append" else live[len(live) - min(keep, len(live)) :] for live in self.states}
        self.states = after if end == "ack" else after | self.states


@pytest.mark.parametrize("repeats", [False, True])
@given(steps)
def test_no_sound_store_is_blamed(repeats, drawn):
    """Whatever failed, was cut off or was said again, each state of a sound store is VALID at every op of a step."""
    drawn = [(kind, f"u{keep if repeats else number}", keep - 1, end) for number, (kind, keep, end) in enumerate(drawn, start=1)]
    script, model, expected = Script(*taken(drawn)), Model(), []
    for kind, name, keep, end in drawn:
        during = Model()
        during.states = set(model.states)
        during.step(kind, name, keep, None)
        model.step(kind, name, keep, end)
        call = len(script.history) + 1
        script.append(name, end=end) if kind == "append" else script.commit(keep, end)
        expected += [(call, during.states), (len(script.history), model.states)]
    ledger = script.ledger()
    for k, states in expected:
        for live in states:
            assert verdict(ledger.at(k), *live) == "valid", (k, live)


def taken(drawn):
    """For each commit, what a run without faults no longer shows afterwards."""
    said, kept = [], []
    for kind, name, keep, _ in drawn:
        if kind == "append":
            said.append(name)
            kept.append(name)
        else:
            kept = kept[len(kept) - min(keep, len(kept)) :]
            yield set(said) - set(kept)


def test_a_commit_that_was_left_out_keeps_its_place():
    """The second commit is held against what the second one took in the fault-free run."""
    script = Script({"u1"}, {"u1", "u2"}).append("u1")
    script.history.add(Lane.USER, "skipped", "append")
    script.history.add(Lane.USER, "skipped", "commit")
    due = script.append("u2").append("u3").commit(1).at_end()
    assert due.gone == {"u1", "u2"}
    assert verdict(due, "u2", "u3") == "Resurrected"


REFUSE = Promise(torn_tail="refuse")


def test_a_call_is_in_flight_until_it_ends():
    """From its first op to the one before its acknowledgement or its failure; one that never returned to the end."""
    script = Script().append("u1").disk().append("u2", end="raised").disk().append("u3", end=None).disk()
    ledger = Ledger.build(script.history, script.says, promise=REFUSE)
    assert [k for k in range(len(script.history) + 1) if ledger.at(k).in_flight] == [1, 4, 7, 8]
    assert not any(script.ledger().at(k).in_flight for k in range(9)), "nobody asks without the promise"


def test_where_a_torn_record_may_be_refused_the_moment_between_calls_is_judged():
    """The last one of the range: nothing is torn then."""
    script = Script().append("u1").disk().append("u2").disk().append("u3", end=None)
    ledger = Ledger.build(script.history, script.says, promise=REFUSE)
    assert ledger.judging_points(1, 7) == (1, 5, 7)
    assert ledger.judging_points(1, 4) == (1, 2, 4)
    assert ledger.judging_points(7, 7) == (7,)
    assert script.ledger().judging_points(1, 7) == (1, 7)
    assert ledger.excusing({"u1": None}).judging_points(1, 7) == (1, 5, 7)


def retried(promise, *, first="raised", second="ack"):
    """A call that was repeated with its id."""
    script = Script().append("u1", end=first)
    call = script.history.add(Lane.USER, "append", "u1", note="retry")
    script._end(call, second)
    return script, Ledger.build(script.history, script.says, promise=promise)


IDEMPOTENT = Promise(retry="idempotent")


def test_a_retry_that_adds_nothing_is_the_same_message():
    """It is due from the first answer on, may be there once, and a second copy is the retry's."""
    script, ledger = retried(IDEMPOTENT)
    due = ledger.at(len(script.history))
    assert (tokens(due.must), due.allowed["u1"]) == (["u1"], 1)
    assert verdict(due, "u1") == "valid"
    assert verdict(due) == "LostAcknowledged"
    assert verdict(due, "u1", "u1") == "RetryDoubled"
    before = ledger.at(len(script.history) - 1)
    assert (tokens(before.must), verdict(before, "u1", "u1")) == ([], "Duplicate")


@pytest.mark.parametrize("second", ["ack", "raised"])
def test_an_answer_to_the_first_call_is_enough(second):
    """Whatever became of the retry."""
    script, ledger = retried(IDEMPOTENT, first="ack", second=second)
    assert tokens(ledger.at(2).must) == tokens(ledger.at(len(script.history)).must) == ["u1"]


def test_without_the_promise_a_retry_is_a_message_of_its_own():
    """One copy is due, two are legal, three are not."""
    script, ledger = retried(Promise())
    due = ledger.at(len(script.history))
    assert [verdict(due, *["u1"] * copies) for copies in (1, 2, 3)] == ["valid", "valid", "Duplicate"]
    assert verdict(due) == "LostAcknowledged"


def test_each_session_has_a_ledger_of_its_own():
    """What was said and committed in the other one is neither due nor legal here."""
    script = Script().append("u1").append("u2")
    for kind, target, size in (("append", "u3", 0), ("commit", "", 0)):
        call = script.history.add(Lane.USER, kind, target, size=size, note="session other")
        script._end(call, "ack")
    here = Ledger.build(script.history, script.says, promise=Promise()).at(len(script.history))
    assert tokens(here.must) == ["u1", "u2"]
    says = {"u3": Say("user", "zu3z text")}
    there = Ledger.build(script.history, says, promise=Promise(), session="other").at(len(script.history))
    assert (tokens(there.said), tokens(there.must), tokens(there.shed)) == (["u3"], [], ["u3"])
