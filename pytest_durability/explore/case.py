"""A failure that was found once must be found again tomorrow and on another machine: it is saved as a small text file.

Rule: a case is data. Reading one imports nothing and runs nothing, whatever the file holds; what does not fit exactly is
refused with a `CaseError`. The same failing run has the same id everywhere, because the id is a digest of the run.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import tempfile
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from pytest_durability.errors import CaseError, UsageError
from pytest_durability.faults import Schedule
from pytest_durability.verdict import ANOMALIES
from pytest_durability.workload import Workload

VERSION = 1
"""Version of the file format; a file of another version is refused."""

DISKS = ("files", "fake")
"""`files`: a real directory, of which `world.root` tells. `fake`: a file system of its own, from `/` on, that pyfakefs holds."""

LIMIT = 16 * 1024 * 1024
"""Largest file, in bytes, that is read."""

_ID = re.compile(r"[0-9a-f]{10}")
_PREFIX = re.compile(r"[0-9a-f]{4,10}")
_DEPTH = 32
_SHOWN = 60
_SEEDS = 1 << 64
_BROKEN = (UsageError, ValueError, TypeError, AttributeError, OverflowError, RecursionError, MemoryError)


@dataclass(frozen=True, slots=True)
class Case:
    """One failing run, complete: adapter, workload and schedule define it, the rest says where it was seen.

    `adapter` is the import reference `module:Qualname`; `test` the pytest node id or ""; `workload` and `schedule` are
    the texts that `Workload.parse` and `Schedule.parse` read; `anomaly` the name of an anomaly type; `models` the names
    of the persistence models that were asked for; `disk` the kind of disk it ran on; `extra` plain JSON for the one who saved it.
    """

    adapter: str
    workload: str
    schedule: str
    test: str = ""
    anomaly: str = ""
    summary: str = ""
    seed: int = 0
    models: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False)
    version: int = VERSION
    disk: str = "files"

    @property
    def id(self) -> str:
        """First 10 hex digits of a digest of what defines the run: adapter, workload, schedule, and the disk if it is not the usual one."""
        parts = [self.adapter, self.workload, self.schedule, *_unusual(self.disk)]
        content = json.dumps(parts, ensure_ascii=True)
        return hashlib.blake2b(content.encode()).hexdigest()[:10]


def dumps(case: Case) -> str:
    """The bytes of a case file as text: deterministic, one key a line, sorted."""
    content = {entry.name: getattr(case, entry.name) for entry in fields(case)}
    if not _unusual(case.disk):
        del content["disk"]
    content |= {"id": case.id, "models": list(case.models), "extra": dict(case.extra)}
    return json.dumps(content, ensure_ascii=True, allow_nan=False, indent=2, sort_keys=True) + "\n"


def _unusual(disk: str) -> tuple[str, ...]:
    """The disk if it has to be told: cases of the usual one are written as they were before there was another."""
    return () if disk == DISKS[0] else (disk,)


def save(case: Case, directory: str | os.PathLike[str]) -> Path:
    """Write a case to `directory/<id>.json` and return that path; a reader never sees half of it.

    Raises:
        CaseError: the case holds what could not be read back.
    """
    try:
        data = dumps(case).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise CaseError(f"case {case.id} cannot be written: {error}", fix="'extra' takes plain JSON only") from None
    # What cannot be read back must be noticed by the one who saves, not by the one who replays it a week later.
    if loads(data, f"case {case.id}") != case:
        raise CaseError(
            f"case {case.id} would come back changed", fix="'extra' takes plain JSON only: text keys, lists, no tuples"
        )
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{case.id}.json"
    fd, temporary = tempfile.mkstemp(dir=folder, prefix=f".{case.id}-", suffix=".tmp")
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise
    return target


def load(what: str, directory: str | os.PathLike[str]) -> Case:
    """Read a case by its id, a unique beginning of it (4 digits or more), or the path of its file.

    Raises:
        CaseError: there is no such case, or the file is not exactly a case of this version.
    """
    path = _find(what, Path(directory)) if _PREFIX.fullmatch(what) else Path(what)
    return loads(_read(path), str(path))


def saved(directory: str | os.PathLike[str], test: str) -> list[Case]:
    """The cases that were saved for one test, ordered by id.

    Files that are no readable case of this version are passed over: after an upgrade old ones must not fail new tests.
    """
    found = []
    for path in _files(Path(directory)):
        try:
            case = load(str(path), directory)
        except CaseError:
            continue
        if case.test == test:
            found.append(case)
    return found


def _files(directory: Path) -> list[Path]:
    if not directory.is_dir():
        return []
    return sorted(path for path in directory.iterdir() if path.suffix == ".json" and _ID.fullmatch(path.stem))


def _find(prefix: str, directory: Path) -> Path:
    known = _files(directory)
    found = [path for path in known if path.stem.startswith(prefix)]
    if len(found) == 1:
        return found[0]
    if found:
        raise CaseError(
            f"{prefix!r} is the beginning of {len(found)} cases: {', '.join(path.stem for path in found[:5])}",
            why="one run can replay one case only",
            fix="give more digits",
        )
    raise CaseError(
        f"there is no case {prefix!r} in {directory}",
        why=f"{len(known)} cases are saved there" + (f", for instance {known[0].stem}" if known else ""),
        fix="check the id, name the directory with --durability-dir, or give the path of the case file",
    )


def _read(path: Path) -> bytes:
    try:
        # Anything but a regular file is refused before it is opened: a pipe would block, a device would never end.
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise CaseError(f"{str(path)!r} is not a regular file", fix="give the id or the file of a saved case")
        with open(path, "rb") as file:
            data = file.read(LIMIT + 1)
    except (OSError, ValueError) as error:
        raise CaseError(
            f"cannot read the case {str(path)!r}: {error}",
            why="an id has 4 to 10 hex digits, everything else is taken as the path of a file",
            fix="check the id or the path",
        ) from None
    if len(data) > LIMIT:
        raise CaseError(f"{str(path)!r} is larger than {LIMIT} bytes", why="no saved case is that large")
    return data


def loads(data: bytes, origin: str) -> Case:
    """Read a case from bytes; `origin` names them in messages.

    Raises:
        CaseError: the bytes are not exactly a case of this version.
    """

    def refuse(what: str, fix: str = "run the test again to save the case anew") -> CaseError:
        return CaseError(f"{origin}: {what}", why="a case is replayed exactly or not at all", fix=fix)

    raw = _json(data, refuse)
    if raw.get("version") != VERSION or isinstance(raw["version"], bool):
        raise refuse(f"format version {_short(raw.get('version'))}, this release reads version {VERSION}")
    raw.setdefault("disk", DISKS[0])
    expected = {entry.name for entry in fields(Case)} | {"id"}
    if odd := sorted(expected.symmetric_difference(raw)):
        raise refuse(f"missing or unknown fields: {', '.join(_short(name) for name in odd[:5])}")
    for name, valid in _TYPES.items():
        if not valid(raw[name]):
            raise refuse(f"field {name!r} cannot be {_short(raw[name])}")
    identity = raw.pop("id")
    case = Case(**{**raw, "models": tuple(raw["models"])})
    if identity != case.id:
        raise refuse(f"it calls itself {_short(identity)} but its content has the id {case.id!r}, so it was changed by hand")
    _check_texts(case, refuse)
    return case


def _json(data: bytes, refuse: Callable[[str], CaseError]) -> dict[str, Any]:
    try:
        raw = json.loads(data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError, MemoryError) as error:
        raise refuse(f"not JSON, or cut short ({type(error).__name__}: {str(error)[:120]})") from None
    if not isinstance(raw, dict):
        raise refuse(f"a case is an object, this is {_short(raw)}")
    return raw


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands there twice")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number of JSON")


def _check_texts(case: Case, refuse: Callable[[str], CaseError]) -> None:
    for name, kind in (("workload", Workload), ("schedule", Schedule)):
        text = getattr(case, name)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Python warns about odd literals of a text that is about to be refused
                parsed = kind.parse(text)
                again = str(parsed)
        except _BROKEN as error:
            raise refuse(f"its {name} cannot be read ({str(error).splitlines()[0][:160] if str(error) else error!r})") from None
        if again != text:
            raise refuse(f"its {name} is not in the form that is written, first at {_first_difference(text, again)}")
        if isinstance(parsed, Workload):
            _check_says(parsed, refuse)


def _check_says(workload: Workload, refuse: Callable[[str], CaseError]) -> None:
    try:
        plain = all(isinstance(part, str) for say in workload.says() for part in (say.role, say.text))
    except (TypeError, AttributeError):
        plain = False
    if not plain:
        raise refuse("its workload says something that is not text")


def _first_difference(text: str, again: str) -> str:
    at = next((i for i, (a, b) in enumerate(zip(text, again, strict=False)) if a != b), min(len(text), len(again)))
    return ascii(text[at : at + 40])


def _text(value: object) -> bool:
    # A lone surrogate is refused: it can be neither printed nor written as UTF-8.
    return isinstance(value, str) and not any("\ud800" <= char <= "\udfff" for char in value)


def _number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _SEEDS


def _plain(value: object, depth: int = _DEPTH) -> bool:
    if isinstance(value, dict):
        return depth > 0 and all(_text(key) and _plain(item, depth - 1) for key, item in value.items())
    if isinstance(value, list):
        return depth > 0 and all(_plain(item, depth - 1) for item in value)
    # A float such as 1e999 is valid JSON and becomes infinity, which cannot be written again.
    return (
        value is None
        or isinstance(value, (bool, int))
        or _text(value)
        or (isinstance(value, float) and abs(value) < float("inf"))
    )


_TYPES: dict[str, Callable[[object], bool]] = {
    "id": lambda value: isinstance(value, str) and _ID.fullmatch(value) is not None,
    "adapter": _text,
    "workload": _text,
    "schedule": _text,
    "test": _text,
    "anomaly": lambda value: isinstance(value, str) and (value == "" or value in ANOMALIES),
    "summary": _text,
    "seed": _number,
    "disk": lambda value: isinstance(value, str) and value in DISKS,
    "models": lambda value: isinstance(value, list) and all(_text(item) for item in value),
    "extra": lambda value: isinstance(value, dict) and _plain(value),
}


def _short(value: object) -> str:
    try:
        text = ascii(value)
    except (ValueError, RecursionError):
        text = type(value).__name__
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
