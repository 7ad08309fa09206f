"""Everything that makes, moves or removes a name below the root is carried out and recorded here, `open` included.

Rule: what existed before is asked of the mirror, under the lock, so that "was it created?" has one answer. What crosses
the border of the root is recorded as what it is for the root: something that appears, or something that is gone.
"""

# ruff: noqa: D102  the operations are those of os, documented there

from __future__ import annotations

import io
import os
import stat
import sys
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pytest_durability.errors import RecorderError
from pytest_durability.world.disk import effects as fx
from pytest_durability.world.disk import rawfile, real
from pytest_durability.world.disk.descriptors import Descriptor
from pytest_durability.world.disk.rawfile import PARSED, RecordedFile, acceptable, layered, parse

if TYPE_CHECKING:
    from pytest_durability.world.disk.recorder import Recorder

_READING = frozenset(("r", "rb", "rt", "tr", "br"))
_TMPFILE = getattr(os, "O_TMPFILE", 0)
_FLAGS = {
    "r": os.O_RDONLY,
    "w": os.O_WRONLY,
    "a": os.O_WRONLY | os.O_APPEND,
    "x": os.O_WRONLY,
    "r+": os.O_RDWR,
    "w+": os.O_RDWR,
    "a+": os.O_RDWR | os.O_APPEND,
    "x+": os.O_RDWR,
}


class Names:
    """The operations on names, for one recorder."""

    __slots__ = ("_descriptors", "_paths", "_recorder", "_tree")

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._tree = recorder.tree
        self._paths = recorder.paths
        self._descriptors = recorder.descriptors

    def open(
        self,
        file: Any,
        mode: Any,
        buffering: Any,
        encoding: Any,
        errors: Any,
        newline: Any,
        closefd: Any,
        opener: Any,
    ) -> Any:
        """`open`, for any file: what is not below the root, or cannot be opened, is left to the real one."""
        number = isinstance(file, int)
        if not number and opener is None and mode in _READING and (self._recorder.gate is None or not self._struck()):
            found = real.io_open(file, mode, buffering, encoding, errors, newline, closefd)
            if self._paths.starts(file):
                self._recorder.holds(found)
            return found
        parsed = PARSED.get(mode) or parse(mode)
        plain = encoding is None and errors is None and newline is None and buffering == -1
        if parsed is None or not (plain or acceptable(parsed[1], buffering, encoding, errors, newline)):
            return real.io_open(file, mode, buffering, encoding, errors, newline, closefd, opener)
        if number or opener is not None:
            raw = self._adopt(file, parsed[0], closefd, opener)
        else:
            raw = self._open_path(file, parsed[0], closefd)
        if raw is None:
            return real.io_open(file, mode, buffering, encoding, errors, newline, closefd, opener)
        if sys.flags.warn_default_encoding and not parsed[1]:
            encoding = io.text_encoding(encoding, 3)
        return layered(raw, mode, parsed[1], buffering, encoding, errors, newline)

    def _struck(self) -> bool:
        """Whether an open or a read of a file can fail by a fault, so that it must be seen."""
        return self._recorder.wants("open") or self._recorder.wants("read")

    def _raw(self) -> Callable[..., RecordedFile]:
        return rawfile.READING if self._recorder.wants("read") else rawfile.PLAIN

    def _adopt(self, file: Any, kind: str, closefd: Any, opener: Any) -> RecordedFile | None:
        """A raw file over a descriptor that exists, or that an opener makes (which is recorded if it uses `os.open`)."""
        if opener is None and self._descriptors.ino_of(file) is None:
            return None
        with self._recorder.lock:
            raw = self._raw()(file, kind, closefd, opener)
            fd = raw.fileno()
            ino = self._descriptors.ino_of(fd)
            if ino is not None:
                self._attach(raw, fd, ino)
            return raw

    def _attach(self, raw: RecordedFile, fd: int, ino: int) -> None:
        raw.contents = self._recorder.contents
        raw.descriptor = kept = self._descriptors.describe(fd, ino)
        if raw.closefd:
            self._descriptors.open.setdefault(fd, kept)
            self._descriptors.owned[fd] = weakref.ref(raw)
        else:
            self._recorder.holds(raw)

    def _open_path(self, file: Any, kind: str, closefd: Any) -> RecordedFile | None:
        relative = self._paths.locate(file, None, kind[0] != "x")
        if not relative:
            return None
        name = os.fspath(file)
        recorder = self._recorder
        with recorder.lock:
            ino = self._tree.lookup(relative)
            change = "" if ino is not None and kind[0] in "ra" else _change(kind, ino)
            note = ""
            if recorder.gate is not None:
                if change:
                    note = recorder.ask_note(change, relative, 0, name)
                elif ino is not None:
                    recorder.ask_read("open", relative, name)
            try:
                raw = (rawfile.PLAIN if recorder.gate is None else self._raw())(name, kind, closefd)
            except OSError as error:
                if change:
                    recorder.failed(change, relative, error)
                raise
            if change:
                ino = self._opened(change, relative, ino, note)
            fd = raw.fileno()
            raw.contents = recorder.contents
            raw.descriptor = self._descriptors.open[fd] = Descriptor(ino, -1, _FLAGS[kind], relative)
            self._descriptors.owned[fd] = weakref.ref(raw)
            return raw

    def _opened(self, change: str, relative: str, ino: int | None, note: str) -> int | None:
        """Record what an open did to the name or the length; returns the inode that was opened."""
        if change == "create":
            parent, name = self._place(relative)
            if parent is None:
                return None
            ino = self._tree.fresh()
            self._recorder.record_at("create", relative, fx.Create(parent, name, ino), 0, note)
        elif ino is not None:
            self._recorder.record_at("truncate", relative, fx.Truncate(ino, 0), 0, note)
        return ino

    def os_open(self, path: Any, flags: int, mode: int, dir_fd: int | None) -> int:
        """`os.open`; descriptors below the root are remembered, so that `kill` can close them."""
        exclusive = flags & os.O_CREAT and flags & os.O_EXCL
        relative = self._paths.locate(path, dir_fd, not (exclusive or flags & os.O_NOFOLLOW))
        if relative is None:
            return real.open(path, flags, mode, dir_fd=dir_fd)
        recorder = self._recorder
        with recorder.lock:
            unnamed = bool(_TMPFILE) and flags & _TMPFILE == _TMPFILE
            if unnamed or not flags & (os.O_CREAT | os.O_TRUNC):
                return self._open_what_is_there(
                    path, flags, mode, dir_fd, relative, None if unnamed else self._tree.lookup(relative)
                )
            ino = self._tree.lookup(relative)
            change = "truncate" if ino is not None and flags & os.O_TRUNC else ""
            if flags & os.O_CREAT and (ino is None or exclusive):
                change = "create"
            note = recorder.ask_note(change, relative, 0, path) if change else ""
            if not change and recorder.gate is not None:
                recorder.ask_read("open", relative, path)
            try:
                fd = real.open(path, flags, mode, dir_fd=dir_fd)
            except OSError as error:
                if change:
                    recorder.failed(change, relative, error)
                raise
            if change:
                ino = self._opened(change, relative, ino, note)
            descriptor = self._descriptors.track(fd, ino, flags, relative)
            if ino is not None:
                self._descriptors.bind(descriptor.key, ino)
            return fd

    def _open_what_is_there(self, path: Any, flags: int, mode: int, dir_fd: int | None, relative: str, ino: int | None) -> int:
        """An `os.open` that changes nothing; `ino` is what stands there, None: nothing, or a file without a name is made."""
        if ino is not None and self._recorder.gate is not None:
            self._recorder.ask_read("open", relative, path)
        fd = real.open(path, flags, mode, dir_fd=dir_fd)
        descriptor = self._descriptors.track(fd, None, flags, relative)  # of a file that is not written no close is recorded
        if ino is not None:
            self._descriptors.bind(descriptor.key, ino)
        return fd

    def _place(self, relative: str) -> tuple[int | None, str]:
        parent, _, name = relative.rpartition("/")
        return self._tree.lookup(parent), name

    def _act(self, kind: str, relative: str, act: Callable[[], Any], *names: Any) -> str:
        """Ask the gate, carry out, log a failure; the note for the op."""
        recorder = self._recorder
        note = recorder.ask_note(kind, relative, 0, *names) if recorder.gate is not None else ""
        try:
            act()
        except OSError as error:
            recorder.failed(kind, relative, error)
            raise
        return note

    def mkdir(self, path: Any, mode: int, dir_fd: int | None) -> None:
        relative = self._paths.locate(path, dir_fd)
        if not relative:
            real.mkdir(path, mode, dir_fd=dir_fd)
            return
        with self._recorder.lock:
            note = self._act("mkdir", relative, lambda: real.mkdir(path, mode, dir_fd=dir_fd), path)
            parent, name = self._place(relative)
            if parent is not None:
                self._recorder.record_at("mkdir", relative, fx.Mkdir(parent, name, self._tree.fresh()), 0, note)

    def mknod(self, path: Any, mode: int, device: int, dir_fd: int | None) -> None:
        relative = self._paths.locate(path, dir_fd) if stat.S_IFMT(mode) in (0, stat.S_IFREG) else None
        if not relative:
            real.mknod(path, mode, device, dir_fd=dir_fd)
            return
        with self._recorder.lock:
            note = self._act("create", relative, lambda: real.mknod(path, mode, device, dir_fd=dir_fd), path)
            self._opened("create", relative, None, note)

    def symlink(self, src: Any, dst: Any, target_is_directory: bool, dir_fd: int | None) -> None:
        self._paths.forget()
        relative = self._paths.locate(dst, dir_fd)
        if not relative:
            real.symlink(src, dst, target_is_directory, dir_fd=dir_fd)
            return
        with self._recorder.lock:
            note = self._act("symlink", relative, lambda: real.symlink(src, dst, dir_fd=dir_fd), src, dst)
            parent, name = self._place(relative)
            if parent is not None:
                effect = fx.Symlink(parent, name, self._tree.fresh(), os.fsdecode(src))
                self._recorder.record_at("symlink", relative, effect, 0, note)
            self._paths.forget()

    def unlink(self, call: Callable[..., None], path: Any, dir_fd: int | None) -> None:
        return self._remove("unlink", call, path, dir_fd)

    def rmdir(self, path: Any, dir_fd: int | None) -> None:
        return self._remove("rmdir", real.rmdir, path, dir_fd)

    def _remove(self, kind: str, call: Callable[..., None], path: Any, dir_fd: int | None) -> None:
        relative = self._paths.locate(path, dir_fd)
        if not relative:
            self._paths.forget()
            call(path, dir_fd=dir_fd)
            return
        with self._recorder.lock:
            ino = self._tree.lookup(relative)
            self._identify(ino, relative)
            note = self._act(kind, relative, lambda: call(path, dir_fd=dir_fd), path)
            if ino is None:
                return
            if kind == "rmdir" or self._tree.is_link(ino):
                self._paths.forget()
            parent, name = self._place(relative)
            assert parent is not None
            effect = (fx.Rmdir if kind == "rmdir" else fx.Unlink)(parent, name, ino)
            self._recorder.record_at(kind, relative, effect, 0, note)
            self._descriptors.unnamed(ino)

    def _identify(self, ino: int | None, relative: str) -> None:
        """Note the real inode of a file that is about to lose this name while descriptors are open: it may be one of them."""
        if ino is not None and self._descriptors.open and not self._descriptors.known(ino):
            with suppress(OSError):
                self._descriptors.bind(os.lstat(self._paths.prefix + relative).st_ino, ino)

    def link(self, src: Any, dst: Any, src_dir_fd: int | None, dst_dir_fd: int | None, follow_symlinks: bool) -> None:
        target = self._paths.locate(dst, dst_dir_fd)
        source = self._paths.locate(src, src_dir_fd)

        def act() -> None:
            real.link(src, dst, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd, follow_symlinks=follow_symlinks)

        if not target:
            act()
            known = self._tree.lookup(source) if source else None
            if known is not None and not self._tree.is_link(known):
                self._descriptors.bind(os.stat(self._paths.prefix + source if source else src).st_ino, known)
            return
        with self._recorder.lock:
            note = self._act("link", target, act, src, dst)
            full = self._paths.prefix + target
            if not os.path.islink(full):
                source = self._paths.locate(src, src_dir_fd, True)
            ino = self._tree.lookup(source) if source else None
            if ino is None:
                self._bring(full, target, os.path.basename(os.fsdecode(src)))
                return
            parent, name = self._place(target)
            if parent is not None:
                self._recorder.record_at("link", target, fx.Link(parent, name, ino), 0, note)
                if not self._tree.is_link(ino):
                    self._descriptors.bind(os.lstat(full).st_ino, ino)

    def rename(self, call: Callable[..., None], src: Any, dst: Any, src_dir_fd: int | None, dst_dir_fd: int | None) -> None:
        """Rename and replace; the target of the op is the new name."""
        source, target = self._paths.locate(src, src_dir_fd), self._paths.locate(dst, dst_dir_fd)

        def act() -> None:
            call(src, dst, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

        if not source and not target:
            self._paths.forget()
            act()
            return
        with self._recorder.lock:
            if source and target:
                self._move(source, target, act, src, dst)
            elif source:
                self._move_out(source, act, src, dst)
            elif target:
                full = os.path.join(path_of_dir(src_dir_fd), os.fsdecode(src))
                if os.path.isdir(full) and not os.path.islink(full):
                    self._refuse(f"the directory {full} is moved into the root as {target}")
                self._act("rename", target, act, src, dst)
                self._bring(self._paths.prefix + target, target, os.path.basename(full))

    def _move(self, source: str, target: str, act: Callable[[], None], src: Any, dst: Any) -> None:
        ino, replaced = self._tree.lookup(source), self._tree.lookup(target)
        if ino is not None and ino == replaced:
            act()  # two names of one file: POSIX says that nothing happens
            return
        self._identify(replaced, target)
        note = self._act("rename", target, act, src, dst)
        (parent, name), (new_parent, new_name) = self._place(source), self._place(target)
        if ino is None or parent is None or new_parent is None:
            self._recorder.escapes.append(f"{source} (renamed to {target}) was made unseen")
            return
        directory = self._tree.is_dir(ino)
        effect = fx.Rename(parent, name, new_parent, new_name, ino, replaced, directory)
        self._recorder.record_at("rename", target, effect, 0, note)
        if replaced is not None:
            self._descriptors.unnamed(replaced)
        if directory or self._tree.symlinks:
            self._paths.forget()

    def _move_out(self, source: str, act: Callable[[], None], src: Any, dst: Any) -> None:
        ino = self._tree.lookup(source)
        if ino is not None and self._tree.is_dir(ino):
            self._refuse(f"the directory {source} is moved out of the root to {os.fsdecode(dst)}")
        self._identify(ino, source)
        note = self._act("unlink", source, act, src, dst)
        parent, name = self._place(source)
        if ino is not None and parent is not None:
            self._recorder.record_at("unlink", source, fx.Unlink(parent, name, ino), 0, note)
            self._descriptors.unnamed(ino)
        self._paths.forget()

    def _refuse(self, what: str) -> None:
        self._recorder.escapes.append(what)
        raise RecorderError(
            what,
            why="a whole tree that crosses the border of the root has no record of how it was written",
            fix="let the store keep its temporary directories below the root",
        )

    def _bring(self, full: str, target: str, name: str) -> None:
        """Record a file that came from outside as: written under another name, synced, renamed to `target`.

        Whether its bytes were durable before is unknown. They are taken as durable, because a false alarm costs more
        than a missed bug; and the rename keeps the arrival atomic.
        """
        recorder, tree = self._recorder, self._tree
        parent, new_name = self._place(target)
        if parent is None:
            return
        taken, replaced, ino = tree.entries(parent), tree.lookup(target), tree.fresh()
        while name in taken or name == new_name or not name:
            name = f"~{name}"
        info = os.lstat(full)
        if stat.S_ISLNK(info.st_mode):
            recorder.record_at("symlink", target, fx.Symlink(parent, name, ino, os.readlink(full)), 0, "moved in")
            self._paths.forget()
        else:
            recorder.record_at("create", target, fx.Create(parent, name, ino), 0, "moved in")
            data = _content(full)
            if data:
                recorder.record_at("write", target, fx.Write(ino, 0, data), len(data), "moved in")
            recorder.record_at("fsync", target, fx.Sync(ino), 0, "moved in")
            self._descriptors.bind(info.st_ino, ino)
        recorder.record_at("rename", target, fx.Rename(parent, name, parent, new_name, ino, replaced), 0, "moved in")
        if replaced is not None:
            self._descriptors.unnamed(replaced)


def _change(kind: str, ino: int | None) -> str:
    """What opening in raw mode `kind` does to the file that is `ino` so far."""
    if kind[0] == "x" or (ino is None and kind[0] != "r"):
        return "create"
    return "truncate" if kind[0] == "w" else ""


def path_of_dir(dir_fd: int | None) -> str:
    """The path of a directory descriptor; the working directory for None."""
    return os.getcwd() if dir_fd is None else os.readlink(f"/proc/self/fd/{dir_fd}")


def _content(path: str) -> bytes:
    with real.io_open(path, "rb") as file:
        return file.read()
