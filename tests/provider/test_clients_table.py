"""What every client makes of every cut, and that none of them ever shows more or less text than it was sent."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from pytest_durability.dialects.cuts import HOWS, POINTS
from tests.planted.transcripts import VARIANTS

HERE = Path(__file__).resolve()
spec = importlib.util.spec_from_file_location("demo_cuts", HERE.parents[2] / "demo" / "cuts.py")
cuts = importlib.util.module_from_spec(spec)
sys.modules["demo_cuts"] = cuts
spec.loader.exec_module(cuts)

SHOWN = {
    "no-answer": "",
    "first-byte": "",
    "between-events": "Hello wörld,",
    "inside-event": "Hello wörld,",
    "inside-character": "Hello wörld, how are",
    "before-signature": "",
}
RAISES = {
    "openai": {"reset": "APIConnectionError", "protocol": "APIConnectionError", "timeout": "APITimeoutError"},
    "anthropic": {"reset": "httpx2.ReadError", "protocol": "httpx2.RemoteProtocolError", "timeout": "httpx2.ReadTimeout"},
    "httpx": {"reset": "httpx.ReadError", "protocol": "httpx.RemoteProtocolError", "timeout": "httpx.ReadTimeout"},
}


def expected(column, point, how):
    """What the caller of a client gets, as far as it is the same in all versions known."""
    if point == "no-answer":
        if column.kind == "httpx":
            return RAISES["httpx"]["protocol" if how == "eof" else "timeout" if how == "stall" else how]
        return "APITimeoutError" if how in ("timeout", "stall") else "APIConnectionError"
    if how == "eof":
        return "UnicodeDecodeError" if point == "inside-character" and column.kind != "httpx" else "-"
    if column.title == "openai Chat" and point == "after-terminal":  # it stops at [DONE] and never meets the break
        return "-"
    return RAISES[column.kind]["timeout" if how == "stall" else how]


@pytest.mark.parametrize("by", ["sync", "async"])
@pytest.mark.parametrize("column", cuts.COLUMNS, ids=lambda column: column.title)
def test_each_cut(column, by):
    """Every cut surfaces as the table says, after exactly one request, and the text shown is the text that was sent."""
    pytest.importorskip(column.kind)
    wrong = []
    for point in POINTS:
        for how in HOWS if by == "sync" and "stream()" not in column.title else ("eof", "reset", "stall"):
            seen = cuts.seen(column, cuts.cut_script(point, how), by=by)
            assert (seen.text, seen.requests) == (seen.sent, 1)
            assert seen.text == SHOWN.get(point, cuts.SAID)
            raw = "stream()" not in column.title or how != "eof"  # an accumulator may notice that the end is missing
            if raw and seen.surfaced != expected(column, point, how):
                wrong.append((point, how, seen.surfaced))
    assert wrong == []


def test_a_clean_end_is_not_noticed():
    """The first thing to know: a stream that ends early, but cleanly, is no exception in any client."""
    for column in cuts.COLUMNS[:4]:
        if cuts.installed(column):
            assert cuts.seen(column, cuts.cut_script("between-events", "eof"), by="sync").surfaced == "-"


@pytest.mark.parametrize("end", ["incomplete", "failed", "error"])
def test_the_openai_accumulator_notices_a_reply_that_did_not_complete(end):
    """`responses.stream()` refuses a final response that was never completed; plain events go by without an exception."""
    pytest.importorskip("openai")
    plain, accumulated = cuts.COLUMNS[0], cuts.COLUMNS[4]
    assert cuts.seen(plain, cuts.end_script(end), by="sync").surfaced == "-"
    assert cuts.seen(accumulated, cuts.end_script(end), by="sync").surfaced == "RuntimeError"


def test_the_table_is_printed(capsys):
    """The lines name the cut, how much was shown, how many turns kept it, and what surfaced."""
    pytest.importorskip("openai")
    lines = cuts.table(cuts.COLUMNS[:1], {("reset", "after-text"): cuts.cut_script("after-text", "reset")})
    assert lines[1].split() == ["reset", "after-text", "25", "2/2", "APIConnectionError"]


@pytest.mark.parametrize("by", ["sync", "async"])
def test_a_turn_that_does_not_keep_what_was_shown_is_told(monkeypatch, by):
    """With the reference agent the text is there once; with one that notes the interruption in its place it is not."""
    script = cuts.cut_script("between-events", "reset")
    column = next(column for column in cuts.COLUMNS if cuts.installed(column))
    assert cuts.kept(column, script, by=by)
    monkeypatch.setattr(cuts, "Agent", VARIANTS["StoresSentinel"])
    assert not cuts.kept(column, script, by=by)
