"""What the command line, the configuration file and markers say is checked here, once, before anything runs.

Rule: values are plain strings until they are read; a value that cannot be used is a `pytest.UsageError` that lists the
valid ones. The closest wins: call argument, marker, command line, configuration file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_durability.explore.case import Case

MARKER = "durability(*, models=None, max_examples=None, seed=None, profile=None, depth=None, isolation=None, disk=None)"
KEYWORDS = ("models", "max_examples", "seed", "profile", "depth", "isolation", "disk")
_HELP = {
    "profile": "how much is tried: dev, ci or deep (default: dev)",
    "seed": "the seed of everything that is drawn (default: drawn anew; 0 with the profile ci)",
    "models": "persistence models to explore, separated by commas (default: they follow from the promise)",
    "dir": "directory of saved cases (default: .durability in the root directory)",
    "fail_under": "fail if less than this part of the fault points was reached over all tests (default: never fail for it)",
}
_METAVARS = {"seed": "N", "dir": "DIR", "models": "A,B", "fail_under": "PERCENT"}
_HTML_HELP = "write an HTML report of each finding next to its saved case"
_REPLAY_HELP = "run exactly the saved case with this id (or the case in this file), and no other test"
PREFIX = "durability_"
_SEEDS = 1 << 64
_PERCENT = re.compile(r"[0-9]{1,3}(\.[0-9]{1,9})?")
_TRUTHS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


@dataclass(frozen=True)
class Options:
    """The options of this run, checked; `seeded`: whether somebody asked for the seed."""

    profile: str
    seed: int
    models: tuple[str, ...] | None
    directory: Path
    replay: Case | None
    seeded: bool
    fail_under: float | None
    html: bool
    given: tuple[str, ...]


def add(parser: pytest.Parser) -> None:
    """Each option on the command line has a twin in the configuration file, in snake case."""
    group = parser.getgroup("durability", "durability of session stores")
    for name, text in _HELP.items():
        group.addoption(_flag(name), dest=PREFIX + name, default=None, metavar=_METAVARS.get(name, "NAME"), help=text)
        parser.addini(PREFIX + name, text, default="")
    group.addoption(
        "--durability-html", dest="durability_html", action="store_const", const="true", default=None, help=_HTML_HELP
    )
    parser.addini("durability_html", _HTML_HELP, default="")
    group.addoption("--durability-replay", dest="durability_replay", default=None, metavar="ID|FILE", help=_REPLAY_HELP)
    parser.addini("durability_replay", _REPLAY_HELP, default="")


def _flag(name: str) -> str:
    return f"--durability-{name.replace('_', '-')}"


def read(config: pytest.Config) -> Options:
    """The options of this run, each checked.

    Raises:
        pytest.UsageError: a value that is not one of the valid ones, or a case that cannot be read.
    """
    given: dict[str, str] = {}
    for name in (*_HELP, "replay", "html"):
        value = config.getoption(PREFIX + name, default=None)
        text = str(config.getini(PREFIX + name) if value is None else value).strip()
        if text:
            given[name] = text
    told: Mapping[str, Any] = getattr(config, "workerinput", {}).get("durability", {})
    profile = _profile(given["profile"], "--durability-profile") if "profile" in given else "dev"
    directory = Path(told.get("directory") or _directory(config, given.get("dir", ".durability")))
    return Options(
        profile=profile,
        seed=told["seed"]
        if "seed" in told
        else _seed(given["seed"], "--durability-seed")
        if "seed" in given
        else _drawn(profile),
        models=_models(given["models"], "--durability-models") if "models" in given else None,
        directory=directory,
        replay=_load(given["replay"], directory) if "replay" in given else None,
        seeded="seed" in given,
        fail_under=_percent(given["fail_under"], _flag("fail_under")) if "fail_under" in given else None,
        html=_truth(given["html"], "--durability-html") if "html" in given else False,
        given=tuple(f"{name.replace('_', '-')}={text}" for name, text in given.items()),
    )


def _directory(config: pytest.Config, text: str) -> Path:
    """A path on the command line is relative to where pytest was started, in the configuration file to the root directory."""
    typed = config.getoption("durability_dir", default=None) is not None
    return (config.invocation_params.dir if typed else config.rootpath) / text


def _drawn(profile: str) -> int:
    """A new seed for each run, but always the same one in CI: there a red run must mean that something changed."""
    return 0 if profile == "ci" else int.from_bytes(os.urandom(4), "big")


def _seed(text: str, where: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > len(str(_SEEDS)) or int(text) >= _SEEDS:
        raise pytest.UsageError(f"{where}: {text[:40]!r} is not a seed. Valid seeds: 0 to {_SEEDS - 1}.")
    return int(text)


def _percent(text: str, where: str) -> float:
    if not _PERCENT.fullmatch(text) or float(text) > 100:  # noqa: PLR2004  the whole
        raise pytest.UsageError(f"{where}: {text[:40]!r} is not a percentage. Valid percentages: 0 to 100, such as 80 or 92.5.")
    return float(text)


def _truth(text: str, where: str) -> bool:
    if text.lower() not in _TRUTHS:
        raise pytest.UsageError(f"{where}: {text[:40]!r} is neither yes nor no. Valid values: {', '.join(_TRUTHS)}.")
    return _TRUTHS[text.lower()]


def _profile(text: Any, where: str) -> str:
    from pytest_durability.explore.settings import PROFILES

    if text not in PROFILES:
        raise pytest.UsageError(f"{where}: {text!r} is not a profile. Valid profiles: {', '.join(PROFILES)}.")
    return str(text)


def _models(names: Any, where: str) -> tuple[str, ...]:
    from pytest_durability.errors import UsageError
    from pytest_durability.persistence import MODELS, resolve

    try:
        return tuple(model.name for model in resolve(names))
    except (UsageError, TypeError) as error:
        what = str(error).splitlines()[0]
        raise pytest.UsageError(f"{where}: {what}. Valid models: {', '.join(MODELS)}.") from None


def _load(what: str, directory: Path) -> Case:
    from pytest_durability.errors import CaseError
    from pytest_durability.explore import case

    try:
        return case.load(what, directory)
    except CaseError as error:
        raise pytest.UsageError(f"--durability-replay: {error}") from None


def marker(item: pytest.Item | None) -> dict[str, Any]:
    """The keywords of all markers of a test, the closest one wins; None stands for "not given"."""
    found: dict[str, Any] = {}
    for mark in item.iter_markers("durability") if item is not None else ():
        where = f"{item.nodeid if item is not None else ''}: @pytest.mark.durability"
        if mark.args:
            raise pytest.UsageError(f"{where}: {mark.args[0]!r} has no keyword. Valid keywords: {', '.join(KEYWORDS)}.")
        for name, value in mark.kwargs.items():
            if name not in KEYWORDS:
                raise pytest.UsageError(f"{where}: {name!r} is not a keyword. Valid keywords: {', '.join(KEYWORDS)}.")
            if value is not None:
                found.setdefault(name, _marked(name, value, f"{where}({name}=...)"))
    return found


def _marked(name: str, value: Any, where: str) -> Any:
    if name == "models":
        return _models(value, where)
    if name == "profile":
        return _profile(value, where)
    if name == "seed":
        return _seed(str(value), where)
    if name == "isolation" and value not in ("same", "process"):
        raise pytest.UsageError(f"{where}: {value!r} is not an isolation. Valid values: same, process.")
    if name == "disk" and value not in ("files", "fake"):
        raise pytest.UsageError(f"{where}: {value!r} is not a disk. Valid disks: files, fake.")
    if name == "depth" and value not in (1, 2):
        raise pytest.UsageError(f"{where}: {value!r} is not a depth. Valid depths: 1, 2.")
    if name == "max_examples" and (type(value) is not int or value < 1):
        raise pytest.UsageError(f"{where}: {value!r} is not a number of examples. Valid numbers: 1 and more.")
    return value
