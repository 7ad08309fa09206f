"""The functions of `os` that make, move, remove or open names, on the fake tree.

Rule: an operation succeeds or fails as it does on Linux, with the same error; the nodes and their permissions are those of
pyfakefs. A name that is outside of the tree goes to the real function.
"""

# ruff: noqa: D102  the operations are those of os, documented there

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, Any

from pytest_durability.world.disk.fake.handles import failed, is_directory, resize

if TYPE_CHECKING:
    from pytest_durability.world.disk.fake.kernel import Kernel
    from pytest_durability.world.disk.fake.walk import Spot

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_TMPFILE = getattr(os, "O_TMPFILE", 0)
_READ, _WRITE = 0o400, 0o200


class Names:
    """Operations on names."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel, self._true = kernel, kernel.true

    def open(self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        kernel = self._kernel
        full = kernel.full(path, dir_fd)
        if kernel.is_real(full, reading=not flags & _WRITING):
            return int(self._true["open"](full, flags, mode))
        if _TMPFILE and flags & _TMPFILE == _TMPFILE:
            raise failed(errno.EOPNOTSUPP, path)
        with kernel.lock:
            exclusive = flags & os.O_CREAT and flags & os.O_EXCL
            follow = not (exclusive or flags & os.O_NOFOLLOW)
            if not flags & os.O_CREAT or kernel.descriptor(full) is not None:
                spot = kernel.found(full, path, follow=follow)
            else:
                spot = self._there(kernel.spot(full, path, follow=follow), path, mode, exclusive=bool(exclusive))
            self._admit(spot.node, path, flags)
            if flags & os.O_TRUNC:
                resize(spot.node, 0)
            return kernel.open_spot(spot, flags)

    def _there(self, spot: Spot, path: Any, mode: int, *, exclusive: bool) -> Spot:
        """The file that an open with O_CREAT names, made if there is none."""
        if spot.node is not None:
            if exclusive:
                raise failed(errno.EEXIST, path)
            return spot
        if spot.slash:
            raise failed(errno.EISDIR, path)
        node = self._kernel.new_file(spot.name, mode)
        self._kernel.put(spot, node, path)
        return spot._replace(node=node)

    def _admit(self, node: Any, path: Any, flags: int) -> None:
        """Whether an existing node may be opened so."""
        if stat.S_ISLNK(node.st_mode):
            raise failed(errno.ELOOP, path)
        if is_directory(node):
            if flags & _WRITING:
                raise failed(errno.EISDIR, path)
        elif flags & os.O_DIRECTORY:
            raise failed(errno.ENOTDIR, path)
        if os.getuid() != 0:
            writes, reads = flags & (os.O_WRONLY | os.O_RDWR), not flags & os.O_WRONLY
            if (writes and not node.has_permission(_WRITE)) or (reads and not node.has_permission(_READ)):
                raise failed(errno.EACCES, path)

    def truncate(self, path: Any, length: int) -> None:
        full = self._kernel.full(path)
        if self._kernel.is_real(full):
            self._true["truncate"](full, length)
            return
        with self._kernel.lock:
            node = self._kernel.node(full, path)
            if is_directory(node):
                raise failed(errno.EISDIR, path)
            if length < 0:
                raise failed(errno.EINVAL, path)
            resize(node, length)

    def mkdir(self, path: Any, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        full = self._kernel.full(path, dir_fd)
        if self._kernel.is_real(full):
            self._true["mkdir"](full, mode)
            return
        with self._kernel.lock:
            spot = self._kernel.spot(full.rstrip("/") or "/", path)
            if spot.node is not None:
                raise failed(errno.EEXIST, path)
            self._kernel.put(spot, self._kernel.new_directory(spot.name, mode), path)

    def mknod(self, path: Any, mode: int = 0o600, device: int = 0, *, dir_fd: int | None = None) -> None:
        full = self._kernel.full(path, dir_fd)
        if self._kernel.is_real(full):
            self._true["mknod"](full, mode, device)
            return
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
            raise failed(errno.EPERM, path)
        with self._kernel.lock:
            spot = self._free(full, path, path)
            self._kernel.put(spot, self._kernel.new_file(spot.name, mode), path)

    def _free(self, full: str, path: Any, *given: Any) -> Spot:
        """Where a new file, link or name may be put."""
        spot = self._kernel.spot(full, path)
        if spot.node is not None:
            raise failed(errno.EEXIST, *given)
        if spot.slash:
            raise failed(errno.ENOENT, *given)
        return spot

    def symlink(self, src: Any, dst: Any, target_is_directory: bool = False, *, dir_fd: int | None = None) -> None:
        full = self._kernel.full(dst, dir_fd)
        if self._kernel.is_real(full):
            self._true["symlink"](src, full, target_is_directory)
            return
        target = os.fsdecode(src)
        if not target:
            raise failed(errno.ENOENT, src, dst)
        with self._kernel.lock:
            spot = self._free(full, dst, src, dst)
            self._kernel.put(spot, self._kernel.new_link(spot.name, target), src, dst)

    def link(
        self,
        src: Any,
        dst: Any,
        *,
        src_dir_fd: int | None = None,
        dst_dir_fd: int | None = None,
        follow_symlinks: bool = True,
    ) -> None:
        del follow_symlinks  # Linux links a symbolic link itself, whatever is asked for
        old, new = self._kernel.full(src, src_dir_fd), self._kernel.full(dst, dst_dir_fd)
        if self._both_real(old, new, src, dst):
            self._true["link"](old, new)
            return
        with self._kernel.lock:
            try:
                node = self._kernel.node(old, src, follow=False)
                spot = self._free(new, dst, src, dst)
            except OSError as error:
                raise failed(error.errno or errno.EIO, src, dst) from None
            if is_directory(node):
                raise failed(errno.EPERM, src, dst)
            self._kernel.put(spot, node, src, dst)

    def unlink(self, path: Any, *, dir_fd: int | None = None) -> None:
        full = self._kernel.full(path, dir_fd)
        if self._kernel.is_real(full):
            self._true["unlink"](full)
            return
        with self._kernel.lock:
            spot = self._kernel.spot(full.rstrip("/") or "/", path)
            if spot.node is None:
                raise failed(errno.ENOENT, path)
            if is_directory(spot.node):
                raise failed(errno.EISDIR, path)
            if full[-1] == "/":
                raise failed(errno.ENOTDIR, path)
            self._kernel.drop(spot, path)

    def remove(self, path: Any, *, dir_fd: int | None = None) -> None:
        self.unlink(path, dir_fd=dir_fd)

    def rmdir(self, path: Any, *, dir_fd: int | None = None) -> None:
        full = self._kernel.full(path, dir_fd)
        if self._kernel.is_real(full):
            self._true["rmdir"](full)
            return
        with self._kernel.lock:
            spot = self._kernel.spot(full.rstrip("/") or "/", path)
            if not spot.plain:
                raise failed({".": errno.EINVAL, "..": errno.ENOTEMPTY}.get(spot.name, errno.EBUSY), path)
            if spot.node is None:
                raise failed(errno.ENOENT, path)
            if not is_directory(spot.node):
                raise failed(errno.ENOTDIR, path)
            if spot.node.entries:
                raise failed(errno.ENOTEMPTY, path)
            self._kernel.drop(spot, path)

    def rename(self, src: Any, dst: Any, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None) -> None:
        kernel = self._kernel
        old, new = kernel.full(src, src_dir_fd), kernel.full(dst, dst_dir_fd)
        if self._both_real(old, new, src, dst):
            self._true["rename"](old, new)
            return
        with kernel.lock:
            try:
                source, target = (kernel.spot(full.rstrip("/") or "/", full) for full in (old, new))
                wrong = _cannot_move(source, target, slash="/" in (old[-1], new[-1]))
            except OSError as error:
                wrong = error.errno or errno.EIO
            if wrong:
                raise failed(wrong, src, dst)
            if source.node is target.node:
                return  # two names of one file, or one name twice: POSIX says that nothing happens
            if not (kernel.may_change(source.directory) and kernel.may_change(target.directory)):
                raise failed(errno.EACCES, src, dst)
            if target.node is not None:
                kernel.drop(target, src, dst)
            kernel.drop(source, src, dst)
            kernel.put(target, source.node, src, dst)

    def replace(self, src: Any, dst: Any, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None) -> None:
        self.rename(src, dst, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    def _both_real(self, old: str, new: str, src: Any, dst: Any) -> bool:
        """Whether both names are outside of the tree.

        Raises:
            OSError: one is and one is not, which is as between two devices.
        """
        first, second = self._kernel.is_real(old), self._kernel.is_real(new)
        if first != second:
            raise failed(errno.EXDEV, src, dst)
        return first


def _cannot_move(source: Spot, target: Spot, *, slash: bool) -> int:
    """The number of the error with which a rename ends, 0 if it can be done; in the order in which Linux looks."""
    if not source.plain or not target.plain:
        return errno.EBUSY
    node, there = source.node, target.node
    if node is None:
        return errno.ENOENT
    if slash and not is_directory(node):
        return errno.ENOTDIR
    if target.directory.has_parent_object(node):
        return errno.EINVAL
    if there is None or there is node:
        return 0
    return errno.ENOTEMPTY if source.directory.has_parent_object(there) else _cannot_replace(node, there)


def _cannot_replace(node: Any, there: Any) -> int:
    """The number of the error with which one node cannot take the place of another, 0 if it can."""
    if is_directory(node) != is_directory(there):
        return errno.ENOTDIR if is_directory(node) else errno.EISDIR
    return errno.ENOTEMPTY if is_directory(there) and there.entries else 0
