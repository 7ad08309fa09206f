"""An op is worth little without the line of the store that made it, so the recorder looks up the stack.

Rule: the site is the innermost frame that is neither standard library, nor this package, nor pytest or Hypothesis.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from types import CodeType, FrameType

_OWN = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))) + os.sep
_STANDARD = tuple(
    {os.path.join(sysconfig.get_path(name), "") for name in ("stdlib", "platstdlib")}
    | {os.path.join(os.path.realpath(sysconfig.get_path(name)), "") for name in ("stdlib", "platstdlib")}
)
_PACKAGES = ("site-packages", "dist-packages")
_DRIVERS = frozenset(("_pytest", "pytest", "pluggy", "hypothesis", "xdist", "execnet"))

_MANY = 10_000

_LABELS: dict[str, str] = {}
"""File name of a code object -> how it is shown; empty for frames that do not count."""


_SITES: dict[int, tuple[CodeType, dict[int, str]]] = {}
"""Identity of a code object -> that object and, per instruction, the site as text; asked for with each op."""


def here(depth: int = 3) -> str:
    """`path:line` of the innermost frame that counts, `""` if there is none.

    `depth`: how many calls deep in the recorder this is asked; each frame that is not looked at saves its making.
    """
    frame: FrameType | None
    try:
        frame = sys._getframe(depth)
    except ValueError:  # nobody called: a file that is closed by the end of its thread
        frame = None
    while frame is not None:
        code = frame.f_code
        name = code.co_filename
        label = _LABELS.get(name)
        if label is None:
            label = _LABELS[name] = _label(name)
        if label:
            known = _SITES.get(id(code))
            if known is None or known[0] is not code:
                if len(_SITES) >= _MANY:
                    _SITES.clear()
                known = _SITES[id(code)] = code, {}
            found = known[1].get(frame.f_lasti)
            if found is None:
                found = known[1][frame.f_lasti] = f"{label}:{frame.f_lineno}"
            return found
        frame = frame.f_back
    return ""


def of_traceback(error: BaseException) -> str:
    """`path:line` of the innermost frame that counts of an exception that left the store, `""` if there is none."""
    trace, found = error.__traceback__, ""
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        label = _LABELS.get(name)
        if label is None:
            label = _LABELS[name] = _label(name)
        if label:
            found = f"{label}:{trace.tb_lineno}"
        trace = trace.tb_next
    return found


def _label(filename: str) -> str:
    if filename.startswith("<"):  # frozen standard library, or generated code such as a dataclass's __init__
        return ""
    path = os.path.abspath(filename)
    parts = path.split(os.sep)
    package = max((parts.index(name) for name in _PACKAGES if name in parts), default=-1)
    if package >= 0:
        return "" if path.startswith(_OWN) or _is_driver(parts[package + 1]) else "/".join(parts[package:])
    if path.startswith(_OWN) or path.startswith(_STANDARD):
        return ""
    below = os.path.relpath(path) if path.startswith(os.getcwd() + os.sep) else ""
    return below.replace(os.sep, "/") or "/".join(parts[-2:])


def _is_driver(name: str) -> bool:
    return name.removesuffix(".py") in _DRIVERS
