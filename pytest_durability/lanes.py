"""Who did what while several ran at once is seen at a glance if each has a column of its own.

Rule: lines go down in the order in which things happened; what stands beside nothing happened alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

WIDTH = 80
_NUMBER = 7
_LEAST = 16


def lanes(heads: Sequence[str], rows: Iterable[tuple[int, int, str]], *, label: str = "op", marked: Collection[int] = ()) -> str:
    """Columns under `heads`, with a line for each row: its number (`marked` ones get a `>`), the index of its column, its words."""
    width = max((WIDTH - _NUMBER) // max(len(heads), 1), _LEAST)
    lines = [f"{label:>5}  " + "".join(f"{_fit(head, width - 2):<{width}}" for head in heads).rstrip()]
    for number, lane, text in rows:
        mark = ">" if number in marked else " "
        lines.append(f"{mark}{number or '':>4}  {' ' * (lane * width)}{_fit(text, WIDTH - _NUMBER - lane * width)}".rstrip())
    return "\n".join(lines)


def _fit(text: str, width: int) -> str:
    text = "".join(char if " " <= char <= "~" else char.encode("unicode_escape").decode("ascii") for char in text)
    return text if len(text) <= width else text[: max(width - 3, 0)] + "..."
