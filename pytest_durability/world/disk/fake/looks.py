"""The functions of `os` that look at names and change what is not content: `stat`, `scandir`, `chmod`, the working directory.

Rule: nothing here is recorded, because no image holds it. What exists in the fake tree hides what is real, and of what is
real only that is seen which `outside` allows to be read.
"""

# ruff: noqa: D102  the operations are those of os, documented there

from __future__ import annotations

import errno
import os
import stat as modes
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Self

from pytest_durability.world.disk.fake.data import is_fake
from pytest_durability.world.disk.fake.handles import failed, is_directory

if TYPE_CHECKING:
    from pytest_durability.world.disk.fake.kernel import Kernel

_IMPORTER = "<frozen importlib"
_DEEP = 5


class Entry:
    """What `scandir` gives for one name."""

    __slots__ = ("_kernel", "_node", "name", "path")

    def __init__(self, kernel: Kernel, node: Any, name: Any, path: Any) -> None:
        self._kernel, self._node = kernel, node
        self.name, self.path = name, path

    def inode(self) -> int:
        return int(self._node.st_ino)

    def _kind(self, follow: bool) -> int:
        node = self._node
        if follow and modes.S_ISLNK(node.st_mode):
            node = self._kernel.node_or_none(self._kernel.path_of_node(node))
        return 0 if node is None else modes.S_IFMT(node.st_mode)

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        return self._kind(follow_symlinks) == modes.S_IFDIR

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        return self._kind(follow_symlinks) == modes.S_IFREG

    def is_symlink(self) -> bool:
        return modes.S_ISLNK(self._node.st_mode)

    def is_junction(self) -> bool:
        return False

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        node = self._node
        if follow_symlinks and modes.S_ISLNK(node.st_mode):
            node = self._kernel.node(self._kernel.path_of_node(node), self.path)
        return self._kernel.status(node)

    def __fspath__(self) -> Any:
        return self.path

    def __repr__(self) -> str:
        return f"<DirEntry {self.name!r}>"


class Listing:
    """What `scandir` returns: an iterator and a context manager."""

    __slots__ = ("_entries",)

    def __init__(self, entries: list[Entry]) -> None:
        self._entries: Iterator[Entry] = iter(entries)

    def __iter__(self) -> Listing:
        return self

    def __next__(self) -> Entry:
        return next(self._entries)

    def close(self) -> None:
        self._entries = iter(())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class Looks:
    """Operations that no crash can undo, because they are not simulated: attributes, listings, the working directory."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel, self._true = kernel, kernel.true

    def _at(self, path: Any, dir_fd: int | None = None, follow: bool = True) -> tuple[str, Any]:
        """The absolute path and the node; the node is None if the path is real.

        Raises:
            OSError: there is nothing.
        """
        kernel = self._kernel
        if isinstance(path, int):
            return "", kernel.handles.get(path).file
        full = kernel.full(path, dir_fd)
        if kernel.is_real(full, reading=True):
            return full, None
        return full, kernel.node(full, path, follow=follow)

    def stat(self, path: Any, *, dir_fd: int | None = None, follow_symlinks: bool = True) -> os.stat_result:
        if isinstance(path, int) and not is_fake(path):
            return self._true["stat"](path)  # type: ignore[no-any-return]
        full, node = self._at(path, dir_fd, follow_symlinks)
        if node is None:
            return self._true["stat"](full, follow_symlinks=follow_symlinks)  # type: ignore[no-any-return]
        return self._kernel.status(node)

    def lstat(self, path: Any, *, dir_fd: int | None = None) -> os.stat_result:
        return self.stat(path, dir_fd=dir_fd, follow_symlinks=False)

    def access(
        self, path: Any, mode: int, *, dir_fd: int | None = None, effective_ids: bool = False, follow_symlinks: bool = True
    ) -> bool:
        del effective_ids
        if isinstance(path, int) and not is_fake(path):
            return bool(self._true["access"](path, mode))
        try:
            full, node = self._at(path, dir_fd, follow_symlinks)
        except OSError:
            return False
        if node is None:
            return bool(self._true["access"](full, mode))
        if os.getuid() == 0:
            return not mode & os.X_OK or is_directory(node) or bool(node.st_mode & 0o111)
        return bool(node.has_permission(mode << 6)) if mode else True

    def listdir(self, path: Any = None) -> list[Any]:
        if _importing() or (isinstance(path, int) and not is_fake(path)):
            return list(self._true["listdir"](path))
        full, node = self._at("." if path is None else path)
        if node is None:
            return list(self._true["listdir"](full))
        names = self._names(node, path)
        return [os.fsencode(name) for name in names] if isinstance(path, bytes) else names

    def _names(self, node: Any, path: Any) -> list[str]:
        if not is_directory(node):
            raise failed(errno.ENOTDIR, path)
        return list(reversed(node.entries))  # the newest first, as a file system in memory lists them

    def scandir(self, path: Any = None) -> Any:
        if _importing() or (isinstance(path, int) and not is_fake(path)):
            return self._true["scandir"](path)
        full, node = self._at("." if path is None else path)
        if node is None:
            return self._true["scandir"](full)
        names = self._names(node, path)
        if isinstance(path, int):
            return Listing([Entry(self._kernel, node.entries[name], name, name) for name in names])
        base: Any = os.fspath("." if path is None else path)
        if isinstance(base, bytes):
            coded = [(name, os.fsencode(name)) for name in names]
            return Listing([Entry(self._kernel, node.entries[name], code, os.path.join(base, code)) for name, code in coded])
        return Listing([Entry(self._kernel, node.entries[name], name, os.path.join(base, name)) for name in names])

    def readlink(self, path: Any, *, dir_fd: int | None = None) -> Any:
        kernel = self._kernel
        full = kernel.full(path, dir_fd)
        number = kernel.descriptor(full)
        if number is not None:
            return kernel.path_of(number)
        if kernel.is_real(full, reading=True):
            return self._true["readlink"](full)
        node = kernel.node(full, path, follow=False)
        if not modes.S_ISLNK(node.st_mode):
            raise failed(errno.EINVAL, path)
        target = node.byte_contents
        return target if isinstance(path, bytes) else os.fsdecode(target)

    def getcwd(self) -> str:
        return self._kernel.cwd

    def getcwdb(self) -> bytes:
        return os.fsencode(self._kernel.cwd)

    def chdir(self, path: Any) -> None:
        kernel = self._kernel
        if isinstance(path, int):
            kernel.cwd = kernel.path_of(path)
            return
        node = self._at(path)[1]
        if node is None or not is_directory(node):
            raise failed(errno.ENOTDIR if node is not None else errno.EXDEV, path)
        kernel.cwd = kernel.path_of_node(node)

    def fchdir(self, fd: int) -> None:
        self.chdir(fd)

    def chmod(self, path: Any, mode: int, *, dir_fd: int | None = None, follow_symlinks: bool = True) -> None:
        if isinstance(path, int) and not is_fake(path):
            self._true["chmod"](path, mode)
            return
        full, node = self._at(path, dir_fd, follow_symlinks)
        if node is None:
            self._true["chmod"](full, mode)
        else:
            node.st_mode = modes.S_IFMT(node.st_mode) | modes.S_IMODE(mode)

    def fchmod(self, fd: int, mode: int) -> None:
        self.chmod(fd, mode)

    def chown(self, path: Any, uid: int, gid: int, *, dir_fd: int | None = None, follow_symlinks: bool = True) -> None:
        if isinstance(path, int) and not is_fake(path):
            self._true["chown"](path, uid, gid)
            return
        full, node = self._at(path, dir_fd, follow_symlinks)
        if node is None:
            self._true["chown"](full, uid, gid)
            return
        node.st_uid = node.st_uid if uid == -1 else uid
        node.st_gid = node.st_gid if gid == -1 else gid

    def fchown(self, fd: int, uid: int, gid: int) -> None:
        self.chown(fd, uid, gid)

    def lchown(self, path: Any, uid: int, gid: int) -> None:
        self.chown(path, uid, gid, follow_symlinks=False)

    def utime(
        self, path: Any, times: Any = None, *, ns: Any = None, dir_fd: int | None = None, follow_symlinks: bool = True
    ) -> None:
        more = {} if ns is None else {"ns": ns}
        if isinstance(path, int) and not is_fake(path):
            self._true["utime"](path, times, **more)
            return
        full, node = self._at(path, dir_fd, follow_symlinks)
        if node is None:
            self._true["utime"](full, times, **more)
            return
        with self._kernel.telling(path):
            self._kernel.system.utime(self._kernel.path_of_node(node), times=times, ns=ns, follow_symlinks=False)

    def statvfs(self, path: Any) -> Any:
        if isinstance(path, int) and not is_fake(path):
            return self._true["statvfs"](path)
        full, node = self._at(path)
        return self._true["statvfs"](full if node is None else "/")

    def fstatvfs(self, fd: int) -> Any:
        return self.statvfs(fd)

    def isatty(self, fd: int, /) -> bool:
        return False if is_fake(fd) else bool(self._true["isatty"](fd))

    def get_inheritable(self, fd: int, /) -> bool:
        return False if is_fake(fd) else bool(self._true["get_inheritable"](fd))

    def set_inheritable(self, fd: int, inheritable: int, /) -> None:
        if not is_fake(fd):
            self._true["set_inheritable"](fd, inheritable)

    def posix_fadvise(self, fd: int, offset: int, length: int, advice: int, /) -> None:
        if not is_fake(fd):
            self._true["posix_fadvise"](fd, offset, length, advice)

    def mkfifo(self, path: Any, mode: int = 0o666, *, dir_fd: int | None = None) -> None:
        if not self._kernel.is_real(self._kernel.full(path, dir_fd)):
            raise failed(errno.EOPNOTSUPP, path)
        self._true["mkfifo"](path, mode, dir_fd=dir_fd)

    def listxattr(self, path: Any = None, *, follow_symlinks: bool = True) -> list[str]:
        if isinstance(path, int) and not is_fake(path):
            return list(self._true["listxattr"](path))
        full, node = self._at("." if path is None else path, None, follow_symlinks)
        return list(self._true["listxattr"](full)) if node is None else sorted(node.xattr)

    def getxattr(self, path: Any, attribute: Any, *, follow_symlinks: bool = True) -> bytes:
        if isinstance(path, int) and not is_fake(path):
            return bytes(self._true["getxattr"](path, attribute))
        full, node = self._at(path, None, follow_symlinks)
        if node is None:
            return bytes(self._true["getxattr"](full, attribute))
        if os.fsdecode(attribute) not in node.xattr:
            raise failed(errno.ENODATA, path)
        return bytes(node.xattr[os.fsdecode(attribute)])

    def setxattr(self, path: Any, attribute: Any, value: Any, flags: int = 0, *, follow_symlinks: bool = True) -> None:
        if isinstance(path, int) and not is_fake(path):
            self._true["setxattr"](path, attribute, value, flags)
            return
        full, node = self._at(path, None, follow_symlinks)
        if node is None:
            self._true["setxattr"](full, attribute, value, flags)
        else:
            node.xattr[os.fsdecode(attribute)] = bytes(value)


def _importing() -> bool:
    """Whether the import system asks; it remembers the names in a directory, so it must see the real ones."""
    frame = sys._getframe(2)
    for _ in range(_DEEP):
        if frame.f_code.co_filename.startswith(_IMPORTER):
            return True
        if frame.f_back is None:
            return False
        frame = frame.f_back
    return False
