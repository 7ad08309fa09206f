"""The habits of this code base, as tests: a rule that only stands in prose is soon broken."""

from __future__ import annotations

import ast
import re
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_durability.faults import NAMES
from pytest_durability.verdict import ANOMALIES

ROOT = Path(__file__).parent.parent
PACKAGE = sorted((ROOT / "pytest_durability").rglob("*.py"))
MEASURED = [*PACKAGE, *(path for folder in ("reference_impl", "bench", "demo") for path in sorted((ROOT / folder).rglob("*.py")))]
WRITTEN = {".py", ".md", ".toml", ".ini", ".cfg", ".yaml", ".yml", ".json", ".jsonl", ".txt", ""}
FOLDERS = ("pytest_durability", "reference_impl", "tests", "demo", "bench", ".ci")
CACHES = {"__pycache__", ".durability", ".hypothesis", ".pytest_cache"}
MACHINE_PATH = re.compile(r"(?<![\w.:/])/(?:home|work|root|tmp|Users)/")

MAX_FUNCTION, MAX_MODULE, MAX_MEDIAN = 70, 500, 14

Function = ast.FunctionDef | ast.AsyncFunctionDef


def name_of(path: Path) -> str:
    """The name of a file as it stands in a message."""
    return path.relative_to(ROOT).as_posix()


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Name and length in lines of each function of a file."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, Function):
            assert node.end_lineno is not None
            yield f"{name_of(path)}:{node.lineno} {node.name}", node.end_lineno - node.lineno + 1


def undocumented(module: ast.Module) -> list[str]:
    """The public classes and functions of a module without a docstring (the linter looks at methods)."""
    public = [node for node in module.body if isinstance(node, ast.ClassDef | Function) and not node.name.startswith("_")]
    return [node.name for node in public if ast.get_docstring(node) is None]


def texts() -> Iterator[Path]:
    """The files of the repository that people read or programs run, without what tools leave behind."""
    for path in [*ROOT.iterdir(), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*"))]:
        parts = path.relative_to(ROOT).parts
        if path.is_file() and path.suffix in WRITTEN and path.name != ".git" and not CACHES.intersection(parts):
            yield path


@pytest.mark.parametrize("path", MEASURED, ids=name_of)
def test_functions_and_modules_stay_short(path):
    """No function is longer than a page, and no module so long that it holds two nouns."""
    long = [f"{where}: {lines} lines" for where, lines in functions(path) if lines > MAX_FUNCTION]
    assert not long, f"longer than {MAX_FUNCTION} lines"
    assert len(path.read_text("utf-8").splitlines()) <= MAX_MODULE, "split it by the nouns of the domain"


def test_the_usual_function_is_short():
    """The median function of the package fits a glance."""
    lengths = [lines for path in PACKAGE for _, lines in functions(path)]
    assert statistics.median(lengths) <= MAX_MEDIAN


@pytest.mark.parametrize("path", MEASURED, ids=name_of)
def test_each_module_says_why_it_exists(path):
    """Each module opens with a sentence on its purpose, and each one of the package with the rule that it obeys."""
    source = path.read_text("utf-8")
    if path.name == "__init__.py" and not source.strip():
        return
    docstring = ast.get_docstring(ast.parse(source)) or ""
    assert re.match(r".{20,}?[.:?]( |\n|$)", docstring, re.DOTALL), "the first sentence says why the module exists"
    if path in PACKAGE and path.name != "__init__.py":
        assert re.search(r"^Rule: \S", docstring, re.MULTILINE), "the docstring states the rule that the module obeys"


@pytest.mark.parametrize("path", [path for path in PACKAGE if not path.name.startswith("_")], ids=name_of)
def test_public_names_are_documented(path):
    """Each public class and function of the package has a docstring."""
    assert undocumented(ast.parse(path.read_text("utf-8"))) == []


def test_the_readme_names_each_fault_and_each_anomaly():
    """A fault or an anomaly that the README does not name cannot be looked up by those who meet it."""
    words = set(re.findall(r"\w+", (ROOT / "README.md").read_text("utf-8")))
    assert sorted({*NAMES, *ANOMALIES} - words) == []


def test_the_readme_names_each_option():
    """Each command line option of the plugin stands in the README, and the README names no other."""
    option = re.compile(r"--durability(?:-[a-z]+)+")
    added = {found for path in PACKAGE for found in option.findall(path.read_text("utf-8"))}
    assert added, "the plugin adds options"
    assert set(option.findall((ROOT / "README.md").read_text("utf-8"))) == added


def test_no_file_knows_one_machine():
    """No file names a folder of the machine on which it was written."""
    found = [
        f"{name_of(path)}:{number}: {line.strip()[:100]}"
        for path in texts()
        for number, line in enumerate(path.read_text("utf-8", errors="replace").splitlines(), start=1)
        if MACHINE_PATH.search(line)
    ]
    assert found == []


def test_each_test_says_what_it_expects():
    """Each test function has a docstring with the expectation."""
    silent = [
        f"{name_of(path)}:{node.lineno} {node.name}"
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, Function) and node.name.startswith("test_") and ast.get_docstring(node) is None
    ]
    assert silent == []
