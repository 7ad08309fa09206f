"""Golden reports: the exact text is kept under tests/output, so that a change of it is seen and decided."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

OUTPUT = Path(__file__).parent.parent / "output"


@pytest.fixture
def golden():
    """Compare a text with tests/output/NAME.txt; with WRITE_GOLDEN=1 in the environment, write that file instead."""
    return lambda name, text: compare(f"{name}.txt", text + "\n")


@pytest.fixture
def golden_page():
    """The same for a page, tests/output/NAME.html."""
    return lambda name, text: compare(f"{name}.html", text)


def compare(name: str, text: str) -> None:
    """Compare with one file, or write it."""
    path = OUTPUT / name
    if os.environ.get("WRITE_GOLDEN"):
        path.write_text(text, "ascii", newline="\n")
    assert text == path.read_bytes().decode("ascii"), f"if the change is meant, write {name} with WRITE_GOLDEN=1"
