"""What users install and import: the wheel, the sdist, the public names, and the cost of importing them."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import entry_points, version
from pathlib import Path

import pytest
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder

import pytest_durability
from pytest_durability import faults, verdict, workload

ROOT = Path(__file__).parent.parent
HEAVY = ("asyncio", "ctypes", "httpx", "hypothesis", "pytest_durability.world", "sqlite3")


def python(code: str) -> str:
    """The output of a program in an interpreter of its own, with the packages that are installed (`-P`: not of this folder)."""
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The names in a wheel built from this tree."""
    built = next(WheelBuilder(str(ROOT)).build(directory=str(tmp_path_factory.mktemp("wheel")), versions=["standard"]))
    with zipfile.ZipFile(built) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    """The names in an sdist built from this tree, below its one folder."""
    built = next(SdistBuilder(str(ROOT)).build(directory=str(tmp_path_factory.mktemp("sdist")), versions=["standard"]))
    with tarfile.open(built) as archive:
        return {name.partition("/")[2] for name in archive.getnames()}


def test_the_wheel_holds_the_whole_package_and_nothing_else(wheel):
    """Each module of the package, its type marker and the metadata are in the wheel; no test, demo or reference system is."""
    package = ROOT / "pytest_durability"
    expected = {path.relative_to(ROOT).as_posix() for path in package.rglob("*") if path.suffix in (".py", ".typed")}
    found = {name for name in wheel if ".dist-info/" not in name}
    assert found == expected
    assert "pytest_durability/py.typed" in found
    assert {name.rpartition("/")[2] for name in wheel - found} >= {"METADATA", "RECORD", "WHEEL", "LICENSE", "entry_points.txt"}


def test_the_sdist_holds_what_builds_and_tests_the_package(sdist):
    """The sdist holds sources, tests and their configuration, and nothing that a tool left behind."""
    assert sdist >= {"pyproject.toml", "tox.ini", "README.md", "LICENSE", "CHANGELOG.md", "tests/test_package.py"}
    tops = {name.partition("/")[0] for name in sdist}
    assert tops <= {
        "pytest_durability",
        "reference_impl",
        "tests",
        "demo",
        "bench",
        "pyproject.toml",
        "tox.ini",
        "README.md",
        "LICENSE",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "PKG-INFO",
        ".gitignore",
    }
    assert not [name for name in sdist if "__pycache__" in name or ".hypothesis" in name or name.endswith(".pyc")]


def test_importing_the_package_imports_nothing_heavy():
    """A project that has the plugin installed does not pay for what it does not use."""
    code = "import sys; before = set(sys.modules); import pytest_durability; print(*sorted(set(sys.modules) - before))"
    added = python(code).split()
    assert "pytest_durability" in added
    assert sorted(set(added).intersection(HEAVY)) == []


def test_a_public_name_loads_only_its_own_module():
    """The first use of a name loads the module that defines it, and not the others."""
    code = """
import sys
from pytest_durability import Message
print([name for name in ("pytest_durability.adapter", "pytest_durability.world", "pytest_durability.verdict", "hypothesis")
       if name in sys.modules])
"""
    assert python(code).strip() == "['pytest_durability.adapter']"


def test_public_names_are_sorted_and_have_one_home_each():
    """The list that type checkers read, the table that finds the names and `dir()` agree."""
    names = pytest_durability.__all__
    assert names == sorted(set(names))
    assert set(names) == {"__version__", *pytest_durability._HOMES}
    assert set(names) <= set(dir(pytest_durability))


@pytest.mark.parametrize("name", [name for name in pytest_durability.__all__ if name != "__version__"])
def test_each_public_name_resolves(name):
    """A public name is the object of that name in its module."""
    home = importlib.import_module(pytest_durability._HOMES[name])
    assert getattr(pytest_durability, name) is getattr(home, name)


def test_everything_that_users_name_is_public():
    """Each fault, each anomaly and each step of a workload can be imported from the package."""
    wanted = {*faults.NAMES, *verdict.ANOMALIES, *workload._NAMES}
    assert sorted(wanted - set(pytest_durability.__all__)) == []


def test_an_unknown_name_is_an_attribute_error():
    """A name that does not exist fails as it does in any module, so that `hasattr` and submodule imports work."""
    with pytest.raises(AttributeError, match="module 'pytest_durability' has no attribute 'Lost'"):
        _ = pytest_durability.Lost
    assert not hasattr(pytest_durability, "SessionMachin")


def test_the_installed_metadata_fits_the_package():
    """The distribution has the version of the package, and registers the plugin under its short name."""
    assert version("pytest-durability") == pytest_durability.__version__
    [plugin] = entry_points(group="pytest11", name="durability")
    assert plugin.value == "pytest_durability.plugin"


@pytest.mark.skipif("TOX_ENV_NAME" not in os.environ, reason="only tox installs the wheel; elsewhere the source tree is tested")
def test_the_installed_wheel_is_what_is_tested():
    """Under tox the tests import the wheel, so a file that is missing from it is noticed."""
    assert "site-packages" in Path(pytest_durability.__file__).parts
