"""What goes wrong between an agent and a provider, as classes that say what the caller may do next.

Rule: a refusal is told in the provider's own words, with the code and the parameter beside them, because decisions are made on
those.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from reference_impl.durable import StorageError
from reference_impl.replay.model import LLMResponse

_TRANSIENT = frozenset({408, 409, 425, 429})
_SERVER = 500
_BUSY = ("server_error", "rate_limit_exceeded")


class ReplayError(Exception):
    """Anything here."""


class RefusedError(ReplayError):
    """The provider refused a request. `status` is None if it said so inside a stream."""

    def __init__(self, status: int | None, message: str, *, code: str = "", param: str = "") -> None:
        super().__init__(f"{'in the stream' if status is None else status}: {message}{f' (code {code})' if code else ''}")
        self.status, self.message, self.code, self.param = status, message, code, param

    @property
    def transient(self) -> bool:
        """Whether the same request may be accepted later."""
        if self.status is None:
            return self.code in _BUSY
        return self.status in _TRANSIENT or self.status >= _SERVER

    @classmethod
    def of(cls, status: int | None, body: Any) -> RefusedError:
        """From the body of an answer: bytes or text, the object in it, or the `error` object alone."""
        if isinstance(body, (bytes, str)):
            text = body.decode("utf-8", "replace") if isinstance(body, bytes) else body
            try:
                body = json.loads(text)
            except ValueError:
                return cls(status, text[:500])
        error = body.get("error", body) if isinstance(body, Mapping) else body
        if not isinstance(error, Mapping):
            return cls(status, str(error))
        return cls(status, _text(error, "message"), code=_text(error, "code"), param=_text(error, "param"))


class CutError(ReplayError):
    """A stream ended before the reply did. `partial`: what arrived of it, which the user has seen."""

    def __init__(self, reason: str, partial: LLMResponse) -> None:
        super().__init__(f"the reply was cut after {len(partial.content)} characters: {reason}")
        self.partial = partial


class DamagedError(StorageError):
    """A saved timeline cannot be read; to take it for an empty one would destroy it with the next save."""


class StaleError(StorageError):
    """Somebody else saved the session since it was loaded; load it again."""


def _text(error: Mapping[str, Any], key: str) -> str:
    value = error.get(key)
    return "" if value is None else str(value)
