"""The checks that anyone can run pass where they should, fail where they should, and go to a service that is honest."""

from __future__ import annotations

import pytest

from pytest_durability.dialects.replies import Reply, reasoning, text
from pytest_durability.world.provider.provider import Provider
from reference_impl import verify
from reference_impl.replay.loopback import Loopback


@pytest.mark.parametrize("scenario", ["reasoning-replay", "disk-resume"])
@pytest.mark.parametrize("strict", [True, False])
def test_the_checks_pass(scenario, strict, capfd):
    """Each hard check passes through the real client, against the strict provider and against the small one of its own."""
    pytest.importorskip("openai")
    service = Provider()
    service.otherwise(Reply((reasoning(""), text("An answer."))))
    try:
        assert verify.main([scenario, *(["--base-url", f"{service.base_url}/v1"] if strict else [])]) == 0
    finally:
        service.close()
    lines = [line for line in capfd.readouterr().out.splitlines() if not line.startswith(" ")]
    assert len(lines) == {"reasoning-replay": 4, "disk-resume": 3}[scenario]
    assert all(line.startswith("PASS ") for line in lines)
    if strict:
        assert [exchange.rejected for exchange in service.requests] == [""] * len(service.requests)
        assert len(service.requests) == {"reasoning-replay": 8, "disk-resume": 4}[scenario]


def test_the_checks_can_fail(capfd, monkeypatch):
    """A service that never thinks gives nothing to replay, and that is no PASS."""
    pytest.importorskip("openai")
    service = Provider()
    service.otherwise("An answer.")
    try:
        assert verify.main(["reasoning-replay", "--base-url", f"{service.base_url}/v1"]) == 1
    finally:
        service.close()
    assert "FAIL  replay fires when on: 0 times" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda items: items.pop(2), "input"),
        (lambda items: items.append(items[1]), "input"),
        (lambda items: items[1].update(status="completed"), "unknown_parameter"),
        (lambda items: items[0].update(_thought=True), "unknown_parameter"),
        (lambda items: items[1].update(encrypted_content="gAAAAA"), "invalid_encrypted_content"),
        (lambda items: items.append({"type": "function_call", "call_id": "c1"}), "input"),
        (lambda items: items.append({"type": "function_call_output", "call_id": "c1"}), "input"),
    ],
)
def test_the_small_service_is_honest(change, code):
    """It takes a faithful replay, and refuses what the real service would refuse of it."""
    service = Loopback()
    asked = {"model": "m", "include": ["reasoning.encrypted_content"], "input": [{"role": "user", "content": "x"}]}
    thought, said = service.answer("key", asked)[1]["output"]
    item = {key: value for key, value in thought.items() if key != "status"}
    items = [*asked["input"], item, {"role": "assistant", "content": said["content"][0]["text"]}]
    assert service.answer("key", {**asked, "input": items})[0] == 200
    assert service.answer("another key", {**asked, "input": items})[0] == 400
    change(items)
    status, body = service.answer("key", {**asked, "input": items})
    assert status == 400
    assert code in (body["error"]["param"], body["error"]["code"])
    service._server.server_close()
