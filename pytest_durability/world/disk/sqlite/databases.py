"""Whether a database is whole, and what it says, only SQLite can tell: its bytes alone mean nothing without its log.

Rule: a database is what `PRAGMA integrity_check` and a dump of its tables say after SQLite itself has recovered it, with its log
and its journal beside it; `-shm` is never needed, since SQLite makes it anew.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from typing import TypeVar

from pytest_durability.world.disk.difference import HEADER
from pytest_durability.world.disk.image import Image

Told = TypeVar("Told")

BESIDE = ("-wal", "-journal")
"""Files that belong to the database of the same name without this ending, and without which it may be an older one, or none."""
_SHOWN = 3
REMEMBERED = 512
"""Most states of a story hold a database that others hold too: so many that were found whole, and so many dumps, are kept."""

_whole: dict[bytes, None] = {}
_dumps: dict[bytes, bytes] = {}


def databases(*images: Image) -> tuple[str, ...]:
    """The paths that are a database in one of these images: by their header, or by a log or journal beside them."""
    found: set[str] = set()
    for image in images:
        held = image.data()
        for path, data in held.items():
            if data.startswith(HEADER):
                found.add(path)
            for tail in BESIDE:
                if path.endswith(tail) and path.removesuffix(tail) in held:
                    found.add(path.removesuffix(tail))
    return tuple(sorted(found))


def damage(root: str | os.PathLike[str], paths: tuple[str, ...]) -> tuple[str, ...]:
    """What is wrong with the databases `paths` below `root`, as `path: what SQLite says`; empty if all are whole.

    SQLite recovers them first, so that files below `root` may change; a database that is not there is not damaged.
    """
    found = []
    for path in paths:
        full = os.path.join(root, path)
        if os.path.exists(full):
            said = _integrity(full)
            if said != ["ok"]:
                found.append(f"{path}: {'; '.join(said)}")
    return tuple(found)


def _integrity(full: str) -> list[str]:
    try:
        with closing(sqlite3.connect(full, timeout=0)) as connection:
            return [str(row[0]) for row in connection.execute(f"pragma integrity_check({_SHOWN})")]
    except sqlite3.Error as error:
        return [f"{type(error).__name__}: {error}"]


def damage_of(image: Image, paths: tuple[str, ...] = ()) -> tuple[str, ...]:
    """As `damage`, for an image that need not be mounted; `paths`: databases that it should hold besides those that are seen."""
    held = image.data()
    found = []
    for path in sorted({*databases(image), *paths}):
        if path in held:
            found += [f"{path}: {said}" for said in _damage(held, path)]
    return tuple(found)


def _damage(held: Mapping[str, bytes], path: str) -> list[str]:
    key = _key(held, path)
    if key in _whole:
        return []
    with _laid_out(held, path) as full:
        found = [said.partition(": ")[2] for said in damage(os.path.dirname(full), (os.path.basename(full),))]
    if not found:
        _remember(_whole, key, None)
    return found


def logical(held: Mapping[str, bytes], path: str) -> bytes | None:
    """Everything that the database `path` says, as SQL text; None if SQLite cannot say it.

    `held`: path -> content, of the database and of what is beside it.
    """
    key = _key(held, path)
    told = _dumps.get(key)
    if told is None:
        with _laid_out(held, path) as full:
            told = _dump(full)
        if told is not None:
            _remember(_dumps, key, told)
    return told


def _dump(full: str) -> bytes | None:
    with suppress(sqlite3.Error), closing(sqlite3.connect(full, timeout=0)) as connection:
        connection.text_factory = lambda data: data.decode("utf-8", "surrogateescape")
        marks = [connection.execute(f"pragma {name}").fetchone()[0] for name in ("user_version", "application_id")]
        return "\n".join([*map(str, marks), *connection.iterdump()]).encode("utf-8", "surrogateescape")
    return None


def _key(held: Mapping[str, bytes], path: str) -> bytes:
    """What SQLite's answer depends on: the bytes of the database and of what is beside it, each of them there or not."""
    parts = [held.get(path + tail) for tail in ("", *BESIDE)]
    state = hashlib.blake2b(repr([None if part is None else len(part) for part in parts]).encode(), digest_size=16)
    for part in parts:
        state.update(part or b"")
    return state.digest()


def _remember(memory: dict[bytes, Told], key: bytes, told: Told) -> None:
    if len(memory) >= REMEMBERED:
        memory.clear()
    memory[key] = told


def contents(image: Image) -> dict[str, bytes]:
    """Path -> what a program can find in that file: its bytes, or for a database (and what is beside it) its dump.

    Bytes of a transaction that was taken back, or in pages that are free, are in the file and not in the database.
    """
    held = image.data()
    own = databases(image)
    beside = {path + tail for path in own for tail in (*BESIDE, "-shm")}
    told = {path: logical(held, path) for path in own if path in held}
    return {path: told.get(path) or data for path, data in held.items() if path not in beside}


@contextmanager
def _laid_out(held: Mapping[str, bytes], path: str) -> Iterator[str]:
    """A copy of a database and what is beside it, in a directory that nobody records."""
    memory = "/dev/shm" if sys.platform == "linux" and os.access("/dev/shm", os.W_OK) else None  # noqa: S108  of our own below
    folder = os.path.join(memory or tempfile.gettempdir(), f"durability-{os.getpid():08d}-sqlite")
    os.makedirs(folder, mode=0o700, exist_ok=True)
    full = os.path.join(folder, "copy.db")
    try:
        for tail in ("", *BESIDE):
            if path + tail in held:
                with open(full + tail, "wb") as file:
                    file.write(held[path + tail])
        yield full
    finally:
        for tail in ("", *BESIDE, "-shm"):
            with suppress(FileNotFoundError):
                os.unlink(full + tail)
        os.rmdir(folder)
