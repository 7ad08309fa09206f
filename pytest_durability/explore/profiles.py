"""How much is tried is a setting of Hypothesis, so that whoever knows Hypothesis knows how to change it.

Rule: what is found depends on the profile and the seed alone; what Hypothesis keeps of earlier runs is tried besides. `ci`
draws the same every time, unless a seed is given. Nothing is timed and nothing is printed.
"""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, Phase, Verbosity, settings

STEPS = {"dev": 8, "ci": 10, "deep": 12}
"""How long a story is; longer ones rarely find more and shrink slowly."""

EXAMPLES = {"dev": 40, "ci": 100, "deep": 1000}
"""How many stories a profile tries; each is crashed everywhere."""

STATES = {"dev": 300, "ci": 1000, "deep": 10_000}
"""How many cuts of each story and model a profile tries, fewest losses first."""


def profile(name: str, *, max_examples: int | None, seed: int | None, own: bool = False, first: bool = True) -> settings:
    """The settings of a search: `seed` is the one that was asked for (None: none).

    `own`: for a machine of the user's own, where Hypothesis shrinks and tells its example. `first`: in later rounds what
    Hypothesis kept of earlier runs is not tried again. The database is that of the settings in force (`settings.default`),
    whatever kind it is; a search with a seed, or in the profile `ci`, repeats itself exactly, so there Hypothesis wants none.
    """
    exact: dict[str, Any] = {"database": None, "derandomize": seed is None and name == "ci"}
    if seed is None and name != "ci":
        exact = {"database": getattr(settings.default, "database", None), "derandomize": False}
    return settings(
        max_examples=max_examples or EXAMPLES[name],
        stateful_step_count=STEPS[name],
        deadline=None,
        verbosity=Verbosity.normal if own else Verbosity.quiet,
        report_multiple_bugs=True,
        print_blob=False,
        phases=(*([Phase.reuse] if first else []), Phase.generate, *([Phase.shrink] if own else [])),
        suppress_health_check=list(HealthCheck),
        **exact,
    )
