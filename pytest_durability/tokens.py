"""Every generated text carries a unique mark, which makes loss, doubling and order decidable in linear time.

Rule: a mark is plain ASCII letters and digits, so that no encoding, escaping or sanitising of a sound store can
change it. (Jepsen's unique-value idea: each written value is written once.)
"""

from __future__ import annotations

import re

_ONE = "z[a-y][1-9][0-9]{0,6}z"
_END = rf"(?=(?:{_ONE})*(?:\s|\Z))"
# A mark stands alone, or begins a text that was merged to the end of another one ("hellozu2z hi"). There it counts only if
# white space, the end or such a mark follows: letters drawn by chance, as in base64 or an id, hardly ever look like that.
_MARK = re.compile(rf"z(?:(?<![0-9A-Za-z]z)([a-y])([1-9][0-9]{{0,6}})z(?![0-9A-Za-z])|([a-y])([1-9][0-9]{{0,6}})z{_END})")


def mark(name: str) -> str:
    """The mark of token `name` (`u1` -> `zu1z`), as it stands in a text."""
    return f"z{name}z"


def find(text: str) -> tuple[str, ...]:
    """The names of the tokens in a text, in order of appearance (`"zu1z hi zu2z"` -> `("u1", "u2")`)."""
    return tuple([found[0] + found[1] + found[2] + found[3] for found in _MARK.findall(text)])


def in_bytes(name: str, data: bytes) -> bool:
    """Whether the mark of `name` stands in raw bytes of a file (ASCII-compatible encodings only)."""
    return mark(name).encode() in data
