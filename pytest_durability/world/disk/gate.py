"""Faults that strike at the moment of an operation enter here: the recorder asks the gate before it changes anything.

Rule: a gate decides and the recorder carries out, so that what was refused, shortened or marked is in the history too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pytest_durability.world.disk.recorder import Recorder


@dataclass(frozen=True, slots=True)
class Fail:
    """Do nothing and raise `OSError` with this errno name (`"EIO"`, `"ENOSPC"`, ...)."""

    error: str


@dataclass(frozen=True, slots=True)
class Short:
    """Write only the first `keep` bytes and return that number; means nothing for an operation without bytes."""

    keep: int


@dataclass(frozen=True, slots=True)
class Mark:
    """Do it, and give the op this note."""

    note: str


Decision = Fail | Short | Mark


class Gate(Protocol):
    """Asked before each mutating operation below the root, with the recorder's lock held.

    A gate that has an attribute `reads` (kinds of `faults.READS`) is asked about those too; of its decisions only `Fail`
    means something there.
    """

    def before(self, kind: str, path: str, size: int, recorder: Recorder) -> Decision | None:
        """Decide about one operation; None lets it pass.

        `kind` is the kind that the op will have in the history, `path` the relative path that will be its target,
        `size` the number of bytes to be written (or the new length of a truncate, else 0). May raise, or end the process.
        """
