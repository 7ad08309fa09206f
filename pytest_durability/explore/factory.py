"""Adapters come as classes, factories or instances; from here on there is only "make me a fresh one".

Rule: one fresh adapter per life of a store; nothing is imported from a name that a case file gives.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import Any

from pytest_durability.errors import AdapterError


def as_factory(adapter: Any) -> Callable[[], Any]:
    """A zero-argument callable that makes fresh adapters.

    Raises:
        AdapterError: the value is no adapter and makes none.
    """
    if isinstance(adapter, type) or (callable(adapter) and not hasattr(adapter, "transcript")):
        return _called(adapter)
    if hasattr(adapter, "transcript") or hasattr(adapter, "open"):
        return functools.partial(copy.deepcopy, adapter)
    raise AdapterError(
        f"{adapter!r} is not an adapter",
        why="the harness needs something with open, append and transcript",
        fix="give the adapter class, a function without arguments that makes one, or an instance",
    )


def _called(adapter: Callable[[], Any]) -> Callable[[], Any]:
    try:
        adapter()
    except TypeError as error:
        if error.__traceback__ is not None and error.__traceback__.tb_next is None:
            raise AdapterError(
                f"{_name(adapter)} cannot be made without arguments: {error}",
                why="every life of the store gets a fresh adapter",
                fix="give a class without required arguments, or a function that makes the adapter",
            ) from None
        raise
    return adapter


def reference_of(adapter: Any) -> str:
    """`module:qualified name` of an adapter, for people and for the identity of cases; it is never imported."""
    kind = adapter if isinstance(adapter, type) or hasattr(adapter, "__qualname__") else type(adapter)
    return f"{getattr(kind, '__module__', '?')}:{_name(kind)}"


def _name(adapter: Any) -> str:
    return str(getattr(adapter, "__qualname__", None) or type(adapter).__qualname__)
