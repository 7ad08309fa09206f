"""Options, their twins in the configuration file, and the marker: what is wrong is said before anything runs."""

from __future__ import annotations

import sys

import pytest

from pytest_durability.explore import case as cases
from pytest_durability.persistence import MODELS

SHOW = r"""
def test_show(durability):
    context = durability._call().context
    print("\nCONTEXT", context.profile, context.seed, context.models, context.directory.name, context.test)
"""


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("profile", "fast", "'fast' is not a profile. Valid profiles: dev, ci, deep."),
        ("seed", "lucky", "'lucky' is not a seed. Valid seeds: 0 to 18446744073709551615."),
        ("seed", "-1", "'-1' is not a seed"),
        ("seed", "9" * 30, "is not a seed"),
        ("models", "ext3", f"'ext3' is not a persistence model. Valid models: {', '.join(MODELS)}."),
        ("models", ",", "no persistence model was named"),
        ("replay", "0123456789", "there is no case '0123456789'"),
        ("replay", "no/such/file.json", "cannot read the case 'no/such/file.json'"),
        ("fail-under", "most", "'most' is not a percentage. Valid percentages: 0 to 100, such as 80 or 92.5."),
        ("fail-under", "100.5", "'100.5' is not a percentage"),
        ("fail-under", "-1", "'-1' is not a percentage"),
        ("fail-under", "nan", "'nan' is not a percentage"),
    ],
)
@pytest.mark.parametrize("place", ["line", "ini"])
def test_a_bad_value_is_a_usage_error_that_lists_the_valid_ones(project, here, option, value, message, place):
    """Both on the command line and in the configuration file, before anything is collected."""
    if place == "ini":
        project.makeini(f"[pytest]\ndurability_{option.replace('-', '_')} = {value}\n")
    result = here(*([f"--durability-{option}={value}"] if place == "line" else []))
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert f"--durability-{option}: " in result.stderr.str()
    assert message in result.stderr.str()


def test_a_bad_truth_is_a_usage_error(project, here):
    """A flag needs no value on the command line; in the configuration file it is yes or no."""
    project.makeini("[pytest]\ndurability_html = perhaps\n")
    result = here()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert (
        "--durability-html: 'perhaps' is neither yes nor no. Valid values: true, yes, on, 1, false, no, off, 0."
        in result.stderr.str()
    )


def test_the_command_line_goes_before_the_configuration_file(project, run):
    """A twin in the configuration file is a default."""
    project.makeini(
        "[pytest]\ndurability_profile = deep\ndurability_seed = 1\ndurability_models = posix\ndurability_dir = kept\n"
    )
    result = run(SHOW, "-s")
    result.stdout.fnmatch_lines(["CONTEXT deep 1 ('posix',) kept test_it.py::test_show*"])
    result = run(SHOW, "-s", "--durability-profile=ci", "--durability-seed=2", "--durability-models=strict,process-kill")
    result.stdout.fnmatch_lines(["CONTEXT ci 2 ('process-kill', 'strict') kept*"])


def test_without_options_the_defaults_hold(run):
    """Profile dev, models from the promise, cases in .durability; with the profile ci the seed is fixed."""
    run(SHOW, "-s").stdout.re_match_lines([r"CONTEXT dev \d+ None \.durability test_it\.py::test_show"])
    run(SHOW, "-s", "--durability-profile=ci").stdout.fnmatch_lines(["CONTEXT ci 0 None*"])


def test_the_seed_of_a_search_is_the_closest_that_was_asked_for(project, run):
    """Call, marker, option; without any the search knows that it may use what it remembers of earlier runs."""
    project.makeconftest("""
import pytest
from pytest_durability.verdict import SweepReport

@pytest.fixture(autouse=True)
def search(monkeypatch):
    def check(adapter, *, seed, context, **options):
        print("SEED", seed, context.profile)
        return SweepReport(adapter="A", steps=1, operations=1, models=())

    monkeypatch.setattr("pytest_durability.explore.gate.check", check)
""")
    source = """
import pytest

def test_a(durability):
    durability.check(object)

@pytest.mark.durability(seed=5)
def test_b(durability):
    durability.check(object)
    durability.check(object, seed=6)
"""
    for option, first in (((), "None dev"), (("--durability-seed=4", "--durability-profile=ci"), "4 ci")):
        text = run(source, "-s", *option).stdout.str()
        profile = first.split()[1]
        assert [line for line in text.splitlines() if "SEED" in line][-3:] == [
            f"test_it.py SEED {first}",
            f".SEED 5 {profile}",
            f"SEED 6 {profile}",
        ]


def test_a_path_on_the_command_line_is_relative_to_where_pytest_was_started(project, run):
    """In the configuration file it is relative to the root directory, wherever pytest is started."""
    source = "def test_show(durability):\n    print('\\nDIR', durability._call().context.directory)\n"
    run(source, "-s", "--durability-dir=here").stdout.fnmatch_lines([f"DIR {project.path}/here"])


def test_the_marker_goes_before_the_options(run):
    """Marker values are defaults for the calls of one test, and the closest marker wins."""
    source = r"""
import pytest

@pytest.mark.durability(models=["strict"], seed=5)
class TestIt:
    @pytest.mark.durability(seed=6, profile="ci", depth=1, isolation="process", max_examples=3)
    def test_show(self, durability):
        call = durability._call()
        print("\nCONTEXT", call.context.models, call.context.seed, call.context.profile, call.marker["depth"], call.marker["isolation"])
"""
    result = run(source, "-s", "--durability-models=posix", "--durability-seed=1")
    result.stdout.fnmatch_lines(["CONTEXT ('strict',) 6 ci 1 process*"])


@pytest.mark.parametrize(
    ("marker", "message"),
    [
        ("depths=2", "'depths' is not a keyword. Valid keywords: models, max_examples, seed, profile, depth, isolation, disk."),
        ("'posix'", "'posix' has no keyword"),
        ("models='ext3'", "'ext3' is not a persistence model"),
        ("models=3", "Valid models: process-kill"),
        ("profile='fast'", "'fast' is not a profile"),
        ("seed=-1", "'-1' is not a seed"),
        ("depth=3", "3 is not a depth. Valid depths: 1, 2."),
        ("isolation='vm'", "'vm' is not an isolation. Valid values: same, process."),
        ("disk='ram'", "'ram' is not a disk. Valid disks: files, fake."),
        ("max_examples=0", "0 is not a number of examples"),
    ],
)
def test_a_marker_that_cannot_be_used_stops_the_run(project, here, marker, message):
    """Also a marker of a test that would not run is an error: it names the test and the valid keywords."""
    project.makepyfile(test_it=f"import pytest\n\n@pytest.mark.durability({marker})\ndef test_it():\n    pass\n")
    result = here()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "test_it.py::test_it: @pytest.mark.durability" in result.stderr.str()
    assert message in result.stderr.str()


def test_a_marker_that_cannot_be_used_fails_its_test_under_xdist(run):
    """In a worker a usage error would look like a crash of the worker."""
    source = "import pytest\n\n@pytest.mark.durability(depths=1)\ndef test_it():\n    pass\n\ndef test_other():\n    pass\n"
    result = run(source, "-p", "xdist", "-n2")
    result.assert_outcomes(passed=1, errors=1)
    assert "'depths' is not a keyword" in result.stdout.str()


def test_the_marker_is_registered_with_its_signature(run):
    """`pytest --markers` shows it, and --strict-markers accepts it."""
    result = run("", "--markers")
    result.stdout.fnmatch_lines(
        ["@pytest.mark.durability(*, models=None, max_examples=None, seed=None, profile=None, depth=None*"]
    )


def test_the_help_lists_the_options_in_their_own_group(run):
    """Each option stands under `durability` with its twin."""
    text = run("", "--help").stdout.str()
    group = text[text.index("durability of session stores") :]
    for name in ("profile", "seed", "models", "dir", "fail-under", "replay", "html"):
        assert f"--durability-{name}" in group
        assert f"durability_{name.replace('-', '_')} (string)" in group


def test_the_header_is_silent_unless_something_is_set(run):
    """An unrelated run shows nothing of the plugin; with an option or -v it names what was set, and the seed."""
    unrelated = "def test_it():\n    pass\n"
    assert "durability:" not in run(unrelated).stdout.str()
    run(unrelated, "--durability-profile=ci").stdout.fnmatch_lines(["durability: profile=ci, seed=0"])
    run(unrelated, "-v").stdout.re_match_lines([r"durability: seed=\d+"])


def test_the_workers_of_xdist_share_seed_and_directory(project, run):
    """The controller draws the seed; two workers that drew their own would not repeat each other."""
    source = """
import pytest

@pytest.mark.parametrize("number", range(4))
def test_seed(durability, number, worker_id, record_property):
    context = durability._call().context
    (context.rootdir / f"seed-{number}").write_text(f"{context.seed} {context.directory}")
"""
    result = run(source, "-p", "xdist", "-n2", "--durability-dir=kept")
    result.assert_outcomes(passed=4)
    [told] = {(project.path / f"seed-{number}").read_text() for number in range(4)}
    assert told.endswith(f" {project.path}/kept")


def test_replay_keeps_only_the_test_of_the_case(project, run):
    """Other tests are deselected, and counted as such."""
    case = cases.Case("stores:Gone", "Reload()", "", test="test_it.py::test_b")
    cases.save(case, project.path / ".durability")
    source = "def test_a():\n    pass\n\ndef test_b():\n    pass\n"
    result = run(source, f"--durability-replay={case.id[:5]}", "-v")
    result.assert_outcomes(passed=1, deselected=1)
    assert "test_it.py::test_b PASSED" in result.stdout.str()


def test_a_replay_that_never_took_place_is_no_success(project, run):
    """A test that sweeps nothing, or another adapter, must not look like a store that was repaired."""
    case = cases.Case("stores:Gone", "Reload()", "", test="test_it.py::test_b")
    cases.save(case, project.path / ".durability")
    result = run("def test_b():\n    pass\n", f"--durability-replay={case.id}")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        [f"case {case.id} of the test test_it.py::test_b was not replayed: no test that was run sweeps stores:Gone"]
    )
    assert run("def test_b():\n    pass\n", f"--durability-replay={case.id}", "--collect-only").ret == pytest.ExitCode.OK
    result = run("def test_c():\n    pass\n", f"--durability-replay={case.id}")
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED
    result.stdout.fnmatch_lines([f"case {case.id} of the test test_it.py::test_b was not replayed*"])


@pytest.fixture
def loaded(project):
    """Run pytest with these arguments; the modules of this package, and the heavy ones of others, that it had loaded at its end."""
    project.makeconftest("""
import sys

HEAVY = "aiosqlite anthropic asyncio ctypes freezegun httpx httpx2 hypothesis openai pyfakefs respx sqlite3".split()

def pytest_unconfigure():
    names = sorted(name for name in sys.modules if name.split(".")[0] in {*HEAVY, "pytest_durability"})
    sys.stderr.write("LOADED " + " ".join(names) + "\\n")
""")

    def loaded(*arguments):
        result = project.run(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments)
        [line] = [line for line in result.stderr.lines if line.startswith("LOADED")]
        return set(line.split()[1:])

    return loaded


def test_an_unrelated_run_imports_nothing_of_the_harness(project, loaded):
    """The plugin costs an unrelated run its own modules, and neither Hypothesis nor the explorer nor the world."""
    project.makepyfile(test_it="def test_passes():\n    pass\n\ndef test_fails():\n    assert False\n")
    before = loaded()
    after = loaded("-p", "pytest_durability.plugin", "--durability-profile=dev")
    assert after - before <= {"pytest_durability"} | {f"pytest_durability.{name}" for name in LIGHT}
    assert loaded("-p", "pytest_durability.plugin") - before == {"pytest_durability"} | {
        f"pytest_durability.{name}" for name in OWN
    }


def test_what_needs_no_search_and_no_service_loads_neither(project, loaded):
    """A sweep and a world by hand load no Hypothesis, no fake file system, no database and no HTTP client."""
    project.makepyfile(
        test_it="""
from stores import Durable

def test_it(durability):
    durability.sweep(Durable, depth=1, models=["process-kill"])
    with durability.world() as world:
        assert world.root.is_dir()
"""
    )
    tops = {name.partition(".")[0] for name in loaded("-p", "pytest_durability.plugin")}
    assert tops - {"asyncio", "ctypes"} == {"pytest_durability"}


OWN = ("plugin", "plugin.options", "plugin.state")
LIGHT = (
    *OWN,
    "adapter",
    "coverage",
    "errors",
    "explore",
    "explore.settings",
    "explore.case",
    "faults",
    "history",
    "notation",
    "tokens",
    "verdict",
    "workload",
)
