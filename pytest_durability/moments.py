"""Two opens at different moments may show and write different times, and that is no change.

Rule: only what is certainly a moment is blanked: in files dates with a time and present-day epoch numbers, in the store's
own rows dates, times of day and epoch numbers. Everything else is content.
"""

from __future__ import annotations

import re

_STAMP = re.compile(rb"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?: ?(?:Z|[+-]\d\d:?\d\d))?")
_EPOCH = re.compile(rb"(?<!\d)(\d{10})(?:\d{3}|\d{6}|\d{9})?(?:\.\d+)?(?!\d)")
_DATE = re.compile(rb"(?<!\d)\d{4}-\d\d-\d\d(?!\d)")
_TIME = re.compile(rb"(?<![\d:])\d?\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?![\d:])")
_DAY = 86_400
_BLANK = b"<time>"


def blanked(data: bytes, today: int) -> bytes:
    """The content of a file without its moments; `today` is the present in epoch seconds, a day around it is blanked."""

    def epoch(found: re.Match[bytes]) -> bytes:
        return _BLANK if abs(int(found[1]) - today) < _DAY else found[0]

    return _EPOCH.sub(epoch, _STAMP.sub(_BLANK, data))


def blanked_text(text: str) -> bytes:
    """A text of the store's own without its moments: there a bare date or time of day is one too, and so is any epoch number."""
    data = text.encode("utf-8", "surrogatepass")
    for pattern in (_STAMP, _DATE, _TIME, _EPOCH):
        data = pattern.sub(_BLANK, data)
    return data
