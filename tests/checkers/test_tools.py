"""`StoresDisagree`, `UnansweredCall`, `EffectRepeated` and `Wedged` of one more turn: what each is asked of, and what excuses it."""

from __future__ import annotations

import pytest

from pytest_durability.checkers import effects, judge
from pytest_durability.history import History, Lane
from pytest_durability.observation import Asked, Failure, Onward, Refused, Row

ASKED = Row.of("user", "zu1z what?")
CALLED = Row.of("assistant", "za1z one moment", ("call_1",))
RESULT = Row.of("tool", "zt1z 42", (), "call_1")
CLOSED = Row.of("tool", "[no result]", (), "call_1")
MORE = Row.of("user", "zu2z and then?")


@pytest.fixture
def verdict(make):
    """The judgement of rows after `u1`, `a1`, `t1`, `u2` were said and none is due."""

    def judged(*rows, goes_on=True, **fields):
        return make.named(make.seen(*rows, **fields), make.due("u1 a1 t1 u2", acked="none", goes_on=goes_on))

    return judged


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        ((ASKED, CALLED, RESULT, MORE), "valid"),
        ((ASKED, CALLED, CLOSED, MORE), "valid"),
        ((ASKED, CALLED), "valid"),
        ((ASKED, CALLED, MORE), "UnansweredCall"),
        ((ASKED, RESULT, MORE), "UnansweredCall"),
    ],
)
def test_calls_pair_with_their_results_when_the_conversation_goes_on(verdict, rows, found):
    """A call may be closed by whoever answers it; at the very end it may still be answered."""
    assert verdict(onward=Onward(rows=rows)) == found


def test_a_reopened_transcript_may_be_put_right_by_the_next_turn(verdict):
    """Only what is there after one more turn counts, unless the request is shown."""
    sound = Onward(rows=(ASKED, CALLED, CLOSED, MORE))
    open_call = Row.of("assistant", "za1z the whole text of a1", ("call_1",))
    said = Row.of("user", "zu2z the whole text of u2")
    assert verdict(open_call, said, onward=sound) == "valid"
    assert verdict(open_call, said) == "UnansweredCall"
    assert verdict(open_call, said, asked=Asked(())) == "valid"
    assert verdict(asked=Asked((), (Refused("chat.missing_tool_message", "no answer to call_1"),))) == "UnansweredCall"


@pytest.mark.parametrize(
    ("row", "effects_", "found"),
    [(RESULT, ("call_1",), "EffectRepeated"), (RESULT, ("call_2",), "valid"), (CLOSED, ("call_1",), "valid")],
)
def test_an_effect_is_repeated_if_its_result_was_there(verdict, row, effects_, found):
    """A synthetic result records nothing, so the call may be run."""
    rows = [Row(row.role, "zt1z the whole text of t1" if row.tokens else row.text, row.tokens, (), "call_1")]
    assert verdict(*rows, onward=Onward(effects_), asked=Asked(())) == found


@pytest.mark.parametrize(("end", "found"), [("ack", True), ("raised", False), (None, False)])
def test_an_effect_is_recorded_when_its_turn_returned(end, found):
    """A later turn that has it again is a finding then, and only then."""
    history = History()
    call = history.add(Lane.USER, "turn", "u1,a1,t1,a2")
    history.add(Lane.STREAM, "effect", "call_1", call=call.seq)
    if end:
        history.add(Lane.USER, end, "u1,a1,t1,a2", call=call.seq)
    later = history.add(Lane.USER, "turn", "u2,a3")
    history.add(Lane.STREAM, "effect", "call_1", call=later.seq)
    assert (effects.repeated(history) is not None) is found


@pytest.mark.parametrize(
    ("mine", "theirs", "words"),
    [
        ("u1 a1", "u1 a1", ""),
        ("u1", "u1 a1", "a1 is in the record only"),
        ("u1 a1", "u1", "a1 is in the transcript only"),
        ("u1 a1", "a1 u1", "the order is another one"),
    ],
)
def test_records_hold_the_same_messages(make, mine, theirs, words):
    """In the same order; rows of the store's own do not count."""
    seen = make.seen(*mine.split(), records=(("journal", (Row.of("system", "notice"), *make.rows(*theirs.split()))),))
    found = make.named(seen, make.due("u1 a1", acked="none"))
    assert (found == "StoresDisagree") is bool(words)
    if words:
        assert words in judge(seen, make.due("u1 a1", acked="none")).anomaly.summary


def test_records_say_the_same(make):
    """Text and calls of a message are compared too."""
    for other in (Row.of("user", "zu1z another text"), Row.of("user", make.text("u1"), ("call_1",))):
        assert make.named(make.seen("u1", records=(("journal", (other,)),)), make.due("u1", acked="none")) == "StoresDisagree"


@pytest.mark.parametrize(
    ("refused", "goes_on", "found"), [(False, True, "Wedged"), (True, True, "valid"), (False, False, "valid")]
)
def test_a_next_turn_that_fails_is_stuck(verdict, refused, goes_on, found):
    """Unless the store refuses by an exception that it declares, or no turn succeeds here at all."""
    failed = Onward(failure=Failure("turn", "ValueError", "stuck", "s.py:1", refused))
    assert verdict(onward=failed, goes_on=goes_on) == found
