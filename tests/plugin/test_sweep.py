"""The fixture at work on small stores: what fails, what is only reported, and how a finding is replayed."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest

from pytest_durability.explore import case as cases

CARELESS = """
from stores import Careless

def test_careless(durability):
    durability.sweep(Careless, depth=1)

def test_other():
    pass
"""

DURABLE = """
from stores import Durable, Modest

def test_durable(durability):
    report = durability.sweep(Durable, depth=1, models=["process-kill", "strict"])
    assert report.states > 10
    assert [model.model for model in report.models] == ["process-kill", "strict"]

def test_modest(durability):
    assert durability.sweep(Modest, depth=1).portability
"""


def case_of(result) -> str:
    """The id in the command that a report shows."""
    return re.search(r"--durability-replay=([0-9a-f]{10})", result.stdout.str())[1]


@pytest.mark.parametrize("workers", [(), ("-p", "xdist", "-n2")], ids=["alone", "xdist"])
def test_a_careless_store_fails_at_the_line_of_the_test(run, workers):
    """The failure stands at the user's call, names the lost write and its line in the store, and how to see it again."""
    result = run(CARELESS, *workers)
    result.assert_outcomes(failed=1, passed=1)
    text = result.stdout.str()
    assert "durability: reproduce" in text
    assert re.search(r"^test_it\.py:4: \w+", text, re.MULTILINE) or "ExceptionGroup" in text
    if pytest.version_tuple >= (9, 2):  # before, pytest shows every frame of a group of exceptions
        assert "pytest_durability/" not in text.split("durability: timeline")[0], "no frame of the harness is shown"
    assert re.search(r"op \d+  write session\.jsonl.*\(stores\.py:\d+\)", text)
    [line] = [line for line in text.splitlines() if line.startswith("FAILED")]
    assert re.match(r"FAILED test_it.py::test_careless - (durability|ExceptionGroup)", line)


def test_a_finding_is_saved_and_replayed_exactly(project, run):
    """The printed command runs this test alone and fails with the same anomaly."""
    first = run(CARELESS)
    found = case_of(first)
    saved = cases.load(found, project.path / ".durability")
    assert saved.test == "test_it.py::test_careless"
    again = run(CARELESS, f"--durability-replay={found}")
    again.assert_outcomes(failed=1, deselected=1)
    assert f"durability.{saved.anomaly}: {saved.summary}"[:60] in again.stdout.str()


REVERSED = """
import stores

class Reversed(stores.Durable):
    def transcript(self, store):
        return super().transcript(store)[::STEP]

def test_reversed(durability):
    durability.sweep(Reversed, depth=1)
"""


def test_a_case_that_no_longer_fails_passes_and_is_told(run):
    """After the repair the same command passes, and says what was staged without harm."""
    broken = run(REVERSED.replace("STEP", "-1"))
    found = case_of(broken)
    assert "durability.Reordered: " in broken.stdout.str()
    run(REVERSED.replace("STEP", "-1"), f"--durability-replay={found}").assert_outcomes(failed=1)
    repaired = run(REVERSED.replace("STEP", "1"), f"--durability-replay={found}", "-q")
    assert repaired.ret == 0
    repaired.stdout.fnmatch_lines([f"test_it.py::test_reversed: case {found} no longer fails: nothing wrong found with *"])


def test_a_replay_by_file_and_by_beginning_of_the_id(project, run):
    """Both name the same case."""
    found = case_of(run(CARELESS))
    for reference in (found[:6], f".durability/{found}.json"):
        run(CARELESS, f"--durability-replay={reference}").assert_outcomes(failed=1, deselected=1)


def test_a_passing_sweep_is_quiet(run):
    """A store that keeps its promise prints nothing, unless it is asked; what it would lose elsewhere is always told."""
    quiet = run(DURABLE, "-k", "test_durable")
    quiet.assert_outcomes(passed=1, deselected=1)
    assert "= durability =" not in quiet.stdout.str()
    run(DURABLE, "-k", "test_durable", "-v").stdout.re_match_lines(
        [
            r"=+ durability =+",
            r"test_it\.py::test_durable: Durable: valid, \d+ operations, \d+ crash states under process-kill, strict",
        ]
    )
    table = run(DURABLE, "-k", "test_durable", "-vv").stdout
    table.re_match_lines([r"  model +points +cuts +states", r"  process-kill +\d+", r"  strict +\d+", r"  bounds: ", r"  time "])


@pytest.mark.parametrize("workers", [(), ("-p", "xdist", "-n2")], ids=["alone", "xdist"])
def test_a_portability_finding_passes_and_is_told(project, run, workers):
    """What the store does not promise does not fail it, but the reader learns of it; -q shows nothing. Each has case and page."""
    result = run(DURABLE, "-k", "test_modest", "--durability-html", *workers)
    result.assert_outcomes(passed=1, deselected=0 if workers else 1)
    result.stdout.re_match_lines([r"=+ durability =+", r"portability: test_it\.py::test_modest: \w+ under [\w-]+: "])
    kept = {kind: {path.stem for path in (project.path / ".durability").glob(f"*.{kind}")} for kind in ("json", "html")}
    assert kept["json"] == kept["html"] == set(re.findall(r"\[case ([0-9a-f]{10})\]", result.stdout.str())) != set()
    assert "portability" not in run(DURABLE, "-k", "test_modest", "-q", *workers).stdout.str()


def test_the_models_of_the_marker_make_findings_fatal(run):
    """A model that is named is a promise for this test."""
    source = """
import pytest
from stores import Modest

@pytest.mark.durability(models=["ext4-delalloc"], depth=1)
def test_modest(durability):
    durability.sweep(Modest)
"""
    result = run(source)
    result.assert_outcomes(failed=1)
    assert "under ext4-delalloc" in result.stdout.str() or "as ext4-delalloc allows" in result.stdout.str()


def test_the_junit_file_has_the_sweep(project, run):
    """A passing sweep leaves its verdict, its seed, the counts of each model, and what it would lose elsewhere."""
    run(DURABLE, "--junitxml=out.xml", "-k", "test_modest", "--durability-seed=7")
    found = [(entry.get("name"), entry.get("value")) for entry in ET.parse(project.path / "out.xml").iter("property")]  # noqa: S314  our own file
    told = dict(found)
    assert set(told) == {f"durability_{name}" for name in ("verdict", "seed", "sweep", "models", "portability")}
    assert told["durability_seed"] == "7"
    assert re.fullmatch(r"process-kill \d+ states? 0 findings, strict .*", told["durability_models"])


def test_misuse_points_at_the_test(run):
    """An adapter that lacks a method is told in one message, at the line of the call."""
    source = "class Wrong:\n    pass\n\ndef test_it(durability):\n    durability.sweep(Wrong)\n"
    result = run(source)
    result.assert_outcomes(failed=1)
    text = result.stdout.str()
    assert "lacks open(...), transcript(...)" in text
    assert "test_it.py:5: AdapterError" in text
    assert "pytest_durability/" not in text.split("short test summary")[0]


def test_a_world_for_a_test_by_hand(run):
    """`durability.world()` gives a directory whose crash states the test visits itself."""
    source = """
def test_by_hand(durability):
    with durability.world() as world:
        with open(world.root / "note.txt", "wb") as file:
            file.write(b"hello")
        seen = set()
        for state in world.disk.crash_states("posix"):
            with state.mounted() as root:
                seen.add((root / "note.txt").read_bytes() if (root / "note.txt").exists() else None)
    assert seen == {None, b"", b"\\0" * 5, b"hello"}
"""
    run(source).assert_outcomes(passed=1)


def test_replay_in_a_test_keeps_a_bug_from_coming_back(project, run):
    """A saved case, put under version control, is a regression test."""
    found = case_of(run(CARELESS))
    source = f"from stores import Careless\n\ndef test_again(durability):\n    durability.replay('.durability/{found}.json')\n"
    result = run(source)
    result.assert_outcomes(failed=1)
    assert "durability: timeline" in result.stdout.str()


def test_findings_repeat_byte_by_byte(run):
    """Two runs with one seed print the same report."""
    texts = []
    for _ in range(2):
        text = run(CARELESS, "--durability-seed=3").stdout.str()
        texts.append(text[text.index("durability: timeline") : text.index("short test summary")])
    assert texts[0] == texts[1]
