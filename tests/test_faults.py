"""Faults: values that are read back, and places that are found again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_durability.errors import UsageError
from pytest_durability.faults import (
    NAMES,
    CancelTurn,
    ClockStep,
    Crash,
    CutStream,
    Interrupt,
    LostAck,
    LostWrite,
    Place,
    RejectRequest,
    ReorderTurns,
    Schedule,
    ShortWrite,
    TornWrite,
    WriteError,
    place_of,
    role_of,
    seq_of,
)
from pytest_durability.history import History, Lane

words = st.text(st.characters(), min_size=1, max_size=15)
kinds = st.sampled_from(["write", "rename", "*", "fsync"]) | words.filter(lambda text: ":" not in text)
places = st.builds(Place, kinds, words, st.integers(1, 10**8))
spots = places.map(str)
small = st.integers(0, 10**6)
faults = st.one_of(
    st.builds(LostWrite, spots, st.booleans()),
    st.builds(TornWrite, spots, small),
    st.builds(ShortWrite, spots, st.integers(1, 10**6)),
    st.builds(WriteError, spots, st.sampled_from(["EIO", "ENOSPC", "EACCES", "EDQUOT"])),
    st.builds(Crash, spots, words, st.just("") | spots, st.lists(words, max_size=3).map(tuple)),
    st.builds(LostAck, spots),
    st.builds(CutStream, small, small, st.sampled_from(["eof", "reset", "timeout", "stall"])),
    st.builds(Interrupt, small, small),
    st.builds(RejectRequest, small, words, small),
    st.builds(ReorderTurns, st.lists(small, max_size=3).map(tuple), st.lists(small, max_size=3).map(tuple)),
    st.builds(CancelTurn, small, small),
    st.builds(ClockStep, small, st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**6), 10**6)),
)


@given(st.lists(faults, max_size=5))
def test_a_schedule_is_read_back(found):
    """`Schedule.parse(str(schedule)) == schedule`, whatever the places hold, on one line."""
    schedule = Schedule.of(found)
    assert Schedule.parse(str(schedule)) == schedule
    assert list(schedule) == found
    assert len(str(schedule).splitlines()) <= 1


def test_every_fault_is_among_the_round_trips():
    """A new fault has to be added to the round trip above."""
    assert set(NAMES) == {"LostWrite", "TornWrite", "ShortWrite", "WriteError", "Crash", "LostAck", "CutStream", "Interrupt"} | {
        "RejectRequest",
        "ReorderTurns",
        "CancelTurn",
        "ClockStep",
    }


@given(places)
def test_a_place_is_read_back(place):
    """`Place.parse(str(place)) == place`, also for roles with colons."""
    assert Place.parse(str(place)) == place


@given(st.text())
def test_any_text_is_a_place_or_refused(text):
    """Reading a place gives one whose text is the same, or a UsageError."""
    try:
        place = Place.parse(text)
    except UsageError:
        return
    assert str(place) == text


@pytest.mark.parametrize(
    "text", ["", ":", "::", "write::1", ":a:1", "write:a", "write:a:", "write:a:0", "write:a:-1", "write:a:x"]
)
def test_what_is_no_place_is_refused(text):
    """The form is told."""
    with pytest.raises(UsageError, match="kind:role:n"):
        Place.parse(text)


@pytest.mark.parametrize("number", ["9" * 5000, "\u0661", "01", "1.0", " 1", "1_0"])
def test_an_odd_number_is_no_place(number):
    """Ordinals have one spelling, and none is so long that Python would refuse to read it."""
    with pytest.raises(UsageError):
        Place.parse(f"write:a:{number}")
    with pytest.raises(UsageError):
        Schedule.parse(f"LostAck('write:a:{number}')")


@given(st.text())
def test_any_text_is_a_schedule_or_refused(text):
    """Reading gives a schedule or a UsageError, nothing else."""
    try:
        schedule = Schedule.parse(text)
    except UsageError:
        return
    assert Schedule.parse(str(schedule)) == schedule


BAD = [
    "LostWrite('nowhere')",
    "LostWrite(5)",
    "LostWrite()",
    "TornWrite('write:a:1', -1)",
    "TornWrite('write:a:1', 'x')",
    "ShortWrite('write:a:1', 0)",
    "WriteError('write:a:1', 'ENOTHING')",
    "WriteError('write:a:1', 'errorcode')",
    "WriteError('write:a:1', '__name__')",
    "WriteError('write:a:1', '')",
    "WriteError('write:a:1', 5)",
    "WriteError('write:a:1', '\\ud800')",
    "Crash('write:a:1', born='there')",
    "CutStream(1, 2, 'slowly')",
    "ClockStep(1, 1e999)",
    "ClockStep(1, 'soon')",
    "ClockStep(-1, 1.0)",
    "LostWrite('write:a:1', 1)",
    "TornWrite('write:a:1', 1.5)",
    "TornWrite('write:a:1', None)",
    "ShortWrite('write:a:1', -1)",
    "Crash('write:a:1', lag='abc')",
    "Crash('write:a:1', lag=(1,))",
    "Crash('write:a:1', model=1)",
    "Interrupt('x')",
    "Interrupt(1, -1)",
    "Interrupt(-1)",
    "CutStream(-1, 2)",
    "CutStream(1, -2)",
    "CutStream(1, 2, 3)",
    "RejectRequest(1, 2)",
    "RejectRequest(-1, 'rule')",
    "RejectRequest(1, 'rule', -1)",
    "ReorderTurns(1)",
    "ReorderTurns((1, 'x'))",
    "ReorderTurns((1, -1))",
    "ReorderTurns((1,), (-1,))",
    "CancelTurn(-1)",
    "CancelTurn(1, -1)",
    "CancelTurn(1, 1.0)",
    "Place('write', 'a', 1)",
    "Append('user', 'a')",
]


@pytest.mark.parametrize("text", BAD)
def test_a_fault_that_cannot_be_is_refused(text):
    """Wrong values are told when the fault is made."""
    with pytest.raises(UsageError):
        Schedule.parse(text)


def test_a_fault_made_in_python_is_looked_at_too():
    """A schedule that could not be read back is not made."""
    with pytest.raises(UsageError, match="chunks is int, not str"):
        Schedule.of([Interrupt(1, "x")])
    with pytest.raises(UsageError, match=r"lag is tuple\[str, \.\.\.\], not list"):
        Schedule.of([Crash("write:a:1", lag=["x"])])


@pytest.mark.parametrize("item", ["LostWrite('write:a:1')", LostWrite, 5, None, Place("write", "a", 1)])
def test_only_faults_make_a_schedule(item):
    """A text, a class or a place is not a fault."""
    with pytest.raises(UsageError, match="is not a fault"):
        Schedule.of([item])


def test_roles_fold_what_differs_between_runs():
    """Numbers, uuids and long hexadecimal names fold; words stay."""
    one, two = "6f1c2a34-9d3b-4c55-8a0e-1b2c3d4e5f60", "00000000-0000-4000-8000-000000000000"
    assert role_of(f"s/{one}.jsonl") == role_of(f"s/{two}.jsonl") == "s/#.jsonl"
    assert role_of("tmp00000001") == role_of("tmp99999999")
    assert role_of("a/m_1.json") == role_of("a/m_22.json") != role_of("a/n_1.json")
    assert role_of("deadbeefcafe") == "deadbeefcafe"
    assert role_of("") == ""


names = st.sampled_from(
    ["", "a", "12", "34", "x.json", "7.json", "8.json", "m/x.json", "m/1.json", "m/2.json", "m/index.json", "-", "a[1]", "a[2]"]
)
ops = st.lists(st.tuples(st.sampled_from(["write", "rename", "close"]), names), min_size=1, max_size=12)


@given(ops)
def test_every_op_is_found_at_its_place(rows):
    """The place of an op leads back to it, also if a role of numbers stands next to names that are none."""
    history = History()
    for kind, name in rows:
        if name != "-":  # a file of this name is not told from no file
            history.add(Lane.DISK, kind, name)
    for op in history:
        place = place_of(history, op.seq)
        assert seq_of(history, Place.parse(str(place))) == op.seq


def test_a_place_may_be_a_pattern():
    """`*` matches any kind or role, and patterns match roles."""
    history = History()
    for kind, name in (("create", "a.json"), ("write", "a.json"), ("write", "b.txt"), ("write", "m/7.json")):
        history.add(Lane.DISK, kind, name)
    assert seq_of(history, Place.parse("*:*:4")) == 4
    assert seq_of(history, Place.parse("write:*:2")) == 3
    assert seq_of(history, Place.parse("write:*.json:2")) == 4
    assert seq_of(history, Place.parse("write:b.txt:2")) is None
