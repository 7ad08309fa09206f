"""Joins the harness and pytest: options, the marker, the `durability` fixture, and the report of a failure.

Rule: a test run that uses nothing of this pays nothing, so everything but pytest is imported inside functions; and what
must reach the terminal or a junit file travels as `user_properties` and report sections, because these survive xdist.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from pytest_durability.plugin import options
from pytest_durability.plugin.state import STATE, State, anomalies

if TYPE_CHECKING:
    from pytest_durability.plugin.fixture import Durability
    from pytest_durability.verdict import Anomaly


def pytest_addoption(parser: pytest.Parser) -> None:
    """Each option on the command line has a twin in the configuration file, in snake case."""
    options.add(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Check all options before the first test is collected."""
    config.addinivalue_line("markers", f"{options.MARKER}: defaults for the calls of the durability fixture in this test")
    config.stash[STATE] = state = State(options.read(config))
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Listener(state), "durability-listener")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave nothing behind in a process that runs pytest more than once."""
    if config.pluginmanager.hasplugin("durability-listener"):
        config.pluginmanager.unregister(name="durability-listener")
    if STATE in config.stash:
        del config.stash[STATE]


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """The controller of xdist draws the seed and hands it, with the directory, to each worker."""
    told = node.config.stash[STATE].options
    node.workerinput["durability"] = {"seed": told.seed, "directory": str(told.directory)}


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """Add up what a worker of xdist counted; one that crashed sent nothing."""
    del error
    node.config.stash[STATE].statistics.merge(getattr(node, "workeroutput", {}).get("durability"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Check the markers; with `--durability-replay` keep only the test that the case was saved for."""
    # A usage error at this place would look like a crash of the worker; there the test itself fails, in its setup.
    if not hasattr(config, "workerinput"):
        for item in items:
            options.marker(item)
    case = config.stash[STATE].options.replay
    if case is None or not case.test:
        return
    chosen = [item for item in items if item.nodeid == case.test]
    if len(chosen) < len(items):
        config.hook.pytest_deselected(items=[item for item in items if item.nodeid != case.test])
        items[:] = chosen


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Remember the running test, so that a session-scoped fixture can know it."""
    state = item.config.stash[STATE]
    before, state.item = state.item, item
    try:
        return (yield)
    finally:
        state.item = before


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A marker that cannot be used fails its test, wherever the test runs."""
    options.marker(item)


@pytest.fixture(scope="session")
def durability(request: pytest.FixtureRequest) -> Durability:
    """Breaks the world under a session store and judges what survives: `durability.sweep(MyAdapter)`."""
    from pytest_durability.plugin.fixture import Durability

    return Durability(request.config)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Put the sections of each anomaly below the failure, and verdict, names and case ids into the properties."""
    error = call.excinfo.value if call.excinfo is not None else None
    found = anomalies(error)
    _note_verdict(item, call.when, error, found)  # before the report is made, because that takes a copy
    report = yield
    for number, anomaly in enumerate(found, start=1):
        if anomaly.result is not None:
            report.sections += _sections(item, anomaly, number if len(found) > 1 else 0)
    return report


def _note_verdict(item: pytest.Item, when: str, error: BaseException | None, found: list[Anomaly]) -> None:
    noted = {name for name, _ in item.user_properties}
    if found:
        cases = [anomaly.result.case_id for anomaly in found if anomaly.result is not None and anomaly.result.case_id]
        item.user_properties += [
            (options.PREFIX + "verdict", "invalid"),
            (options.PREFIX + "anomalies", ",".join(type(anomaly).__name__ for anomaly in found)),
            *([(options.PREFIX + "cases", ",".join(cases))] if cases else []),
        ]
    elif error is not None and type(error).__name__ == "InconclusiveError":
        item.user_properties.append((options.PREFIX + "verdict", "unknown"))
    elif when == "call" and error is None and options.PREFIX + "sweep" in noted:
        item.user_properties.append((options.PREFIX + "verdict", "valid"))


def _sections(item: pytest.Item, anomaly: Anomaly, number: int) -> Iterator[tuple[str, str]]:
    from pytest_durability.plugin import pages
    from pytest_durability.report import text

    if anomaly.result is None:
        return
    html = pages.written(item.config, anomaly, item.nodeid)
    for title, content in text.sections(anomaly.result, test=item.nodeid, html=html, verbosity=item.config.get_verbosity()):
        yield (f"{title} ({number} {type(anomaly).__name__})" if number else title), content


def pytest_report_header(config: pytest.Config) -> str | None:
    """Silent unless an option is set or the run is verbose."""
    told = config.stash[STATE].options
    if not told.given and config.get_verbosity() < 1:
        return None
    seed = [] if any(text.startswith("seed=") for text in told.given) else [f"seed={told.seed}"]
    return f"durability: {', '.join([*told.given, *seed])}"


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """A worker hands on its figures. A replay that never took place, and a search that reached too little, are no success."""
    state = session.config.stash[STATE]
    if hasattr(session.config, "workerinput"):
        output: dict[str, Any] = session.config.workeroutput  # type: ignore[attr-defined]  # of xdist
        output["durability"] = state.statistics.to_data() if state.counted else {}
    elif exitstatus == pytest.ExitCode.OK and (_unreplayed(session.config) or _shortfall(state)):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _shortfall(state: State, verbosity: int = 0) -> list[str]:
    if not state.counted:
        return []
    from pytest_durability.plugin.statistics import shortfall

    return shortfall(state.statistics, state.options.fail_under, verbosity)


def _unmeasured(config: pytest.Config) -> str:
    """A threshold that had nothing to apply to is told and does not fail: a run of other tests is no wrong run."""
    state = config.stash[STATE]
    told = state.options
    if told.fail_under is None or told.replay is not None or _planned(config):
        return ""
    if state.counted and state.statistics.coverage is not None:
        return ""
    return f"fault coverage was not measured, no test ran a search: --durability-fail-under={told.fail_under:g} is not applied"


def _planned(config: pytest.Config) -> bool:
    return any(config.getoption(name, default=False) for name in ("collectonly", "setuponly"))


def _unreplayed(config: pytest.Config) -> str:
    state = config.stash[STATE]
    case = state.options.replay
    if (
        case is None
        or _planned(config)
        or any(name == options.PREFIX + "replayed" for said in state.said.values() for name, _ in said)
    ):
        return ""
    where = f" of the test {case.test}" if case.test else ""
    return f"case {case.id}{where} was not replayed: no test that was run sweeps {case.adapter}"


class _Listener:
    """Collects what tests said, in the process that writes to the terminal (the controller, under xdist)."""

    def __init__(self, state: State) -> None:
        self._state = state

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the properties of the last report of each test: they include those of the ones before."""
        said = [(str(name), str(value)) for name, value in report.user_properties if str(name).startswith(options.PREFIX)]
        if said:
            self._state.said[report.nodeid] = said


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """One line for each finding that did not fail its test; with -v one line for each sweep, with -vv its table; the fault coverage."""
    state, verbosity = config.stash[STATE], config.get_verbosity()
    lines = [*_summary(state, verbosity), *(state.statistics.lines(verbosity) if state.counted else ())]
    lines += [line for line in (_unreplayed(config), _unmeasured(config)) if line]
    lines += _shortfall(state, verbosity)
    if lines:
        terminalreporter.ensure_newline()
        terminalreporter.section("durability")
        for line in lines:
            terminalreporter.write_line(line, red=line.startswith("FAIL "))


def _summary(state: State, verbosity: int) -> Iterator[str]:
    for test, said in state.said.items():
        names = {name for name, _ in said}
        told = verbosity > 0 or bool(names & {options.PREFIX + "portability", options.PREFIX + "anomalies"})
        for name, value in said:
            kind = name.removeprefix(options.PREFIX)
            if kind == "replay" or (kind == "sweep" and told and verbosity >= 0):
                yield f"{test}: {value}"
            elif kind == "portability" and verbosity >= 0:
                yield f"portability: {test}: {value}"
            elif kind == "table":
                yield from value.split("\n")[1:]
