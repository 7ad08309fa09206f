"""A process needs parts of its real file system to run at all: its interpreter, its devices, what the harness itself keeps.

Rule: what can be written is decided by a short list (devices, `/proc`, directories named by the harness). What can be read is
the interpreter's own, and Python source; everything else that exists in reality is not there.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterable

_SYSTEM = ("/proc", "/sys", "/dev")
_SHARED_MEMORY = "/dev/shm"  # noqa: S108  a place for files like any other, so it is fake
_CODE = (".py", ".pyc", ".so")
_KEPT = (".hypothesis", ".durability")
"""Names of directories that hold what Hypothesis and this package remember between runs."""

_INTERPRETER = ("stdlib", "platstdlib", "purelib", "platlib")


class Outside:
    """Which absolute paths are real in a fake world; `kept` are further directories of the harness."""

    __slots__ = ("_kept", "_readable")

    def __init__(self, kept: Iterable[str] = ()) -> None:
        self._kept = tuple(_plain(path) for path in kept)
        prefixes = {sys.prefix, sys.base_prefix, sys.exec_prefix, *(sysconfig.get_path(name) for name in _INTERPRETER)}
        found = {form for path in prefixes for form in (_plain(path), _plain(os.path.realpath(path)))}
        self._readable = tuple(sorted(path + "/" for path in found if path))

    def always(self, path: str) -> bool:
        """Whether this path is real whatever is done with it."""
        if "/.." in path or "//" in path or "/./" in path:
            path = _plain(path)
        if path.startswith(_SYSTEM):
            first = "/" + path[1:].split("/", 1)[0]
            return first in _SYSTEM and not _below(path, _SHARED_MEMORY)
        if "/.hypothesis" in path or "/.durability" in path:
            return not _KEPT_SET.isdisjoint(path.split("/"))
        return any(_below(path, kept) for kept in self._kept)

    def readable(self, path: str) -> bool:
        """Whether this path may be read in reality, unless it exists in the fake file system."""
        return path.startswith(self._readable) or path.endswith(_CODE)


_KEPT_SET = frozenset(_KEPT)


def _below(path: str, directory: str) -> bool:
    return path == directory or path.startswith(directory + "/")


def _plain(path: str) -> str:
    """Without dots, doubled separators and a final one; empty for the root, which is never outside."""
    return os.path.normpath(os.path.abspath(path)).rstrip("/").replace("//", "/")
