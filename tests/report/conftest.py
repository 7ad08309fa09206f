"""Golden reports: the exact text is kept under tests/output, so that a change of it is seen and decided."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

OUTPUT = Path(__file__).parent.parent / "output"


@pytest.fixture
def golden():
    """Compare a text with tests/output/NAME.txt; with WRITE_GOLDEN=1 in the environment, write that file instead."""

    def compare(name: str, text: str) -> None:
        path = OUTPUT / f"{name}.txt"
        if os.environ.get("WRITE_GOLDEN"):
            path.write_text(text + "\n", "ascii", newline="\n")
        assert text + "\n" == path.read_bytes().decode("ascii"), f"if the change is meant, write {path.name} with WRITE_GOLDEN=1"

    return compare
