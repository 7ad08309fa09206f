"""Stores whose paths are fixed need a file system of their own from `/` on; pyfakefs holds it, this is the door to it.

Rule: the tree, its errors and its modes are those of pyfakefs, through its public interface; open files are `handles`. There
is one tree for the life of a world; mounting exchanges what is in it, so that no node is ever seen again.
"""

from __future__ import annotations

import errno
import os
import stat
import tempfile
import time
from _thread import RLock
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pytest_durability.errors import UnsupportedError
from pytest_durability.world.disk import real
from pytest_durability.world.disk.fake.handles import FIRST, Handle, Handles, directory_of, failed, is_directory
from pytest_durability.world.disk.fake.outside import Outside
from pytest_durability.world.disk.fake.walk import Spot, walk
from pytest_durability.world.disk.image import Image

HOME = "/durability"
"""What `world.root` is in a fake world; the recorded tree starts at `/`."""

DEVICE = 0xFA4E
"""The device number of every fake file."""

_DESCRIPTORS = "/proc/self/fd/"
_CHANGE = 0o300
_LONGEST = 255
_BLOCK = 4096


def load() -> Any:
    """The module `pyfakefs.fake_filesystem`.

    Raises:
        UnsupportedError: pyfakefs is not installed.
    """
    try:
        from pyfakefs import fake_filesystem
    except ImportError:
        raise UnsupportedError(
            'disk="fake" needs pyfakefs, which is not installed',
            why="a store with fixed absolute paths would write to the real ones",
            fix='pip install "pytest-durability[fakefs]", or keep disk="files" and move the store below world.root with'
            ' world.setenv("HOME", str(world.root))',
        ) from None
    return fake_filesystem


class Kernel:
    """The tree, the open files, and the real functions for everything that is outside of it."""

    def __init__(self, kept: Iterable[str] = ()) -> None:
        package = load()
        self.system = package.FakeFilesystem()
        self.system.shuffle_listdir_results = False
        self._directory = package.FakeDirectory
        self._file = package.FakeFile
        self._trusted = os.getuid() == 0
        self.lock = RLock()
        self.outside = Outside(kept)
        self.handles = Handles()
        functions: dict[str, Callable[..., Any]] = {name: value for name, value in vars(os).items() if callable(value)}
        self.true: dict[str, Callable[..., Any]] = {**functions, **real.TABLE, "io_open": real.io_open}
        self.cwd = os.getcwd()
        self.blank = _blank(self.cwd)
        self.mount(self.blank)

    def full(self, path: Any, dir_fd: int | None = None) -> str:
        """The absolute form of a path argument.

        Raises:
            OSError: it is empty, or a part of it is too long.
            ValueError: it holds a NUL.
        """
        name = os.fsdecode(path)
        if not name:
            raise failed(errno.ENOENT, path)
        if "\0" in name:
            raise ValueError("embedded null byte")
        if len(name) > _LONGEST and any(len(os.fsencode(part)) > _LONGEST for part in name.split("/")):
            raise failed(errno.ENAMETOOLONG, path)
        if name[0] == "/":
            return name
        base = self.cwd if dir_fd is None else self.path_of(dir_fd)
        return f"{base.rstrip('/')}/{name}"

    def is_real(self, full: str, *, reading: bool = False) -> bool:
        """Whether an absolute path is one of the real file system."""
        if self.descriptor(full) is not None:
            return False
        if self.outside.always(full):
            return True
        return reading and self.outside.readable(full) and self.node_or_none(full, follow=False) is None

    def descriptor(self, full: str) -> int | None:
        """The number of a fake descriptor, if `full` is how the kernel spells one."""
        if not full.startswith(_DESCRIPTORS):
            return None
        number = full[len(_DESCRIPTORS) :]
        return int(number) if number.isdecimal() and int(number) >= FIRST else None

    def spot(self, full: str, given: Any, *, follow: bool = False) -> Spot:
        """Where an absolute path leads; see `walk`."""
        return walk(self.system.root_dir, full, given, follow=follow, trusted=self._trusted)

    def node(self, full: str, given: Any, *, follow: bool = True) -> Any:
        """What an absolute path names.

        Raises:
            OSError: nothing, or the way there is barred; with `given` as its file name.
        """
        return self.found(full, given, follow=follow).node

    def found(self, full: str, given: Any, *, follow: bool = True) -> Spot:
        """As `node`, and where it was found."""
        number = self.descriptor(full)
        if number is not None:
            handle = self.handles.get(number)
            return Spot(handle.directory, handle.name, handle.file, slash=False)
        spot = self.spot(full, given, follow=follow)
        if spot.node is None:
            raise failed(errno.ENOENT, given)
        if spot.slash and not is_directory(spot.node):
            raise failed(errno.ENOTDIR, given)
        return spot

    def node_or_none(self, full: str, *, follow: bool = True) -> Any:
        """What an absolute path names, None if there is nothing."""
        try:
            return self.node(full, full, follow=follow)
        except OSError:
            return None

    @contextmanager
    def telling(self, *given: Any) -> Iterator[None]:
        """Errors of pyfakefs leave with the system's words and the path arguments as the program gave them."""
        try:
            yield
        except OSError as error:
            told = failed(error.errno or errno.EIO, *given)
        else:
            return
        raise told from None

    def path_of(self, number: int) -> str:
        """Where an open file or directory stands now; its last place and ` (deleted)` if it has lost its name."""
        if number < FIRST:
            return str(self.true["readlink"](f"{_DESCRIPTORS}{number}"))
        handle = self.handles.get(number)
        if handle.name and handle.directory.entries.get(handle.name) is handle.file:
            return f"{self.path_of_node(handle.directory).rstrip('/')}/{handle.name}"
        return self.path_of_node(handle.file)

    def path_of_node(self, node: Any) -> str:
        """As `path_of`, for a node."""
        path = self._place(node)
        if path is not None:
            return path
        found = self._search(self.system.root_dir, "", node)
        return found if found is not None else f"/{node.name} (deleted)"

    def _place(self, node: Any) -> str | None:
        """The path that a node itself knows of, if it is right."""
        names: list[str] = []
        at = node
        while at is not self.system.root_dir:
            above = directory_of(at)
            if above is None or above.entries.get(at.name) is not at:
                return None
            names.append(at.name)
            at = above
        return "/" + "/".join(reversed(names))

    def _search(self, directory: Any, path: str, node: Any) -> str | None:
        for name, entry in directory.entries.items():
            if entry is node:
                return f"{path}/{name}"
            if is_directory(entry) and (found := self._search(entry, f"{path}/{name}", node)) is not None:
                return found
        return None

    def may_change(self, directory: Any) -> bool:
        """Whether names may be made and removed in a directory."""
        return self._trusted or bool(directory.has_permission(_CHANGE))

    def put(self, spot: Spot, node: Any, *given: Any) -> None:
        """Give a node a name."""
        node.name = spot.name
        with self.telling(*given):
            spot.directory.add_entry(node)
        spot.directory.st_mtime = spot.directory.st_ctime = time.time()

    def drop(self, spot: Spot, *given: Any) -> None:
        """Take a name away."""
        with self.telling(*given):
            spot.directory.remove_entry(spot.name, recursive=False)
        spot.directory.st_mtime = spot.directory.st_ctime = time.time()

    def new_file(self, name: str, mode: int) -> Any:
        """A regular file without a name, less the bits of the umask."""
        kind = stat.S_IFREG | (stat.S_IMODE(mode) & ~self.system.umask)
        return self._file(name, kind, contents="", filesystem=self.system)

    def new_directory(self, name: str, mode: int) -> Any:
        """A directory without a name, less the bits of the umask."""
        return self._directory(name, stat.S_IMODE(mode) & ~self.system.umask, filesystem=self.system)

    def new_link(self, name: str, target: str) -> Any:
        """A symbolic link without a name."""
        return self._file(name, stat.S_IFLNK | 0o777, contents=os.fsencode(target), filesystem=self.system)

    def open_spot(self, spot: Spot, flags: int) -> int:
        """A new descriptor of what is there."""
        return self.handles.add(Handle(spot.node, flags, spot.directory, spot.name))

    def status(self, node: Any) -> os.stat_result:
        """What `stat` tells about a node."""
        told = node.stat_result
        size = 0 if is_directory(node) else len(node.byte_contents or b"")
        times = told.st_atime_ns, told.st_mtime_ns, told.st_ctime_ns
        mode, owner = (told.st_mode, told.st_nlink), (told.st_uid, told.st_gid)
        whole = [int(value // 10**9) for value in times]
        extra: dict[str, Any] = {"st_blksize": _BLOCK, "st_blocks": -(-size // 512), "st_rdev": 0}
        for name, value in zip(("st_atime", "st_mtime", "st_ctime"), times, strict=True):
            extra[name] = value / 10**9
            extra[f"{name}_ns"] = int(value)
        return os.stat_result((mode[0], told.st_ino or 0, DEVICE, mode[1], *owner, size, *whole), extra)

    def mount(self, image: Image) -> None:
        """Make the tree hold exactly `image`, in new nodes."""
        with self.lock:
            root = self.system.root_dir
            root.entries.clear()
            made = {"": root}
            for path in image.dirs:
                above, _, name = path.rpartition("/")
                made[path] = node = self._directory(name, 0o755, filesystem=self.system)
                made[above].add_entry(node)
            first: dict[int, Any] = {}
            for file in image.files:
                above, _, name = file.path.rpartition("/")
                if file.ino in first:
                    node = first[file.ino]
                    node.name = name
                else:
                    node = first[file.ino] = self._file(name, stat.S_IFREG | 0o644, filesystem=self.system)
                    node.set_contents(file.data)
                made[above].add_entry(node)
            for path, target in image.links:
                above, _, name = path.rpartition("/")
                made[above].add_entry(self.new_link(name, target))

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Put the present tree out of sight, an empty one in its place, and the present one back at the end."""
        entries = self.system.root_dir.entries
        hidden = dict(entries)
        entries.clear()
        try:
            yield
        finally:
            entries.clear()
            entries.update(hidden)


def _blank(cwd: str) -> Image:
    """The tree that every world starts with: the directories that a program expects to exist, and nothing in them."""
    wanted = {HOME, cwd, tempfile.gettempdir(), "/tmp", "/var/tmp"}  # noqa: S108  names in a fake tree
    with suppress(RuntimeError):
        wanted.add(str(Path.home()))
    wanted |= {f"/{name}" for name in ("etc", "home", "opt", "root", "srv", "usr", "var", "var/lib")}
    paths = {str(part)[1:] for path in wanted for part in (Path(path), *Path(path).parents) if path.startswith("/")}
    return Image(dirs=tuple(sorted(paths - {""})))
