"""What a crash may take depends on the file system; each named model here says which losses are legal, and why.

Rule: a model is data. A loss that no rule of the model allows is never made, because a false alarm costs more than a
missed bug. Sources: ext4(5) `auto_da_alloc`, `delalloc` and `data=ordered`; fsync(2), rename(2) of POSIX.1-2017;
Pillai et al., "All File Systems Are Not Created Equal", OSDI 2014.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Any

from pytest_durability.adapter import Promise
from pytest_durability.errors import UsageError

MOUNT_VALUES = {
    "ack_loss": ("never", "until_close", "until_fsync"),
    "fsync": ("put", "no-op"),
    "order": ("fifo", "per_key", "any"),
}
"""The parameters of a mount that are words, with their values; `faults` and `late` are numbers."""


@dataclass(frozen=True, slots=True)
class Mount:
    """How a mount that PUTs whole files treats them.

    `ack_loss`: what a crash may take of what was acknowledged: "never" (each write is sent before it returns),
    "until_close" (a change that was not closed yet) or "until_fsync" (whatever no fsync waited for). `fsync`: "put" (sends
    the file) or "no-op". `order`: of what is under way when the crash comes, "fifo" (it arrives in program order), "per_key"
    (in program order for each path, the paths independently) or "any" (of two PUTs of one path between two syncs, the earlier
    one may be stored last). Where a close waits for its PUT nothing is under way, so the last two need "until_fsync". `faults`: how many PUTs of one state may misbehave (get lost, or come again late). `late`: a PUT
    that comes again is at most so many PUTs of its file old; of a deleted file, at most so many objects were sent since.

    Raises:
        UsageError: a value that is not one of the valid ones.
    """

    ack_loss: str = "until_close"
    fsync: str = "put"
    order: str = "fifo"
    faults: int = 1
    late: int = 4

    def __post_init__(self) -> None:
        for name, valid in MOUNT_VALUES.items():
            if getattr(self, name) not in valid:
                raise UsageError(f"Mount({name}={getattr(self, name)!r})", fix=f"choose from: {', '.join(map(repr, valid))}")
        if self.faults < 0 or self.late < 0:
            raise UsageError(f"Mount(faults={self.faults}, late={self.late})", fix="give numbers from 0 on")
        if self.order != "fifo" and self.ack_loss != "until_fsync":
            raise UsageError(
                f"Mount(order={self.order!r}, ack_loss={self.ack_loss!r})",
                why="a close that waits until its PUT is stored leaves none under way that another could overtake",
                fix="use ack_loss='until_fsync' with it",
            )


@dataclass(frozen=True, slots=True)
class PersistenceModel:
    """The rules by which unsynced operations may be lost.

    `names`: "live" (no name is ever lost), "prefix" (namespace operations persist in order, as one journal) or
    "entries" (each directory entry persists by itself). `data`: "live" or "pages" (each page and each file size
    persists by itself, as some version it had). Both are "objects" on a `mount` that knows whole files only; the rest is
    for the other models. `sync_commits_names`: fsync of a file makes all earlier namespace
    operations durable. `size_needs_pages`: a file size is never durable before the pages it covers (no stale data).
    `replace_flushes`: a rename over an existing name, and a close after truncation to zero, carry the data with them.
    """

    name: str
    summary: str
    strength: int
    names: str = "live"
    data: str = "live"
    sync_commits_names: bool = False
    size_needs_pages: bool = False
    replace_flushes: bool = False
    power: bool = True
    mount: Mount | None = None

    def __str__(self) -> str:
        return self.name


PROCESS_KILL = PersistenceModel(
    "process-kill",
    "the process dies: what reached the kernel survives, what sat in user-space buffers is lost",
    0,
    power=False,
)
STRICT = PersistenceModel(
    "strict",
    "power fails on a disk where every operation is durable when it returns, in order (sync mounts); only the moment varies",
    1,
)
EXT4_DELALLOC = PersistenceModel(
    "ext4-delalloc",
    "power fails on ext4 with default options: one metadata journal, delayed data, auto_da_alloc",
    2,
    names="prefix",
    data="pages",
    sync_commits_names=True,
    size_needs_pages=True,
    replace_flushes=True,
)
EXT4_NOAUTO = PersistenceModel(
    "ext4-noauto-da-alloc",
    "power fails on ext4 mounted with noauto_da_alloc: a replace does not carry the data with it",
    3,
    names="prefix",
    data="pages",
    sync_commits_names=True,
    size_needs_pages=True,
)
POSIX = PersistenceModel(
    "posix",
    "power fails on a file system that does only what POSIX demands: names, sizes and pages persist independently",
    4,
    names="entries",
    data="pages",
)

NETPUT = PersistenceModel(
    "netput",
    "the machine ends with a mount that PUTs whole files when they are closed, and one PUT of it was lost or came again late",
    5,
    names="objects",
    data="objects",
    mount=Mount(),
)

MODELS: dict[str, PersistenceModel] = {
    model.name: model for model in (PROCESS_KILL, STRICT, EXT4_DELALLOC, EXT4_NOAUTO, POSIX, NETPUT)
}
"""Every model by its name, from weak to strong: what holds under a later one holds under the earlier ones.

`netput` is the exception: it loses what no local file system loses, and keeps some of what they lose.
"""

DEFAULT = ("process-kill", "strict", "ext4-delalloc", "posix", "netput")
"""The models that are explored when nothing else is asked for."""

LOCAL_POWER = ("strict", "ext4-delalloc", "posix")
"""What "power-loss" claims when a promise names no file systems."""


def model(name: str) -> PersistenceModel:
    """Look a model up by its name. `netput` takes parameters, see `Mount`: `netput(ack_loss=until_fsync,faults=2)`.

    An `order` other than fifo implies `ack_loss=until_fsync`. Whatever order parameters are given in, the model has one name.

    Raises:
        UsageError: there is no such model, or no such parameter.
    """
    found = MODELS.get(name)
    parameters = _CALL.fullmatch(name) if found is None and isinstance(name, str) else None
    if parameters is not None:
        return _mounted(name, parameters[1])
    if found is None:
        raise UsageError(
            f"{name!r} is not a persistence model",
            why="a verdict holds under a named model only",
            fix=f"choose from: {', '.join(MODELS)}",
        )
    return found


_COMMA = re.compile(r",(?![^()]*\))")
_CALL = re.compile(r"netput\(([^()]*)\)")


def _mounted(name: str, text: str) -> PersistenceModel:
    """`netput` with other parameters."""
    given: dict[str, Any] = {}
    for part in text.split(","):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        valid = MOUNT_VALUES.get(key, ())
        number = key in ("faults", "late") and value.isascii() and value.isdigit()
        if not equals or key in given or not (number or value in valid):
            choices = [f"{key}={'/'.join(values)}" for key, values in MOUNT_VALUES.items()]
            raise UsageError(
                f"{name!r} is not a persistence model: {part.strip()!r} is no parameter of netput",
                fix=f"choose from: {', '.join(choices)}, faults=N, late=N, each once",
            )
        given[key] = int(value) if number else value
    if given.get("order", "fifo") != "fifo":
        given.setdefault("ack_loss", "until_fsync")
    mount = Mount(**given)
    told = [f"{item.name}={getattr(mount, item.name)}" for item in fields(Mount) if getattr(mount, item.name) != item.default]
    if not told:
        return NETPUT
    shown = f"netput({','.join(told)})"
    return replace(NETPUT, name=shown, summary=f"{NETPUT.summary}; here {' and '.join(told)}", mount=mount)


def resolve(names: str | Iterable[str | PersistenceModel] | None) -> tuple[PersistenceModel, ...]:
    """Models from names (a list, or one text with commas), weakest first; None gives the default ones.

    Raises:
        UsageError: an unknown name, or no name at all.
    """
    if names is None:
        names = DEFAULT
    if isinstance(names, str):
        names = [part.strip() for part in _COMMA.split(names) if part.strip()]
    found = {model(str(name)).name: model(str(name)) for name in names}
    if not found:
        raise UsageError("no persistence model was named", fix=f"choose from: {', '.join(MODELS)}")
    return tuple(sorted(found.values(), key=lambda item: item.strength))


def fatal(promise: Promise, named: Iterable[str] | None = None) -> frozenset[str]:
    """The names of the models under which a finding fails the test.

    They follow from the promise; models that were named explicitly (`models=`) are fatal too. `netput` loses writes that
    were acknowledged by the system, so it is a matter of `Promise.lost_writes`.
    """
    names: set[str] = set(named or ())
    if promise.acknowledged in ("process-kill", "power-loss"):
        names.add("process-kill")
    if promise.acknowledged == "power-loss":
        names.update(LOCAL_POWER if promise.filesystems is None else (model(name).name for name in promise.filesystems))
    if promise.lost_writes == "consistent":
        names.add(NETPUT.name)
    return frozenset(names)
