"""A store may spell one file in many ways, so every path argument is brought to one form before it is judged.

Rule: what is lexically below the root and free of links, dots and doubled separators costs no system call; everything
else is resolved as the kernel would, with the real path of each parent directory kept until a name that could change it moves.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from pytest_durability.world.disk.tree import Tree

OUTSIDE: Callable[[str], bool] | None = None
"""Whether an absolute path is not of the root although it lies below it; for roots that hold the whole file system."""

_MANY = 1000


class Paths:
    """Turns path arguments into paths relative to the root (`""` is the root itself)."""

    __slots__ = ("_outside", "_parents", "_plain", "_tree", "prefix", "root", "skip")

    def __init__(self, root: str, tree: Tree) -> None:
        self.root = root
        self.prefix = root if root.endswith(os.sep) else root + os.sep
        self.skip = len(self.prefix)
        self._tree = tree
        self._parents: dict[str, str] = {}
        self._plain: dict[Any, str] = {}
        self._outside = OUTSIDE

    def below(self, path: str) -> str | None:
        """The relative form of an absolute, resolved path; None if it is not below the root."""
        if path.startswith(self.prefix):
            return None if self._outside is not None and self._outside(path) else path[self.skip :]
        return "" if path == self.root else None

    def forget(self) -> None:
        """Drop what is known of directories, after a link or directory was made, moved or removed."""
        self._parents.clear()

    def starts(self, path: Any) -> bool:
        """Whether a path argument is lexically below the root: a cheap answer, for those who only read."""
        if type(path) is not str:
            path = os.fsdecode(path)
        return bool(path.startswith(self.prefix))

    def locate(self, path: Any, dir_fd: int | None = None, follow: bool = False) -> str | None:
        """The relative path of what `path` names, None if that is outside of the root (or no path at all).

        `follow`: whether the operation follows a symbolic link in the last place.
        """
        if type(path) is not str:
            try:
                path = os.fsdecode(path)
            except TypeError:
                return None
        elif not self._tree.symlinks and (known := self._plain.get(path)) is not None:
            return known
        if path.startswith(self.prefix):
            relative: str = path[self.skip :]
            plain = "/." not in relative and "//" not in relative and relative[:1] != "." and relative[-1:] not in ("/", "")
            if not self._tree.symlinks and (plain or _is_plain(relative)):
                if self._outside is not None and self._outside(path):
                    return None
                if len(self._plain) >= _MANY:
                    self._plain.clear()
                self._plain[path] = relative
                return relative
        return self._resolve(path, dir_fd, follow)

    def _resolve(self, path: str, dir_fd: int | None, follow: bool) -> str | None:
        if not path or "\0" in path:
            return None
        if path[0] != os.sep:
            base = os.getcwd() if dir_fd is None else path_at(dir_fd)
            if base is None:
                return None
            path = f"{base}{os.sep}{path}"
        parent, _, name = path.rstrip(os.sep).rpartition(os.sep)
        if name in ("", ".", ".."):
            return self.below(os.path.realpath(path))
        known = self._parents.get(parent)
        if known is None:
            known = self._parents[parent] = os.path.realpath(parent or os.sep)
        full = known + name if known == os.sep else f"{known}{os.sep}{name}"
        if follow and os.path.islink(full):
            full = os.path.realpath(full)
        return self.below(full)


def path_at(fd: int) -> str | None:
    """The path by which an open descriptor is known to the kernel, None where there is no /proc."""
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return None


def _is_plain(relative: str) -> bool:
    return all(part not in ("", ".", "..") for part in relative.split("/"))
