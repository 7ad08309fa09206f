"""Saved cases: the same failure has the same id everywhere, and whatever a file holds, reading it is safe."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pytest_durability.errors import CaseError
from pytest_durability.explore import case as cases
from pytest_durability.explore.case import Case
from pytest_durability.faults import Crash, LostWrite, Schedule
from pytest_durability.verdict import ANOMALIES
from pytest_durability.workload import Append, Commit, Reload, Workload, standard

WORKLOAD = str(standard(batches=True, commits=True, closes=True, ids=True))
SCHEDULE = str(Schedule((LostWrite("write:*:1"), Crash("rename:session.json:2", model="posix", lag=("names<-1",)))))
CASE = Case(
    "test_notes:Store",
    WORKLOAD,
    SCHEDULE,
    test="tests/test_notes.py::test_it[caf\u00e9]",
    anomaly="LostAcknowledged",
    summary="u1 is gone",
    seed=7,
    models=("posix",),
    extra={"why": [1, 2.5, None, {"deep": True}]},
)


def content(**changes) -> dict:
    """The JSON object of the saved case, with changes."""
    return json.loads(cases.dumps(CASE)) | changes


def load(data: bytes) -> Case:
    """Read a case from bytes."""
    return cases.loads(data, "the case")


def test_a_case_comes_back_as_it_was_saved(tmp_path):
    """By its id, by a unique beginning of it, and by its path."""
    path = cases.save(CASE, tmp_path / "deep" / "directory")
    assert path.name == f"{CASE.id}.json"
    for reference in (CASE.id, CASE.id[:4], str(path)):
        assert cases.load(reference, path.parent) == CASE


def test_the_file_is_deterministic_text(tmp_path):
    """Sorted keys, one a line, ASCII, a final line end: the same case gives the same bytes and diffs well."""
    data = cases.save(CASE, tmp_path).read_bytes()
    assert data == cases.save(CASE, tmp_path).read_bytes() == cases.dumps(CASE).encode("ascii")
    assert data.endswith(b"}\n")
    keys = [line.split('"')[1] for line in data.decode().splitlines() if line.startswith('  "')]
    assert keys == sorted(keys)
    assert [path.name for path in tmp_path.iterdir()] == [f"{CASE.id}.json"], "no temporary file is left"


def test_the_id_follows_from_what_defines_the_run():
    """Adapter, workload and schedule decide; where and when the case was seen does not."""
    assert Case(CASE.adapter, WORKLOAD, SCHEDULE, test="elsewhere", seed=99).id == CASE.id
    others = [Case("other:Store", WORKLOAD, SCHEDULE), Case(CASE.adapter, "Reload()", SCHEDULE), Case(CASE.adapter, WORKLOAD, "")]
    assert len({CASE.id, *(other.id for other in others)}) == 4


def test_a_case_without_a_disk_is_of_the_real_one():
    """Cases of the usual disk are written as before there was another, and have the same ids; one of the fake disk is another case."""
    faked = Case(CASE.adapter, WORKLOAD, SCHEDULE, disk="fake")
    assert "disk" not in content()
    assert load(cases.dumps(CASE).encode()).disk == "files"
    assert load(cases.dumps(faked).encode()) == faked
    assert faked.id != CASE.id
    with pytest.raises(CaseError, match="field 'disk' cannot be 'ram'"):
        load(json.dumps(content(disk="ram")).encode())


def test_the_id_is_the_same_in_each_process():
    """An id is printed in one process and typed into another."""
    code = "from pytest_durability.explore.case import Case; print(Case('m:Store', 'Reload()', '').id)"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    ids = {
        subprocess.run(
            [sys.executable, "-c", code], env=environment | {"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert ids == {Case("m:Store", "Reload()", "").id}
    assert ids == {"7481d49009"}, "an id that changes between releases orphans every command that was ever pasted"


def test_saved_lists_the_cases_of_one_test(tmp_path):
    """Cases of other tests, and files that are no case, are passed over."""
    assert cases.saved(tmp_path / "absent", "t") == []
    mine = [Case("m:Store", str(Workload((Append("user", f"zu{n}z"),))), "", test="t") for n in range(1, 4)]
    for case in [*mine, CASE]:
        cases.save(case, tmp_path)
    (tmp_path / "0123456789.json").write_text("{")
    (tmp_path / "notes.json").write_text("{}")
    assert cases.saved(tmp_path, "t") == sorted(mine, key=lambda case: case.id)


def test_a_beginning_that_fits_two_cases_is_refused(tmp_path):
    """An id that is not unique names the candidates."""
    for name in ("abcdef0000", "abcdef0001"):
        (tmp_path / f"{name}.json").write_text("{}")
    with pytest.raises(CaseError, match="beginning of 2 cases: abcdef0000, abcdef0001"):
        cases.load("abcdef", tmp_path)


def test_an_unknown_id_says_where_it_was_looked_for(tmp_path):
    """The message names the directory, how many cases are there, and one of them."""
    cases.save(CASE, tmp_path)
    with pytest.raises(CaseError) as caught:
        cases.load("ffffffffff", tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert f"1 cases are saved there, for instance {CASE.id}" in str(caught.value)
    assert "fix: " in str(caught.value)


@pytest.mark.parametrize("reference", ["../../etc/shadow", "no/such.json", "", "a\0b", "x" * 5_000, "/dev/zero", ".", "abc"])
def test_a_reference_that_is_no_case_file_is_refused(tmp_path, reference):
    """Missing files, directories, devices and impossible names are a CaseError, and reading a device does not hang."""
    with pytest.raises(CaseError):
        cases.load(reference, tmp_path)


def test_a_pipe_is_refused_without_waiting(tmp_path):
    """Opening a pipe would block until somebody writes to it."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CaseError, match="not a regular file"):
        cases.load(str(tmp_path / "pipe"), tmp_path)


def test_a_file_larger_than_the_limit_is_refused(tmp_path):
    """A sparse file of a terabyte costs no memory."""
    path = tmp_path / "large.json"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(CaseError, match="larger than 16777216 bytes"):
        cases.load(str(path), tmp_path)


@pytest.mark.parametrize("name", sorted(content()))
def test_each_field_is_needed(name):
    """A field that is missing is named."""
    raw = content()
    del raw[name]
    with pytest.raises(CaseError, match=name if name != "version" else "format version None"):
        load(json.dumps(raw).encode())


@pytest.mark.parametrize("name", sorted(set(content()) - {"extra"}))
@pytest.mark.parametrize("value", [None, 1.5, -1, True, ["x", 1], {}, "\ud800", 1 << 64, "../../x", "[" * 100])
def test_each_field_has_its_type(name, value):
    """A value of another type or range is refused, in every field."""
    if name in ("adapter", "test", "summary") and value in ("../../x", "[" * 100):
        raw = content(**{name: value})
        if name == "adapter":  # the id no longer fits
            with pytest.raises(CaseError):
                load(json.dumps(raw).encode())
        else:
            assert getattr(load(json.dumps(raw).encode()), name) == value
        return
    with pytest.raises(CaseError):
        load(json.dumps(content(**{name: value})).encode())


def test_an_unknown_field_is_refused():
    """A field that this release does not know could change what is replayed."""
    with pytest.raises(CaseError, match="missing or unknown fields: 'importance'"):
        load(json.dumps(content(importance=3)).encode())


def test_another_version_is_refused():
    """The message names both versions."""
    with pytest.raises(CaseError, match="format version 2, this release reads version 1"):
        load(json.dumps(content(version=2)).encode())


def test_a_case_that_was_changed_by_hand_is_refused():
    """The id is a digest of the run: another workload under the old id would be a lie."""
    with pytest.raises(CaseError, match="changed by hand"):
        load(json.dumps(content(workload="Reload()")).encode())


def test_each_cut_of_a_file_is_refused():
    """No beginning of a case is a case."""
    data = cases.dumps(CASE).encode()
    for end in range(len(data) - 1):
        with pytest.raises(CaseError):
            load(data[:end])


HOSTILE = [
    b"",
    b"\xff\xfe",
    b"null",
    b"[]",
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b'{"seed": ' + b"9" * 10_000 + b"}",
    b'{"seed": NaN}',
    b'{"seed": Infinity}',
    b'{"seed": 1, "seed": 2}',
    cases.dumps(CASE).replace('"seed": 7', '"seed": 7, "seed": 8').encode(),
    cases.dumps(CASE).replace("2.5", "1e999").encode(),
    cases.dumps(CASE).replace("2.5", "[" * 60 + "]" * 60).encode(),
]


@pytest.mark.parametrize("data", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_json_is_refused(data):
    """Depth, size, constants that JSON lacks, and keys that stand twice."""
    with pytest.raises(CaseError):
        load(data)


TEXTS = [
    "__import__('os').system('touch pwned')",
    "Append(role='user', text=open('/etc/passwd').read())",
    "Append('user', 'positional')",
    "Append(role='user', text=1)",
    "AppendMany(messages=5)",
    "AppendMany(messages=(1, 2))",
    "Append(role='user', text=" + "-" * 20_000 + "1)",
    "Append(role='user', text=" + "(" * 150 + ")" * 150 + ")",
    "(" * 5_000,
    "Append(role='user', text='\\d')",
    "Append(role='a', role='b', text='')",
    "Crash(after='write:a:1')",
    "ClockStep(step=1, seconds=1e999)",
    "WriteError(at='write:a:1', error='\\ud800')",
    "LostWrite(at='write:a:" + "9" * 5_000 + "')",
    "Reload() # comment",
    "\0",
]


@pytest.mark.parametrize("field", ["workload", "schedule"])
@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_hostile_texts_are_refused_and_never_run(tmp_path, monkeypatch, field, text):
    """A workload or schedule is parsed, not evaluated: unknown calls, wrong types and deep nesting are refused."""
    if field == "schedule" and text.startswith("Crash"):
        return
    monkeypatch.chdir(tmp_path)
    case = Case("m:Store", **({"workload": "Reload()", "schedule": ""} | {field: text}))
    raw = json.loads(cases.dumps(CASE)) | {
        "adapter": "m:Store",
        "workload": case.workload,
        "schedule": case.schedule,
        "id": case.id,
    }
    with pytest.raises(CaseError):
        load(json.dumps(raw).encode())
    with pytest.raises(CaseError):
        cases.save(case, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_loading_imports_nothing(tmp_path):
    """The adapter is a name to compare, not a module to import."""
    path = cases.save(Case("antigravity:Store", "Reload()", ""), tmp_path)
    code = f"import sys; from pytest_durability.explore.case import load; load({str(path)!r}, '.'); print('antigravity' in sys.modules)"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_what_cannot_be_read_back_is_not_saved(tmp_path):
    """A value that JSON lacks is noticed by the one who saves."""
    for extra in ({"x": object()}, {"x": float("nan")}, {1: 2}, {"x": (1,)}):
        with pytest.raises(CaseError):
            cases.save(Case("m:Store", "Reload()", "", extra=extra), tmp_path)
    assert list(tmp_path.iterdir()) == []


WORDS = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
STEPS = st.one_of(st.builds(Append, WORDS, WORDS, st.none() | WORDS), st.builds(Commit, st.integers(0, 9)), st.just(Reload()))


@given(
    st.builds(
        Case, WORDS, st.builds(lambda steps: str(Workload(tuple(steps))), st.lists(STEPS, max_size=4)), st.just(SCHEDULE), WORDS
    )
)
def test_any_case_comes_back_as_it_was(case):
    """Whatever the texts hold, dumps and loads are inverse."""
    assert load(cases.dumps(case).encode()) == case


@settings(max_examples=300)
@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
@example(b'{"version": 1}')
def test_any_bytes_are_a_case_or_a_case_error(data):
    """Nothing else ever leaves the reader."""
    with pytest.raises(CaseError):
        load(data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS,
    lambda inner: st.lists(inner) | st.dictionaries(WORDS, inner),
    max_leaves=8,
)


@settings(max_examples=300)
@given(st.sampled_from(sorted(content())), JSON)
def test_any_value_in_any_field_is_a_case_or_a_case_error(name, value):
    """One field replaced by any JSON value: it loads as the same value, or it is refused."""
    try:
        case = load(json.dumps(content(**{name: value})).encode())
    except CaseError:
        return
    assert json.loads(cases.dumps(case))[name] == value


@settings(max_examples=300)
@given(st.integers(0, len(cases.dumps(CASE)) - 1), st.binary(max_size=4))
def test_a_damaged_file_loads_equal_or_is_refused(place, damage):
    """Bytes changed anywhere cannot make another run out of a saved one."""
    data = cases.dumps(CASE).encode()
    try:
        case = load(data[:place] + damage + data[place + len(damage) :])
    except CaseError:
        return
    assert (case.id, case.workload, case.schedule, case.adapter) == (CASE.id, WORKLOAD, SCHEDULE, CASE.adapter)


def test_each_anomaly_can_be_saved(tmp_path):
    """The names that a case may carry are those of the anomalies."""
    for name in ANOMALIES:
        cases.save(Case("m:Store", "Reload()", "", anomaly=name), tmp_path)
    assert cases.saved(tmp_path, "")[0].anomaly == list(ANOMALIES)[-1]
