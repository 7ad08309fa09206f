"""Tokens: found where they were put, and nowhere else."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_durability.tokens import find, in_bytes, mark

names = st.from_regex(r"[a-y][1-9][0-9]{0,6}", fullmatch=True)
between = st.text(st.characters(exclude_categories=["Cs"]), max_size=10).filter(lambda text: "z" not in text)


@given(st.lists(st.tuples(names, between), max_size=5), between)
def test_marks_are_found_in_order(pieces, start):
    """Whatever stands between them, marks that no letter or digit touches are found in order."""
    text = start + "".join(f" {mark(name)} {rest}" for name, rest in pieces)
    assert find(text) == tuple(name for name, _ in pieces)


@given(names, between)
def test_a_mark_survives_json(name, rest):
    """The bytes of a JSON record hold the mark as it is."""
    for ascii_only in (True, False):
        assert in_bytes(name, json.dumps({"text": f"{rest} {mark(name)}"}, ensure_ascii=ascii_only).encode())


@pytest.mark.parametrize(
    "text", ["", "zuz", "zz1z", "zu0z", "zu01z", "ZU1Z", "xzu1z", "zu1zx", "1zu1z", "zu1 z", "zu12345678z", "zu\u0661z"]
)
def test_what_is_no_mark_is_not_found(text):
    """Near misses are plain text."""
    assert find(text) == ()


def test_a_mark_is_no_part_of_another():
    """`u1` is not found in the bytes of `u12`, nor the reverse."""
    assert not in_bytes("u1", mark("u12").encode())
    assert not in_bytes("u12", mark("u1").encode())


def test_merged_rows_hold_all_their_marks():
    """Texts that end in punctuation can be merged without a separator."""
    assert find("zu1z what?zu2z and\nza1z so.") == ("u1", "u2", "a1")
