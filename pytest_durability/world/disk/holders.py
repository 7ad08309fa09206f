"""A function that is exchanged has to be exchanged wherever it is held, and put back there, each kind of place in its way.

Rule: `put` tells whether the place still held the function, and changes nothing if it did not; `back` undoes what `put` did and
leaves alone what somebody else stored there since. A place holds neither function itself, so that it may be remembered.
"""

from __future__ import annotations

import gc
import sys
import types
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


class Place(Protocol):
    """One place that holds a function."""

    def put(self, old: Any, new: Any) -> bool:
        """Hold `new` in place of `old`; whether `old` was held."""

    def back(self, old: Any, new: Any) -> None:
        """Hold `old` again, if `new` is still held."""


@dataclass(frozen=True, slots=True)
class InDict:
    """A value of a dictionary, such as the names of a module."""

    holder: dict[Any, Any]
    key: Any

    def put(self, old: Any, new: Any) -> bool:
        """See `Place`."""
        if self.holder.get(self.key) is not old:
            return False
        dict.__setitem__(self.holder, self.key, new)
        return True

    def back(self, old: Any, new: Any) -> None:
        """See `Place`."""
        self.put(new, old)


@dataclass(frozen=True, slots=True)
class InList:
    """Items of a list, wherever they stand in it."""

    holder: list[Any]

    def put(self, old: Any, new: Any) -> bool:
        """See `Place`."""
        held = any(item is old for item in self.holder)
        if held:
            self.holder[:] = [new if item is old else item for item in self.holder]
        return held

    def back(self, old: Any, new: Any) -> None:
        """See `Place`."""
        self.put(new, old)


@dataclass(frozen=True, slots=True)
class InSet:
    """A member of a set. The new function stands beside the old one: `os.open in os.supports_dir_fd` must hold for both."""

    holder: set[Any]

    def put(self, old: Any, new: Any) -> bool:
        """See `Place`."""
        if old not in self.holder:
            return False
        self.holder.add(new)
        return True

    def back(self, old: Any, new: Any) -> None:
        """See `Place`."""
        if new in self.holder:
            self.holder.discard(new)
            self.holder.add(old)


@dataclass(frozen=True, slots=True)
class InCell:
    """A variable that a closure holds."""

    holder: types.CellType

    def put(self, old: Any, new: Any) -> bool:
        """See `Place`."""
        try:
            held = self.holder.cell_contents is old
        except ValueError:  # the variable has no value any more
            return False
        if held:
            self.holder.cell_contents = new
        return held

    def back(self, old: Any, new: Any) -> None:
        """See `Place`."""
        self.put(new, old)


@dataclass(frozen=True, slots=True)
class InInstance:
    """An attribute of an object, in its dictionary (which may be inlined in it) or in a slot."""

    holder: Callable[[], Any]
    name: str

    @classmethod
    def of(cls, holder: Any, name: str) -> InInstance:
        """The place does not keep the object alive, if that can be helped."""
        return cls(_weakly(holder), name)

    def put(self, old: Any, new: Any) -> bool:
        """See `Place`.

        Raises:
            AttributeError, TypeError: it cannot be set.
        """
        holder = self.holder()
        if own_value(holder, self.name) is not old:
            return False
        object.__setattr__(holder, self.name, new)
        return True

    def back(self, old: Any, new: Any) -> None:
        """See `Place`."""
        self.put(new, old)


@dataclass(frozen=True, slots=True)
class InDefaults:
    """A default value of a function's parameter."""

    function: weakref.ref[types.FunctionType]

    def put(self, old: Any, new: Any) -> bool:
        """See `Place`."""
        function = self.function()
        defaults = (function.__defaults__ or ()) if function is not None else ()
        held = any(value is old for value in defaults)
        if held and function is not None:
            function.__defaults__ = tuple(new if value is old else value for value in defaults)
        return held

    def back(self, old: Any, new: Any) -> None:
        """See `Place`."""
        self.put(new, old)


@dataclass(frozen=True, slots=True)
class InClass:
    """An attribute of a class, perhaps as the static method `first`. Assigned by name: the class's method cache must be told."""

    owner: weakref.ref[type]
    name: str
    first: staticmethod[Any, Any] | None

    @classmethod
    def of(cls, owner: type, name: str) -> InClass:
        """The attribute as it is now."""
        value = vars(owner)[name]
        return cls(weakref.ref(owner), name, value if isinstance(value, staticmethod) else None)

    def put(self, old: Any, new: Any) -> bool:
        """See `Place`."""
        owner = self.owner()
        value = vars(owner).get(self.name) if owner is not None else None
        inner = value.__func__ if isinstance(value, staticmethod) else value
        if inner is not old:
            return False
        if self.first is not None and self.first.__func__ is new:
            setattr(owner, self.name, self.first)
        else:
            setattr(owner, self.name, staticmethod(new) if isinstance(value, staticmethod) else new)
        return True

    def back(self, old: Any, new: Any) -> None:
        """See `Place`."""
        self.put(new, old)


def own_value(holder: Any, name: str) -> Any:
    """What an object holds under a name, asked without its `__getattr__`; None if nothing."""
    try:
        return object.__getattribute__(holder, name)
    except AttributeError:
        return None


def anchored(places: Sequence[tuple[int, Place]]) -> tuple[tuple[int, Place], ...]:
    """The same places, to be remembered: what is in the dictionary of an object is an attribute of it, and ends with it."""
    held = [place.holder for _, place in places if isinstance(place, InDict) and not _of_module(place.holder)]
    names = {id(holder): holder for holder in held}
    owners: dict[int, Any] = {}
    for owner in gc.get_referrers(*names.values()) if names else ():
        if not isinstance(owner, (types.FunctionType, types.ModuleType, type)):
            own = own_value(owner, "__dict__")
            if id(own) in names:
                owners[id(own)] = owner
    return tuple(
        (index, InInstance.of(owners[id(place.holder)], place.key))
        if isinstance(place, InDict) and id(place.holder) in owners
        else (index, place)
        for index, place in places
    )


def _of_module(holder: dict[Any, Any]) -> bool:
    module = sys.modules.get(str(holder.get("__name__")))
    return module is not None and vars(module) is holder


def _weakly(item: Any) -> Callable[[], Any]:
    try:
        return weakref.ref(item)
    except TypeError:  # its class has slots, and none for that
        return lambda: item
