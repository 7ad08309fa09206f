"""Payloads are model output: whatever they hold, a report must stay readable and harmless in any terminal.

Rule: a report is printable ASCII in at most 80 columns (commands and texts that must be copied whole excepted).
"""

from __future__ import annotations

WIDTH = 80
"""Columns of a report."""


def plain(text: str) -> str:
    """The text with everything that is not printable ASCII escaped, so that one line stays one line."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(char if " " <= char <= "~" else char.encode("unicode_escape").decode("ascii") for char in text)


def fit(text: str, width: int) -> str:
    """The escaped text cut to `width` columns, with `...` where something was cut."""
    text = plain(text)
    return text if len(text) <= width else text[: max(width - 3, 0)] + "..."


def count(number: int, noun: str) -> str:
    """`1 crash`, `2 crashes`: a number with its noun."""
    if number == 1:
        return f"1 {noun}"
    return f"{number} {noun}es" if noun.endswith(("s", "sh")) else f"{number} {noun}s"
