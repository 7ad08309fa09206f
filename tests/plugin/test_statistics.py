"""The end of a run: figures over all tests and workers, fault coverage, and the threshold that it may have to reach."""

from __future__ import annotations

import json
import string
import xml.etree.ElementTree as ET

import pytest

from pytest_durability.coverage import Coverage, Point
from pytest_durability.plugin.statistics import Statistics
from pytest_durability.verdict import SweepReport

WORKERS = pytest.mark.parametrize("workers", [(), ("-p", "xdist", "-n2")], ids=["alone", "xdist"])

GIVEN = """
import pytest
from pytest_durability.coverage import Coverage, Point
from pytest_durability.verdict import ModelReport, SweepReport


def given(adapter, **options):
    '''What a search of this adapter is taken to have reached.'''
    return SweepReport(
        adapter=adapter.__name__,
        steps=10,
        examples=10,
        operations=30,
        models=(ModelReport("posix", 5, 5, 100, 5, 0, 2, 2, 9, False),),
        coverage=Coverage(*({Point(*text.split()) for text in side} for side in (adapter.reached, adapter.never))),
    )


@pytest.fixture(autouse=True)
def search(monkeypatch):
    monkeypatch.setattr("pytest_durability.explore.gate.check", given)
"""
TESTS = """
class One:
    reached = ["write log EIO", "write log ENOSPC"]
    never = ["fsync log EIO", "write other EIO"]

class Two:
    reached = ["fsync log EIO"]
    never = ["write log EIO", "write other ENOSPC"]

def test_one(durability):
    durability.check(One)

def test_two(durability):
    durability.check(Two)

def test_unrelated():
    pass
"""


@pytest.fixture
def checked(project, run):
    """Run `TESTS` (or other ones) with a search that reports what the adapter says."""
    project.makeconftest(GIVEN)
    return lambda *arguments, tests=TESTS: run(tests, *arguments)


@WORKERS
def test_the_end_of_a_run_is_the_same_with_workers(project, checked, workers):
    """Coverage is that of all tests, in whatever process they ran; too little of it fails the run although no test failed."""
    result = checked("--durability-fail-under=60.5", "--durability-seed=7", "--junitxml=out.xml", *workers)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(
        [
            "=* durability =*",
            "2 calls, 20 examples, 200 crash states, 0 findings",
            "fault coverage 60.0%, 3 of 5 points",
            "  never: write other: EIO, ENOSPC",
            "FAIL fault coverage of 60.0% is below --durability-fail-under=60.5: 2 of 5 points were never reached",
        ],
        consecutive=True,
    )
    assert properties(project.path / "out.xml") == {
        name: {
            "durability_seed": "7",
            "durability_sweep": f"{adapter}: valid, 30 operations, 100 crash states under posix",
            "durability_models": "posix 100 states 0 findings",
            "durability_verdict": "valid",
        }
        for name, adapter in (("test_one", "One"), ("test_two", "Two"))
    } | {"test_unrelated": {}}


def properties(path):
    """The properties of each test in a junit file."""
    cases = ET.parse(path).iter("testcase")  # noqa: S314  our own file
    return {case.get("name"): {entry.get("name"): entry.get("value") for entry in case.iter("property")} for case in cases}


def test_enough_coverage_is_no_failure(project, checked):
    """The command line goes before the configuration file, and a figure that equals the threshold is enough."""
    project.makeini("[pytest]\ndurability_fail_under = 90\n")
    result = checked("-p", "no:xdist", "--durability-fail-under=60")
    assert result.ret == pytest.ExitCode.OK
    assert "FAIL" not in result.stdout.str()


def test_a_quiet_failure_says_why(project, checked):
    """With -q, and the threshold in the configuration file, the reason and the points are shown all the same."""
    project.makeini("[pytest]\ndurability_fail_under = 90\n")
    result = checked("-q")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["FAIL fault coverage of 60.0% is below*", "  never: write other: EIO, ENOSPC"], consecutive=True)


def test_a_run_of_other_tests_does_not_fail(checked):
    """Nothing was measured, so there is nothing to compare: that is told, where a run takes place at all."""
    result = checked("--durability-fail-under=90", "-k", "unrelated")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(
        ["fault coverage was not measured, no test ran a search: --durability-fail-under=90 is not applied"]
    )
    planned = checked("--durability-fail-under=90", "--collect-only")
    assert planned.ret == pytest.ExitCode.OK
    assert "fault coverage" not in planned.stdout.str()


def test_a_failing_run_stays_one(checked):
    """What failed, or was interrupted, keeps its exit status, and the coverage is told besides."""
    result = checked("--durability-fail-under=100", tests=TESTS + "\ndef test_stop():\n    raise KeyboardInterrupt\n")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["FAIL fault coverage of 60.0%*"])


def report(**changes):
    """One call that measured what it never reached."""
    never = frozenset(Point("write", f"file-{letter}\x1b[31m", "EIO") for letter in string.ascii_lowercase)
    values = {"adapter": "A", "steps": 1, "operations": 1, "models": (), "coverage": Coverage(frozenset(), never), "examples": 3}
    return SweepReport(**values | changes)


@pytest.mark.parametrize(("verbosity", "shown"), [(0, 5), (1, 20), (2, 26), (9, 26)])
def test_the_list_of_what_was_never_reached_is_bounded(verbosity, shown):
    """Five lines, twenty with -v, all with -vv; and a file name cannot colour the terminal."""
    figures = Statistics()
    figures.add(report())
    lines = list(figures.lines(verbosity))
    assert sum(line.startswith("  never: write file-") for line in lines) == shown
    assert ("  ... 21 more left out" in lines) == (verbosity == 0)
    assert all(line.isprintable() for line in lines)


def test_sweeps_alone_are_told_only_when_asked():
    """A passing sweep is quiet; with -v the figures of the run stand there, and with -q nothing."""
    figures = Statistics()
    assert list(figures.lines(2)) == []
    figures.add(report(coverage=None, examples=0))
    assert list(figures.lines(0)) == []
    assert list(figures.lines(1)) == ["1 call, 0 findings"]
    figures.add(report())
    assert list(figures.lines(-1)) == []


def test_the_figures_of_a_worker_travel_as_plain_data():
    """Two workers and their controller know together what one process would know."""
    alone, controller = Statistics(), Statistics()
    for coverage in (None, report().coverage, Coverage(frozenset({Point("fsync", "log", "EIO")}))):
        worker = Statistics()
        for figures in (alone, worker):
            figures.add(report(coverage=coverage))
        controller.merge(json.loads(json.dumps(worker.to_data())))
    assert controller.to_data() == alone.to_data()
    assert list(controller.lines(2)) == list(alone.lines(2))


def test_a_worker_that_crashed_is_told(checked):
    """Its figures are missing, and the summary says so instead of showing too little as everything."""
    result = checked("-p", "xdist", "-n1", tests="import os\n\ndef test_crash():\n    os._exit(3)\n" + TESTS)
    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines(
        [
            "2 calls, 20 examples, 200 crash states, 0 findings",
            "1 worker ended without handing on figures, which are missing here",
            "fault coverage 60.0%, 3 of 5 points",
        ],
        consecutive=True,
    )


def test_the_plugin_can_be_left_out(project):
    """With `-p no:durability` an unrelated run is as it was: no option, no fixture, no marker."""
    project.plugins = []
    project.makepyfile(test_it="def test_it(request):\n    assert not request.config.pluginmanager.hasplugin('durability')\n")
    project.runpytest_subprocess("-p", "durability", "-p", "no:durability").assert_outcomes(passed=1)
    result = project.runpytest_subprocess("-p", "no:durability", "--durability-seed=1")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "unrecognized arguments: --durability-seed=1" in result.stderr.str()


def test_strict_markers_know_the_marker(run):
    """`--strict-markers` refuses other markers and takes this one."""
    source = "import pytest\n\n@pytest.mark.durability(seed=1)\ndef test_it():\n    pass\n"
    run(source, "--strict-markers").assert_outcomes(passed=1)
    run(source.replace("durability(", "durable("), "--strict-markers").assert_outcomes(errors=1)
