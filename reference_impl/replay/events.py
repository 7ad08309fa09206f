"""Puts a streamed reply together, so that reasoning is captured from a stream as well as from a whole answer.

Rule: an item counts when the stream delivered it complete. A stream without its last event was cut, however quietly it ended;
of a cut reply an item is kept only if what it stood before is whole too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reference_impl.replay.errors import RefusedError
from reference_impl.replay.items import capture
from reference_impl.replay.model import LLMResponse, OnText

_ENDS = ("response.completed", "response.incomplete")


class Assembled:
    """One reply on its way. `whole` is the response object of the last event, None until then."""

    def __init__(self, show: OnText) -> None:
        self._show = show
        self._done: dict[int, Mapping[str, Any]] = {}
        self._about: Mapping[str, Any] = {}
        self.shown = ""
        self.whole: Mapping[str, Any] | None = None

    def add(self, event: Mapping[str, Any]) -> None:
        """Take one event; a piece of text is shown.

        Raises:
            RefusedError: the event says that the request failed.
        """
        kind = str(event.get("type"))
        if kind == "response.output_text.delta":
            self.shown += str(event["delta"])
            self._show(str(event["delta"]))
        elif kind == "response.output_item.done":
            self._done[int(event["output_index"])] = event["item"]
        elif kind == "response.created":
            self._about = event["response"]
        elif kind in _ENDS:
            response = event["response"]
            self.whole = {**response, "output": response.get("output") or self._items()}
        elif kind == "response.failed":
            raise RefusedError.of(None, event["response"])
        elif kind == "error":
            raise RefusedError.of(event.get("status"), event)

    def partial(self) -> LLMResponse:
        """What can be kept of a reply that was cut: the text that was shown, and the items whose text arrived whole."""
        kept: list[Mapping[str, Any]] = []
        waiting: list[Mapping[str, Any]] = []
        for item in self._items():
            waiting.append(item)
            if item.get("type") == "message":
                kept, waiting = [*kept, *waiting], []
            elif item.get("type") != "reasoning":
                waiting = []
        found = capture(kept)
        items = found.items if found.text and self.shown.startswith(found.text) else None
        return LLMResponse(
            content=self.shown,
            model=str(self._about.get("model") or ""),
            finish_reason="cut",
            reasoning_content=found.summary if items else "",
            reasoning_items=items,
            reasoning_followers=found.followers if items else None,
            response_id=self._about.get("id"),
        )

    def _items(self) -> list[Mapping[str, Any]]:
        return [self._done[index] for index in sorted(self._done)]
