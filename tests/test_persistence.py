"""Persistence models: looked up by name, ordered by strength, fatal as promised."""

from __future__ import annotations

import pytest

from pytest_durability.adapter import Promise
from pytest_durability.errors import UsageError
from pytest_durability.persistence import DEFAULT, LOCAL_POWER, MODELS, NETPUT, POSIX, PROCESS_KILL, Mount, fatal, model, resolve


def test_strength_orders_the_models():
    """No two models are equally strong, and the table stands from weak to strong."""
    strengths = [found.strength for found in MODELS.values()]
    assert strengths == sorted(set(strengths))
    assert all(str(found) == name == found.name for name, found in MODELS.items())


def test_only_a_process_kill_leaves_the_power_on():
    """Every other model is a power cut."""
    assert [found.name for found in MODELS.values() if not found.power] == ["process-kill"]
    assert (PROCESS_KILL.names, PROCESS_KILL.data) == ("live", "live")


@pytest.mark.parametrize("name", ["", "ext4", "Posix", "posix ", "*", None, 5])
def test_an_unknown_model_is_told_with_the_known_ones(name):
    """The names that exist stand in the message."""
    with pytest.raises(UsageError, match="choose from: process-kill, strict"):
        model(name)


def test_models_are_resolved_weakest_first_and_once():
    """Names, a text with commas and models are the same; repeats count once."""
    expected = tuple(MODELS[name] for name in ("process-kill", "posix"))
    assert (
        resolve("posix, process-kill,")
        == resolve(["posix", "process-kill", "posix"])
        == resolve([POSIX, "process-kill"])
        == expected
    )
    assert tuple(found.name for found in resolve(None)) == DEFAULT


@pytest.mark.parametrize("names", ["", ",", " , ", [], ()])
def test_no_model_at_all_is_refused(names):
    """A run under no model would say nothing."""
    with pytest.raises(UsageError, match="no persistence model"):
        resolve(names)


@pytest.mark.parametrize(
    ("promise", "named", "expected"),
    [
        (Promise(), None, {"process-kill"}),
        (Promise("clean-exit"), None, set()),
        (Promise("clean-exit"), ["posix"], {"posix"}),
        (Promise(), ["posix"], {"process-kill", "posix"}),
        (Promise("power-loss"), None, {"process-kill", *LOCAL_POWER}),
        (Promise("power-loss", filesystems=("ext4-delalloc",)), None, {"process-kill", "ext4-delalloc"}),
        (Promise("power-loss", filesystems=("strict",)), ["posix"], {"process-kill", "strict", "posix"}),
        (Promise(filesystems=("posix",)), None, {"process-kill"}),
        (Promise(lost_writes="consistent"), None, {"process-kill", "netput"}),
        (Promise("power-loss", filesystems=("netput",)), None, {"process-kill", "netput"}),
        (Promise(), ["netput"], {"process-kill", "netput"}),
    ],
)
def test_what_is_fatal_follows_from_the_promise(promise, named, expected):
    """A stronger promise makes more models fatal, and so does naming one."""
    assert fatal(promise, named) == expected


def test_only_netput_is_a_mount():
    """It is tried by default, and promised by nobody who does not name it or speak of lost writes."""
    assert [found for found in MODELS.values() if found.mount is not None] == [NETPUT]
    assert NETPUT.mount == Mount("until_close", "put", faults=1)
    assert DEFAULT[-1] == "netput"
    assert "netput" not in LOCAL_POWER


@pytest.mark.parametrize("wrong", [{"ack_loss": "often"}, {"fsync": True}, {"faults": -1}, {"late": -1}])
def test_a_mount_that_cannot_be_is_refused(wrong):
    """With the value and the ones that are valid."""
    with pytest.raises(UsageError, match=str(next(iter(wrong.values())))):
        Mount(**wrong)


def test_a_promise_on_an_unknown_file_system_is_refused():
    """A promise that names no model cannot be tested."""
    with pytest.raises(UsageError, match="'ext5'"):
        fatal(Promise("power-loss", filesystems=("ext5",)))


@pytest.mark.parametrize(
    ("text", "name", "mount"),
    [
        ("netput(faults=2)", "netput(faults=2)", Mount(faults=2)),
        ("netput( late=1 , ack_loss=never )", "netput(ack_loss=never,late=1)", Mount(ack_loss="never", late=1)),
        ("netput(order=any)", "netput(ack_loss=until_fsync,order=any)", Mount(ack_loss="until_fsync", order="any")),
        ("netput(order=fifo,faults=1)", "netput", Mount()),
    ],
)
def test_a_mount_takes_parameters(text, name, mount):
    """However they are written, a model has one name, by which it is found again; a delayed order implies a late answer."""
    found = model(text)
    assert (found.name, found.mount) == (name, mount)
    assert model(found.name) == found
    assert (found == NETPUT) == (name == "netput")


@pytest.mark.parametrize(
    "text", ["()", "(order)", "(order=x)", "(faults=-1)", "(faults=1,faults=2)", "(order=any,ack_loss=never)"]
)
def test_a_mount_refuses_other_parameters(text):
    """And says which there are."""
    with pytest.raises(UsageError, match=r"(?s)(no parameter of netput.*order=fifo/per_key/any)|until_fsync"):
        model(f"netput{text}")


def test_only_a_mount_takes_parameters():
    """The other models are what their file systems are."""
    with pytest.raises(UsageError, match="is not a persistence model"):
        model("posix(order=any)")


def test_commas_inside_of_parentheses_separate_parameters():
    """Not models."""
    names = [found.name for found in resolve("netput(order=per_key,faults=0), posix")]
    assert names == ["posix", "netput(ack_loss=until_fsync,order=per_key,faults=0)"]
    assert fatal(Promise(), names) == {"process-kill", *names}
