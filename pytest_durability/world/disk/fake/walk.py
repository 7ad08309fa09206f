"""Which errors a path ends with is part of what a store may rely on, so paths are walked here as Linux walks them.

Rule: nodes are only looked at. Permissions count for everybody but root, a trailing slash asks for a directory, and forty
symbolic links are too many.
"""

from __future__ import annotations

import errno
import stat
from typing import Any, NamedTuple

from pytest_durability.world.disk.fake.handles import directory_of, failed, is_directory

_SEARCH = 0o100
_LINKS = 40


class Spot(NamedTuple):
    """Where a path leads: the directory, the name in it (`""`, `"."` or `".."`: the directory itself is meant), what is there.

    `slash`: the path ends with one.
    """

    directory: Any
    name: str
    node: Any
    slash: bool

    @property
    def plain(self) -> bool:
        """Whether the path ends with the name of an entry, so that the entry can be made, moved or removed."""
        return self.name not in ("", ".", "..")


def walk(root: Any, full: str, given: Any, *, follow: bool, trusted: bool) -> Spot:
    """Follow an absolute path; `follow`: also a symbolic link in the last place. `trusted`: permissions do not count.

    Raises:
        OSError: a part before the last one is absent, no directory, or barred; with `given` as its file name.
    """
    parts = full.split("/")
    slash = full[-1] == "/"
    while len(parts) > 1 and not parts[-1]:
        parts.pop()
    parts.reverse()
    at, name, node, links = root, "", root, 0
    while parts:
        part = parts.pop()
        if not part:
            continue
        _enter(node, given, trusted=trusted)
        at, name = node, part
        if part == ".":
            continue
        if part == "..":
            node = directory_of(at) or root
            continue
        node = at.entries.get(part)
        if node is None:
            if parts:
                raise failed(errno.ENOENT, given)
        elif stat.S_ISLNK(node.st_mode) and (parts or follow or slash):
            links += 1
            if links > _LINKS:
                raise failed(errno.ELOOP, given)
            target = node.byte_contents.decode("utf-8", "surrogateescape")
            parts.extend(reversed(target.split("/")))
            node = root if target[0] == "/" else at
    return Spot(at, name, node, slash)


def _enter(node: Any, given: Any, *, trusted: bool) -> None:
    """Whether a name can be looked up in this node."""
    if not is_directory(node):
        raise failed(errno.ENOTDIR, given)
    if not trusted and not node.has_permission(_SEARCH):
        raise failed(errno.EACCES, given)
