"""Each example of the README is run, and ends as the comment above it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

README = Path(__file__).parent.parent / "README.md"
BLOCKS = re.findall(r"<!-- test: (.+?) -->\n```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)


def test_the_readme_has_examples():
    """A change of the markup must not make this file test nothing."""
    assert len(BLOCKS) >= 4


@pytest.mark.parametrize(("expected", "source"), BLOCKS, ids=[str(i) for i in range(len(BLOCKS))])
def test_an_example_does_what_it_says(expected, source, pytester):
    """It passes, or fails with the anomaly that the comment names."""
    pytester.makepyfile(test_example=source)
    done = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-W", "error")
    if expected == "passes":
        assert done.ret == 0
        return
    anomaly = expected.removeprefix("fails with ")
    assert done.ret == 1
    told = anomaly if ":" in anomaly else f"durability.{anomaly}"
    assert told in done.stdout.str()
