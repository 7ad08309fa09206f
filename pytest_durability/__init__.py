"""Fault injection for agent session stores: what was acknowledged, or shown to the user, must survive.

Rule: importing this package imports nothing else; each public name is loaded from its module when it is first used,
because the plugin is part of every pytest run of a project, also of those that test nothing durable.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_durability.adapter import Message, Promise, SessionAdapter
    from pytest_durability.errors import AdapterError, CaseError, DurabilityError, RecorderError, UnsupportedError, UsageError
    from pytest_durability.explore.machine import SessionMachine
    from pytest_durability.faults import (
        CancelTurn,
        ClockStep,
        Crash,
        CutStream,
        Interrupt,
        LostAck,
        LostWrite,
        Place,
        RejectRequest,
        ReorderTurns,
        Schedule,
        ShortWrite,
        TornWrite,
        WriteError,
    )
    from pytest_durability.history import History, Lane, Op, Outcome
    from pytest_durability.persistence import PersistenceModel
    from pytest_durability.verdict import (
        Anomaly,
        DamageSpread,
        Duplicate,
        EffectRepeated,
        ForeignReasoning,
        HealedHealthy,
        HealNotIdempotent,
        LeftLocked,
        LegacyLost,
        LostAcknowledged,
        LostDelivered,
        LostInput,
        NotDeterministic,
        NotSerialisable,
        Phantom,
        Reordered,
        Result,
        Resurrected,
        RetryDoubled,
        SilentEmpty,
        SplitBatch,
        StaleReplace,
        StoresDisagree,
        SweepReport,
        UnansweredCall,
        Unloadable,
        UnsoundHeal,
        VacuousRun,
        Verdict,
        Wedged,
        WindowBroken,
    )
    from pytest_durability.workload import (
        Append,
        AppendMany,
        Ask,
        Close,
        Commit,
        FullDisk,
        On,
        PowerLoss,
        Read,
        Reload,
        Retry,
        Say,
        Together,
        Workload,
    )
    from pytest_durability.world.world import World

__version__ = "0.1.0.dev0"

__all__ = [
    "AdapterError",
    "Anomaly",
    "Append",
    "AppendMany",
    "Ask",
    "CancelTurn",
    "CaseError",
    "ClockStep",
    "Close",
    "Commit",
    "Crash",
    "CutStream",
    "DamageSpread",
    "Duplicate",
    "DurabilityError",
    "EffectRepeated",
    "ForeignReasoning",
    "FullDisk",
    "HealNotIdempotent",
    "HealedHealthy",
    "History",
    "Interrupt",
    "Lane",
    "LeftLocked",
    "LegacyLost",
    "LostAck",
    "LostAcknowledged",
    "LostDelivered",
    "LostInput",
    "LostWrite",
    "Message",
    "NotDeterministic",
    "NotSerialisable",
    "On",
    "Op",
    "Outcome",
    "PersistenceModel",
    "Phantom",
    "Place",
    "PowerLoss",
    "Promise",
    "Read",
    "RecorderError",
    "RejectRequest",
    "Reload",
    "ReorderTurns",
    "Reordered",
    "Result",
    "Resurrected",
    "Retry",
    "RetryDoubled",
    "Say",
    "Schedule",
    "SessionAdapter",
    "SessionMachine",
    "ShortWrite",
    "SilentEmpty",
    "SplitBatch",
    "StaleReplace",
    "StoresDisagree",
    "SweepReport",
    "Together",
    "TornWrite",
    "UnansweredCall",
    "Unloadable",
    "UnsoundHeal",
    "UnsupportedError",
    "UsageError",
    "VacuousRun",
    "Verdict",
    "Wedged",
    "WindowBroken",
    "Workload",
    "World",
    "WriteError",
    "__version__",
]

_MODULES = {
    "adapter": "Message Promise SessionAdapter",
    "errors": "AdapterError CaseError DurabilityError RecorderError UnsupportedError UsageError",
    "explore.machine": "SessionMachine",
    "faults": "CancelTurn ClockStep Crash CutStream Interrupt LostAck LostWrite Place RejectRequest ReorderTurns Schedule "
    "ShortWrite TornWrite WriteError",
    "history": "History Lane Op Outcome",
    "persistence": "PersistenceModel",
    "verdict": "Anomaly DamageSpread Duplicate EffectRepeated ForeignReasoning HealNotIdempotent HealedHealthy LeftLocked "
    "LegacyLost LostAcknowledged LostDelivered LostInput NotDeterministic NotSerialisable Phantom Reordered Result "
    "Resurrected RetryDoubled SilentEmpty SplitBatch StaleReplace StoresDisagree SweepReport UnansweredCall Unloadable "
    "UnsoundHeal VacuousRun Verdict Wedged WindowBroken",
    "workload": "Append AppendMany Ask Close Commit FullDisk On PowerLoss Read Reload Retry Say Together Workload",
    "world.world": "World",
}
_HOMES = {name: f"{__name__}.{module}" for module, names in _MODULES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value  # the next use does not come here again
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
