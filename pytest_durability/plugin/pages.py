"""Writes the HTML report of a finding next to its saved case, where `--durability-html` asks for it.

Rule: a page that cannot be written never hides the finding; and as several workers may write one directory, a reader
never sees half a page.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from pytest_durability.plugin.state import STATE
from pytest_durability.verdict import Anomaly


def written(config: pytest.Config, anomaly: Anomaly, test: str) -> str:
    """Write the page of a finding; where it is, or why it is not. Empty if none was asked for, or the finding has no case."""
    state = config.stash[STATE]
    result = anomaly.result
    if not state.options.html or result is None or not result.case_id:
        return ""
    from pytest_durability.report.html import page

    target = state.options.directory / f"{result.case_id}.html"
    try:
        _replace(target, page(result, test=test).encode("ascii"))
    except OSError as error:
        return f"not written: {error}"
    here = config.invocation_params.dir
    return str(target.relative_to(here) if target.is_relative_to(here) else target)


def _replace(target: Path, data: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    fd, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.stem}-", suffix=".tmp")
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise
