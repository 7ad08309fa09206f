"""The history: numbers without gaps, and a text form that loses nothing but effects."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_durability.errors import CaseError
from pytest_durability.history import History, Lane, Op, Outcome, digest

words = st.text(st.characters(), max_size=20) | st.sampled_from(["\u2028", "\ud800", "a\nb\r\n", '"\\', "\0", "\x85"])
fields = st.fixed_dictionaries(
    {
        "lane": st.sampled_from(Lane),
        "kind": words.filter(bool),
        "target": words,
        "size": st.integers(0, 2**63),
        "digest": words,
        "outcome": st.sampled_from(Outcome),
        "site": words,
        "call": st.integers(0, 10**6),
        "note": words,
    }
)


def history_of(rows):
    """A history of ops with the given fields."""
    history = History()
    for given_row in rows:
        row = dict(given_row)
        history.add(row.pop("lane"), row.pop("kind"), row.pop("target"), **row, effect=object())
    return history


@given(st.lists(fields, max_size=5))
def test_jsonl_is_read_back(rows):
    """Every field of every op comes back, whatever it holds; each op is one line of ASCII."""
    history = history_of(rows)
    text = history.to_jsonl()
    assert list(History.from_jsonl(text)) == list(history)
    assert text.isascii()
    assert len(text.splitlines()) == len(rows)


def test_numbers_start_at_one():
    """`history[n - 1]` is op n, and `add` returns the op with its number."""
    history = History()
    added = [history.add(Lane.USER, "append", "u1"), history.add(Lane.DISK, "write", "a", size=3)]
    assert [op.seq for op in history] == [1, 2]
    assert history[1] is added[1]
    assert len(history) == 2


def test_a_lane_keeps_the_order():
    """The ops of one lane come in order, those of others are left out."""
    history = History()
    for lane in (Lane.USER, Lane.DISK, Lane.USER):
        history.add(lane, "x")
    assert [op.seq for op in history.lane(Lane.USER)] == [1, 3]


def test_effects_do_not_count_as_content():
    """Two ops that differ in their effect only are equal, and the effect is not written."""
    assert Op(1, Lane.DISK, "write", effect=b"a") == Op(1, Lane.DISK, "write", effect=b"b")
    assert "secret" not in history_of([]).to_jsonl() + History([Op(1, Lane.DISK, "write", effect="secret")]).to_jsonl()


GOOD = {"seq": 1, "lane": "user", "kind": "append", "outcome": "ok"}


@pytest.mark.parametrize(
    "line",
    [
        "[" * 100_000,
        '{"a":' * 50_000,
        "null",
        "1",
        '"text"',
        "[]",
        "{}",
        "{",
        "NaN",
        "\ud800",
        "9" * 5000,
        *(
            json.dumps(GOOD | change)
            for change in ({"lane": "sky"}, {"lane": []}, {"lane": {}}, {"outcome": "fine"}, {"seq": None})
        ),
        *(
            json.dumps(GOOD | change)
            for change in ({"seq": "x"}, {"seq": []}, {"size": "big"}, {"call": {}}, {"seq": float("nan")})
        ),
        *(json.dumps(GOOD | change) for change in ({"seq": float("inf")}, {"size": float("-inf")}, {"seq": 2}, {"seq": 0})),
        json.dumps(GOOD).replace("1", "1e999"),
        json.dumps({key: value for key, value in GOOD.items() if key != "outcome"}),
    ],
    ids=lambda line: ascii(line[:30]),
)
def test_a_line_that_is_no_op_is_told(line):
    """Anything but an op with the right number is a CaseError."""
    with pytest.raises(CaseError, match="line 1 "):
        History.from_jsonl(line)


@given(st.text())
@example('{"seq": 1e400, "lane": "user", "kind": "x", "outcome": "ok"}')
def test_any_text_is_read_or_refused(text):
    """Reading a text gives a history or a CaseError, nothing else."""
    try:
        History.from_jsonl(text)
    except CaseError:
        return
    assert not text.replace("\n", "")


def test_a_gap_is_told():
    """A history with a missing line proves nothing, so it is refused."""
    lines = history_of([{"lane": Lane.USER, "kind": "x", "target": ""}] * 3).to_jsonl().splitlines()
    with pytest.raises(CaseError, match="line 2 holds op 3"):
        History.from_jsonl("\n".join([lines[0], lines[2]]))


def test_digests_differ_with_the_content():
    """Equal bytes have equal digests of 12 hex digits, other bytes have others."""
    assert digest(b"a") == digest(b"a") != digest(b"b")
    assert len(digest(b"")) == 12
