"""The four tests of a reported bug, and the same four found by the harness without being told.

A lost clear was reported with four tests, which `tests/reference_impl/test_session_stale_message_recovery.py` has by name. Each
protects the store from one way to go wrong. Here each protection is taken out, and the default sweep is left to find that:

    written by hand                                   without the protection            found by the default sweep
    keep=0 lost clear: nothing stale is left          TrustsLive: no heal               Duplicate, Resurrected    (netput)
    keep>0 lost clear: the retained tail is left      LosesRetained: heals too much     LostAcknowledged, SilentEmpty (netput)
    a consistent session is left alone                RewritesHealthy: counts loads     HealedHealthy             (no fault)
    a legacy session without meta is left alone       HealsLegacy: no meta is no clear  SilentEmpty               (netput)
"""

from __future__ import annotations

import pytest

from pytest_durability.explore.settings import Context
from pytest_durability.explore.sweep import sweep
from tests.planted.four import FOUR, found
from tests.reference_impl import test_session_stale_message_recovery as by_hand
from tests.reference_impl.adapter import ReferenceSession


@pytest.mark.parametrize("scenario", FOUR, ids=lambda scenario: scenario.variant)
def test_the_harness_finds_it_unaided(scenario, tmp_path):
    """With nothing but defaults: exactly these anomalies, and the test by hand is there under its name."""
    assert set(found(scenario, tmp_path)) == scenario.anomalies
    assert hasattr(by_hand, f"test_{scenario.test}")


def test_the_store_with_all_four_protections_has_none_of_it(tmp_path):
    """The same sweep, with the same defaults."""
    report = sweep(ReferenceSession, depth=1, context=Context(directory=tmp_path))
    assert report.anomalies == report.portability == ()
