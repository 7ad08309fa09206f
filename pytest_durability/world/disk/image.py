"""The content of a directory tree at one moment, as a value: what a crash left, what an open changed.

Rule: an image says what a program can read (names, bytes, directories, link targets), not modes, owners or times.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class File:
    """One name of a regular file; names with the same `ino` are hard links of each other."""

    path: str
    data: bytes
    ino: int


@dataclass(frozen=True, slots=True)
class Image:
    """Files, directories and symbolic links below a root; paths are relative, with `/`, and sorted."""

    files: tuple[File, ...] = ()
    dirs: tuple[str, ...] = ()
    links: tuple[tuple[str, str], ...] = ()

    def data(self) -> dict[str, bytes]:
        """Path -> content of every regular file."""
        return {file.path: file.data for file in self.files}

    def key(self) -> str:
        """Digest of everything a program can read; equal images have equal keys."""
        state = hashlib.blake2b(digest_size=16)
        for file in self.files:
            state.update(b"f%d:%s%d:" % (len(file.path), os.fsencode(file.path), len(file.data)))
            state.update(file.data)
        for name in self.dirs:
            state.update(b"d%d:%s" % (len(name), os.fsencode(name)))
        for name, target in self.links:
            state.update(b"l%d:%s%d:%s" % (len(name), os.fsencode(name), len(target), os.fsencode(target)))
        return state.hexdigest()


EMPTY = Image()


def number(image: Image) -> dict[str, int]:
    """Path -> inode number of everything in `image`: the one numbering that all disk logs share.

    The root directory is 0 (and not in the result). All paths, whatever they are, count up from 1 in walk order: a directory
    before what is in it, its entries sorted by name. Further hard links of a file have its number.
    """
    inos = {file.path: file.ino for file in image.files}
    numbers: dict[str, int] = {}
    shared: dict[int, int] = {}
    following = 1
    for path in sorted([*inos, *image.dirs, *(path for path, _target in image.links)], key=lambda path: path.split("/")):
        known = shared.get(inos[path]) if path in inos else None
        if known is None:
            known = following
            following += 1
            if path in inos:
                shared[inos[path]] = known
        numbers[path] = known
    return numbers


def snapshot(root: str | os.PathLike[str]) -> Image:
    """Read the tree below `root`. Sockets, devices and pipes are left out."""
    files: list[File] = []
    dirs: list[str] = []
    links: list[tuple[str, str]] = []
    base = os.fspath(root)
    for path, entry in _walk(base, ""):
        if entry.is_symlink():
            links.append((path, os.readlink(entry.path)))
        elif entry.is_dir(follow_symlinks=False):
            dirs.append(path)
        elif entry.is_file(follow_symlinks=False):
            fd = os.open(entry.path, os.O_RDONLY)
            try:
                info = os.fstat(fd)
                files.append(File(path, _read(fd, info.st_size), info.st_ino))
            finally:
                os.close(fd)
    files.sort(key=lambda file: file.path)
    return Image(tuple(files), tuple(sorted(dirs)), tuple(sorted(links)))


def _walk(base: str, prefix: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
    with os.scandir(os.path.join(base, prefix) if prefix else base) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        path = f"{prefix}/{entry.name}" if prefix else entry.name
        yield path, entry
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(base, path)


def _read(fd: int, size: int) -> bytes:
    data = os.read(fd, size + 1)
    if len(data) == size:
        return data
    chunks = [data]
    while chunk := os.read(fd, 1 << 20):
        chunks.append(chunk)
    return b"".join(chunks)
