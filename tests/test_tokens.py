"""Tokens: found where they were put, and nowhere else."""

from __future__ import annotations

import base64
import json
import random

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


@pytest.mark.parametrize("text", ["", "zuz", "zz1z", "zu0z", "zu01z", "ZU1Z", "zu1zx", "zu1 z", "zu12345678z", "zu\u0661z"])
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


@pytest.mark.parametrize("before", ["hello", "caf\u00e9", "in 2024", "zu9z", "zu9zzu8z", "zu9z what", "x" * 500])
@pytest.mark.parametrize("after", ["", " hi", "\nhi", "zu2z", "zu2z hi"])
def test_a_mark_behind_a_word_is_found(before, after):
    """Texts that were merged without a separator."""
    found = [name for name in ("u9", "u8") if mark(name) in before]
    assert find(f"{before}zu1z{after}") == (*found, "u1", *(["u2"] if "zu2z" in after else []))


@pytest.mark.parametrize("text", ["x1zu1z", "01HZX4zu1z restored", "aGVsbG8zu1zQ", "hellozu1z.", "hellozu1zworld", "9zu1zx"])
def test_letters_of_an_id_are_no_mark(text):
    """Among letters and digits a mark stands by chance."""
    assert find(text) == ()


def test_ids_by_chance_hold_no_mark():
    """Of a hundred thousand random ids none is taken for a message, nor is any part of as much base64."""
    chance = random.Random(1)
    letters = "0123456789abcdefghijklmnopqrstuvwxyz"
    assert not any(find("".join(chance.choices(letters, k=26))) for _ in range(100_000))
    assert find(base64.b64encode(chance.randbytes(2_000_000)).decode()) == ()
