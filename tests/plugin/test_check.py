"""The search as a project runs it: replayed by the printed command, the same under xdist, and with a memory of what failed."""

from __future__ import annotations

import re
import shlex
import shutil
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from pytest_durability.explore import case as cases

TESTS = """
import pytest
from stores import Careless, Durable, Modest

@pytest.mark.durability(max_examples=8)
class TestStores:
    def test_careless(self, durability):
        durability.check(Careless)

    def test_durable(self, durability):
        durability.check(Durable)

    def test_modest(self, durability):
        assert durability.check(Modest).portability
"""


def told(project, run, name, *arguments):
    """Junit properties, saved cases and the coverage of a run whose cases go to the directory `name`."""
    result = run(TESTS, f"--durability-dir={name}", f"--junitxml={name}.xml", "--durability-seed=3", *arguments)
    properties = {
        case.get("name"): {entry.get("name"): entry.get("value") for entry in case.iter("property")}
        for case in ET.parse(project.path / f"{name}.xml").iter("testcase")  # noqa: S314  our own file
    }
    cases = {path.name: path.read_text() for path in (project.path / name).iterdir()}
    figures = [line for line in result.stdout.lines if re.match(r"\d+ calls, |fault coverage |  never: ", line)]
    return properties, cases, figures


def test_workers_find_the_same_and_save_the_same(project, run):
    """Verdicts, seeds, counts, case files and the sum of all figures do not depend on which process ran a test."""
    properties, cases, figures = told(project, run, "alone")
    assert told(project, run, "workers", "-p", "xdist", "-n2") == (properties, cases, figures)
    careless = properties["test_careless"]
    assert careless["durability_verdict"] == "invalid"
    assert careless["durability_anomalies"] == "LostAcknowledged"
    assert f"{careless['durability_cases']}.json" in cases
    assert {told["durability_seed"] for told in properties.values()} == {"3"}
    assert properties["test_durable"]["durability_verdict"] == properties["test_modest"]["durability_verdict"] == "valid"
    assert "process-kill" in properties["test_durable"]["durability_models"]
    assert re.match(r"3 calls, \d+ examples, \d+ crash states, 1 finding", figures[0])
    assert figures[1].startswith("fault coverage ")


FORGETS = """
import os
import stores

class Forgets(stores.Durable):
    '''Has room for two messages.'''

    def open(self, world):
        with open(os.environ["OPENS"], "a") as file:
            file.write(".")
        return super().open(world)

    def append(self, store, message):
        if len(store.load()) < 2:
            super().append(store, message)

def test_forgets(durability):
    durability.check(Forgets, max_examples=COUNT)
"""


@pytest.fixture
def forgets(project, run, monkeypatch):
    """Run the search of a store that forgets; the output, and how often it opened the store."""

    def forgets(count, *arguments):
        opens = project.path / "opens"
        opens.write_text("")
        monkeypatch.setenv("OPENS", str(opens))
        text = run(FORGETS.replace("COUNT", str(count)), *arguments).stdout.str()
        return text, len(opens.read_text())

    return forgets


def test_what_failed_before_is_tried_first(project, forgets):
    """The saved case fails the next run at once, before anything is searched; and the printed command runs it alone."""
    first, searched = forgets(15)
    [line] = [line for line in first.splitlines() if line.startswith("  exact ")]
    again, replayed = forgets(15)
    assert line in again.splitlines()
    assert replayed < searched / 5
    command = shlex.split(line)[2:]
    assert command == [
        "test_it.py::test_forgets",
        f"--durability-replay={next((project.path / '.durability').glob('*.json')).stem}",
    ]
    alone, _ = forgets(15, *command)
    assert line in alone.splitlines()


FIXED = """
import os
import pytest
from pathlib import Path
import stores

PLACE = Path("agent").resolve()

class Fixed(stores.Careless):
    def open(self, world):
        PLACE.mkdir(exist_ok=True)
        return stores.Store(PLACE / "session.jsonl", False)

@pytest.mark.durability(disk="fake", models=["ext4-delalloc"])
def test_fixed(durability):
    durability.sweep(Fixed, depth=1)
"""


def test_the_printed_command_knows_the_disk(project, run):
    """A store with a fixed path runs on the fake disk, also by its case in a fresh process; that case is refused for the other disk."""
    pytest.importorskip("pyfakefs")
    first = run(FIXED).stdout.str()
    line, *_ = [line for line in first.splitlines() if line.startswith("  exact ")]
    assert "  disk      the fake one, a file system of its own from / on" in first.splitlines()
    command = shlex.split(line)[2:]
    assert line in run(FIXED.replace('disk="fake", ', ""), *command).stdout.lines, "the case says it, the test need not"
    path, *_ = (project.path / ".durability").glob("*.json")
    assert not (project.path / "agent").exists()
    case = cases.load(path.stem, path.parent)
    cases.save(replace(case, disk="files"), path.parent)
    refused = run(FIXED, f"--durability-replay={replace(case, disk='files').id}").stdout.str()
    assert 'this test asks for disk="fake"' in refused
    assert not (project.path / "agent").exists()


def test_the_database_of_hypothesis_is_honoured(project, forgets):
    """What a search found is in the database that the project has set, and is found again from there with no other example."""
    project.makeconftest("""
from hypothesis import settings
from hypothesis.database import DirectoryBasedExampleDatabase

settings.register_profile("own", database=DirectoryBasedExampleDatabase("kept"))
settings.load_profile("own")
""")
    text, _ = forgets(1)
    assert "LostAcknowledged" not in text, "one example is too few, unless it is remembered"
    text, _ = forgets(15)
    assert "LostAcknowledged" in text
    shutil.rmtree(project.path / ".durability")
    assert "LostAcknowledged" in forgets(1)[0]
    shutil.rmtree(project.path / ".durability")
    assert "LostAcknowledged" not in forgets(1, "--durability-seed=1")[0], "a seed asks for one search and no other"
