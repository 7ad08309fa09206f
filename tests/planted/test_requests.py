"""Sessions that load well and break the next request: each flaw is told by its anomaly, and the sound stores pass."""

from __future__ import annotations

import pytest

from pytest_durability import AdapterError, Anomaly
from pytest_durability.workload import Append, Commit, Workload
from tests.planted.requests import FLAWS, SOUND, Shuffles, Toolbox

STEPS = Workload(
    (
        Append("user", "which primes are below 20?"),
        Append("assistant", "eight of them"),
        Append("user", "add them up"),
        Append("assistant", "77"),
        Commit(1),
        Append("user", "thanks"),
    )
)


def steps(adapter):
    """The steps that a store can take; one that shuffles keeps all messages, because two of them come in the same order too often."""
    return (
        STEPS
        if hasattr(adapter, "commit") and adapter is not Shuffles
        else Workload(tuple(step for step in STEPS if not isinstance(step, Commit)))
    )


@pytest.mark.parametrize("adapter", FLAWS)
def test_the_flaw_is_told_by_its_name(durability, adapter):
    """A crash at any operation, or none at all, shows it."""
    with pytest.raises((Anomaly, ExceptionGroup)) as caught:
        durability.sweep(adapter, steps(adapter), models="process-kill", depth=1)
    found = caught.value.exceptions if isinstance(caught.value, ExceptionGroup) else [caught.value]
    assert FLAWS[adapter] in {type(anomaly).__name__ for anomaly in found}


@pytest.mark.parametrize("adapter", SOUND)
def test_the_sound_stores_pass(durability, adapter):
    """No crash leaves half of what belongs together, and the same bytes are the same session."""
    assert durability.sweep(adapter, steps(adapter), models="process-kill", depth=1).states > 5


def test_a_request_is_a_body(durability):
    """An adapter that returns anything else is told so, with what to return."""

    class Wrong(Toolbox):
        def request(self, path):
            return [{"role": "user", "content": "?"}]

    with pytest.raises(AdapterError, match=r"request gave .* of type list"):
        durability.sweep(Wrong, STEPS, models="process-kill", depth=1)
