"""Reasoning across turns: what a model thought is kept beside the turn, and given back to the provider that can read it.

`STARAgent` is a thin loop over a `Timeline` and a provider; the HTTP client is handed in as a `Transport`. A refusal of what was
given back costs one request in one turn, never the session. `LLM_REASONING_REPLAY=0` switches it off.
"""

from reference_impl.replay.agent import STARAgent, Tool
from reference_impl.replay.codec import NativeToolCodec, TextCodec
from reference_impl.replay.entries import NativeMessage, TimelineEntry
from reference_impl.replay.errors import CutError, DamagedError, RefusedError, ReplayError, StaleError
from reference_impl.replay.model import LLMMessage, LLMResponse, ParsedResponse, strip_carriers
from reference_impl.replay.provider import AzureOpenAIProvider, OpenAICompatibleProvider, OpenAIProvider
from reference_impl.replay.snapshots import Snapshots
from reference_impl.replay.splice import replay_on
from reference_impl.replay.timeline import CompressedTimeline, Timeline
from reference_impl.replay.transport import HttpTransport, OpenAITransport, Transport

__all__ = [
    "AzureOpenAIProvider",
    "CompressedTimeline",
    "CutError",
    "DamagedError",
    "HttpTransport",
    "LLMMessage",
    "LLMResponse",
    "NativeMessage",
    "NativeToolCodec",
    "OpenAICompatibleProvider",
    "OpenAIProvider",
    "OpenAITransport",
    "ParsedResponse",
    "RefusedError",
    "ReplayError",
    "STARAgent",
    "Snapshots",
    "StaleError",
    "TextCodec",
    "Timeline",
    "TimelineEntry",
    "Tool",
    "Transport",
    "replay_on",
    "strip_carriers",
]
