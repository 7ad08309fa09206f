"""What pytest shows of an anomaly: the verdict first, then the sections, at the line of the user's test."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

FOUND = """
from pytest_durability.faults import Crash, Schedule
from pytest_durability.history import History, Lane
from pytest_durability.verdict import Duplicate, Loss, LostAcknowledged, Result, Verdict
from pytest_durability.workload import Append, Workload


def found(kind=LostAcknowledged, case_id="0123456789"):
    history = History()
    history.add(Lane.USER, "append", "u1")
    history.add(Lane.DISK, "write", "session.jsonl", size=31)
    history.add(Lane.USER, "ack", "u1", call=1)
    anomaly = kind("u1 was acknowledged, then is gone", because=["op 3  u1 was acknowledged"], witnesses=[1, 2, 3], site="store.py:12")
    anomaly.result = Result(
        adapter="Store",
        workload=Workload((Append("user", "zu1z hello"),)),
        schedule=Schedule((Crash("write:session.jsonl:1", model="posix"),)),
        history=history,
        verdict=Verdict.INVALID,
        anomaly=anomaly,
        model="posix",
        crash_after=3,
        losses=(Loss(2, "write session.jsonl 31 B", "store.py:12", "no sync"),),
        expected=("u1  user: zu1z hello",),
        case_id=case_id,
    )
    return anomaly
"""

ONE = (
    FOUND
    + """

def test_one():
    raise found()
"""
)
LINE = ONE.strip().splitlines().index("    raise found()") + 1

TWO = (
    FOUND
    + """

def test_two():
    raise ExceptionGroup("LostAcknowledged, Duplicate: 2 distinct findings", [found(), found(Duplicate, "abcdef0123")])
"""
)


def test_a_failure_reads_from_verdict_to_command(run):
    """Verdict, because, timeline, state, reproduce, short summary, in this order."""
    result = run(ONE)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "E       durability.LostAcknowledged: u1 was acknowledged, then is gone",
            "E       Because",
            "E         op 3  u1 was acknowledged",
            f"test_it.py:{LINE}: LostAcknowledged",
            "---* durability: timeline *---",
            ">   2                                ~write session.jsonl  31 B~ LOST",
            "==== CRASH after op 3 =*= posix",
            "---* durability: state *---",
            "  must be there - u1  user: zu1z hello",
            "  came back       nothing",
            "    op 2  write session.jsonl 31 B  (store.py:12): no sync",
            "---* durability: reproduce *---",
            "  exact     pytest test_it.py::test_one --durability-replay=0123456789",
            "  fault     Crash(after='write:session.jsonl:1', model='posix')",
            "  workload  Append(role='user', text='zu1z hello')",
            "===* short test summary info ===*",
            "FAILED test_it.py::test_one - durability.LostAcknowledged: u1 was acknowledge*",
        ]
    )


def test_quiet_keeps_verdict_and_command(run):
    """With -q no timeline, no state and no summary."""
    text = run(ONE, "-q").stdout.str()
    assert "durability.LostAcknowledged: u1 was acknowledged, then is gone" in text
    assert "exact     pytest test_it.py::test_one --durability-replay=0123456789" in text
    assert "durability: timeline" not in text
    assert "durability: state" not in text


@pytest.mark.parametrize("workers", [(), ("-p", "xdist", "-n2")], ids=["alone", "xdist"])
def test_an_exception_group_shows_each_anomaly(run, workers):
    """Each of several anomalies has its own sections, numbered and named."""
    text = run(TWO, *workers).stdout.str()
    places = [
        text.index(f"durability: {part} ({name})")
        for name in ("1 LostAcknowledged", "2 Duplicate")
        for part in ("timeline", "state", "reproduce")
    ]
    assert places == sorted(places)
    assert "--durability-replay=abcdef0123" in text
    [line] = [line for line in text.splitlines() if line.startswith("FAILED")]
    assert "LostAcknowledged" in line[:80]


def test_nested_groups_are_unfolded(run):
    """A task group around a check wraps the group once more."""
    text = run(
        TWO.replace("raise ExceptionGroup(", "raise ExceptionGroup('tasks', [ValueError(), ExceptionGroup(").rstrip() + "])\n"
    ).stdout.str()
    assert "durability: reproduce (2 Duplicate)" in text


def test_an_anomaly_without_a_result_has_no_sections(run):
    """A user's own assertion of this kind is an ordinary failure."""
    result = run(ONE + "\ndef test_bare():\n    raise Duplicate('u1 is there twice')\n", "-k", "bare")
    result.assert_outcomes(failed=1, deselected=1)
    assert "durability: timeline" not in result.stdout.str()
    result.stdout.fnmatch_lines(["FAILED test_it.py::test_bare - durability.Duplicate: u1 is there twice"])


def test_other_failures_are_left_alone(run):
    """An ordinary assertion has no section and no property of this plugin."""
    text = run("def test_it():\n    assert 1 == 2\n").stdout.str()
    assert "durability" not in text.replace("pytest_durability", "")


@pytest.mark.parametrize("workers", [(), ("-p", "xdist", "-n2")], ids=["alone", "xdist"])
def test_the_junit_file_has_verdict_names_and_cases(project, run, workers):
    """What a CI server shows survives xdist too."""
    run(TWO, "--junitxml=out.xml", *workers)
    properties = {
        entry.get("name"): entry.get("value")
        for entry in ET.parse(project.path / "out.xml").iter("property")  # noqa: S314  our own file
    }
    assert properties == {
        "durability_verdict": "invalid",
        "durability_anomalies": "LostAcknowledged,Duplicate",
        "durability_cases": "0123456789,abcdef0123",
    }


def test_an_anomaly_in_a_fixture_is_shown_too(run):
    """A sweep in the setup of a test reports like one in its body."""
    source = FOUND + "\nimport pytest\n\n@pytest.fixture\ndef broken():\n    raise found()\n\ndef test_it(broken):\n    pass\n"
    result = run(source)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        ["---* durability: reproduce *---", "  exact     pytest test_it.py::test_it --durability-replay=*"]
    )


@pytest.mark.parametrize("workers", [(), ("-p", "xdist", "-n2")], ids=["alone", "xdist"])
def test_a_page_of_each_finding_on_request(project, run, workers):
    """It lies next to the saved cases, and the report says where; without the option there is none."""
    result = run(TWO, "--durability-html", *workers)
    result.stdout.fnmatch_lines(["  html      .durability/0123456789.html", "  html      .durability/abcdef0123.html"])
    pages = {path.name: path.read_text("ascii") for path in (project.path / ".durability").iterdir()}
    assert set(pages) == {"0123456789.html", "abcdef0123.html"}
    assert "<h1>Duplicate <small>INVALID</small></h1>" in pages["abcdef0123.html"]
    assert "pytest test_it.py::test_two --durability-replay=abcdef0123" in pages["abcdef0123.html"]


def test_pages_can_be_asked_for_in_the_configuration_file(project, run):
    """Yes and no in the usual words; a page that cannot be written is told and hides nothing."""
    assert "html" not in run(ONE).stdout.str()
    project.makeini("[pytest]\ndurability_html = yes\n")
    (project.path / ".durability").write_text("a file where the directory should be")
    result = run(ONE)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["  exact     pytest test_it.py::test_one --durability-replay=0123456789", "  html      not written: *"]
    )
