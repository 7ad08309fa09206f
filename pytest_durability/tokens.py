"""Every generated text carries a unique mark, which makes loss, doubling and order decidable in linear time.

Rule: a mark is plain ASCII letters and digits, so that no encoding, escaping or sanitising of a sound store can
change it. (Jepsen's unique-value idea: each written value is written once.)
"""

from __future__ import annotations

import re

_ONE = "[a-y][1-9][0-9]{0,6}"
_MARK = re.compile(rf"z(?:(?<![0-9A-Za-z]z)({_ONE})z(?![0-9A-Za-z])|({_ONE})z(?=(?:z{_ONE}z){{0,8}}(?:\s|\Z)))")
_RUN = re.compile(r"[0-9A-Za-z]*\Z")


def mark(name: str) -> str:
    """The mark of token `name` (`u1` -> `zu1z`), as it stands in a text."""
    return f"z{name}z"


def find(text: str) -> tuple[str, ...]:
    """The names of the tokens in a text, in order of appearance (`"zu1z hi zu2z"` -> `("u1", "u2")`).

    A mark stands alone, or begins a text that was merged to the end of another one (`"zu1z hellozu2z hi"`). There it counts
    only behind a word or a number and before white space, because ids and base64 mix letters and digits by chance.
    """
    names: list[str] = []
    end = 0
    for found in _MARK.finditer(text):
        name = found[1]
        if name is None and _word(text, end, found.start()):
            name = found[2]
        if name is not None:
            names.append(name)
            end = found.end()
    return tuple(names)


def _word(text: str, start: int, end: int) -> bool:
    """Whether the letters and digits just before `end` are a word, a number, or nothing."""
    run = _RUN.search(text, max(start, end - 64), end)
    return run is None or not run[0] or run[0].isalpha() or run[0].isdigit()


def in_bytes(name: str, data: bytes) -> bool:
    """Whether the mark of `name` stands in raw bytes of a file (ASCII-compatible encodings only)."""
    return mark(name).encode() in data
