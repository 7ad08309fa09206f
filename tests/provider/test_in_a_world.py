"""`world.provider`: one history with the disk, and faults that never struck fail the test."""

from __future__ import annotations

import json
import threading

import pytest

from pytest_durability.dialects.strict import Strict
from pytest_durability.errors import UsageError
from pytest_durability.history import Lane
from pytest_durability.verdict import VacuousRun
from pytest_durability.world.world import open_world

BODY = {"model": "m", "input": "hi", "stream": True}


def test_disk_and_stream_are_in_one_order():
    """A program that writes each piece as it comes leaves them alternating in the history, and nothing of it on the disk."""
    pytest.importorskip("httpx2")
    with open_world() as world:
        world.provider.reply(["one", "two"])
        with (
            open(world.root / "log", "wb", buffering=0) as log,
            world.provider.client("httpx2") as client,
            client.stream("POST", "/v1/responses", json=BODY) as response,
        ):
            for part in response.iter_raw():
                if b"output_text.delta" in part:
                    log.write(part)
        kinds = [op.kind for op in world.history if op.kind in ("text", "write", "request")]
        assert kinds == ["request", "text", "write", "text", "write"]
        assert [op.target for op in world.disk.ops if op.kind == "create"] == ["log"]
        world.disk.verify()


def test_the_server_ends_with_the_world():
    """No thread of the loopback server outlives the block; ops of its threads are in the history of the world."""
    library = pytest.importorskip("httpx2")
    before = threading.active_count()
    with open_world() as world:
        world.provider.reply("Hello")
        url = f"{world.provider.base_url}/v1/responses"
        with library.Client(trust_env=False) as client:
            assert client.post(url, json=BODY).status_code == 200
        (world.root / "file").write_text("x")
        assert {op.lane for op in world.history} == {Lane.PROVIDER, Lane.STREAM, Lane.DISK}
        assert [op.seq for op in world.history] == list(range(1, len(world.history) + 1))
    assert threading.active_count() == before


def test_a_cut_that_never_struck_fails():
    """A green test in which no stream broke would say nothing; another exception comes first."""
    with pytest.raises(VacuousRun, match=r"cut\(reset after 2 characters\) never struck"), open_world() as world:
        world.provider.reply("text").cut(2, "reset")
    with pytest.raises(ZeroDivisionError), open_world() as world:
        _ = world.provider.reply("text").cut(2, "reset"), 1 / 0


def test_a_world_without_a_provider_has_none():
    """Nothing is made for a test that does not talk to a model."""
    with open_world() as world:
        assert world._provider is None


def test_rules_of_ones_own():
    """`provider=` takes the rules; anything else is refused."""
    body = json.dumps({"model": "m", "input": "hi"}).encode()
    with open_world(provider=Strict(keys=["only this"])) as world:
        assert world.provider.receive("POST", "/v1/responses", {}, body).rejected == "any.unauthorized"
    with pytest.raises(UsageError, match="provider='strict'"), open_world(provider="strict"):
        pass
