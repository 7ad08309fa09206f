"""Stores name files and messages with random ids; the same run must give the same ids, or nothing can be replayed.

Rule: while installed, `os.urandom` (and with it `uuid4` and `secrets`), the functions of `random`, and temporary names
draw from one seeded source, which each life of a store starts from a seed of its own: two lives never share ids unless
the harness asks them to. Everything is put back on exit. (Instances of `random.Random` made without a seed are seeded
by C code from the system and stay random.)
"""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

_SALT = 0x5EED


class _Names:
    """Temporary names that count up; digits, so that the role of such a file folds to `*`."""

    def __init__(self, start: int) -> None:
        self._next = start

    def __iter__(self) -> _Names:
        return self

    def __next__(self) -> str:
        self._next += 1
        return f"{self._next:08d}"


class Entropy:
    """The one source of chance of a world; `reseed(life)` starts the stream of one life of a store."""

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._source = random.Random(seed)

    def reseed(self, life: int) -> None:
        """Start the stream that belongs to life number `life` (any non-negative number)."""
        state = (self._seed * 1_000_003 + life) * 2 + _SALT
        self._source.seed(state)
        random.seed(state + 1)
        tempfile._name_sequence = _Names((life % 10_000) * 10_000)  # type: ignore[attr-defined]  # noqa: SLF001

    def urandom(self, size: int, /) -> bytes:
        """Stands in for `os.urandom`."""
        return self._source.randbytes(size)

    @contextmanager
    def installed(self) -> Iterator[Entropy]:
        """Take the place of the system's sources of chance until the block ends."""
        real, state, names = os.urandom, random.getstate(), tempfile._name_sequence  # type: ignore[attr-defined]  # noqa: SLF001
        alias = random._urandom  # type: ignore[attr-defined]  # noqa: SLF001
        try:
            os.urandom = self.urandom
            random._urandom = self.urandom  # type: ignore[attr-defined]  # noqa: SLF001
            self.reseed(0)
            yield self
        finally:
            os.urandom = real
            random._urandom = alias  # type: ignore[attr-defined]  # noqa: SLF001
            random.setstate(state)
            tempfile._name_sequence = names  # type: ignore[attr-defined]  # noqa: SLF001
