"""A function that is exchanged has to be exchanged wherever it is held, and put back there, each kind of place in its way.

Rule: `put` tells whether the place still held the function, and changes nothing if it did not; `back` undoes what `put` did and
leaves alone what somebody else stored there since. A place holds neither function itself, so that it may be remembered.
"""

from __future__ import annotations

import gc
import sys
import types
from dataclasses import dataclass
from typing import Any, Protocol


class Place(Protocol):
    """One place that holds a function."""

    def put(self, old: Any, new: Any) -> bool:
        """Hold `new` in place of `old`; whether `old` was held."""

    def back(self, old: Any, new: Any) -> None:
        """Hold `old` again, if `new` is still held."""

    def lasting(self) -> bool:
        """Whether it is a name of a module, a class or an object, or a variable: remembering it keeps next to nothing alive."""


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

    def lasting(self) -> bool:
        """See `Place`."""
        module = sys.modules.get(str(self.holder.get("__name__")))
        if module is not None and vars(module) is self.holder:
            return True
        return any(_names_of(owner) is self.holder for owner in gc.get_referrers(self.holder))


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

    def lasting(self) -> bool:
        """See `Place`."""
        return False


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

    def lasting(self) -> bool:
        """See `Place`."""
        return any(value is self.holder for name, value in vars(sys.modules["os"]).items() if name.startswith("supports_"))


@dataclass(frozen=True, slots=True)
class InCell:
    """A variable that a closure holds."""

    holder: types.CellType

    def put(self, old: Any, new: Any) -> bool:
        """See `Place`."""
        if self.holder.cell_contents is not old:
            return False
        self.holder.cell_contents = new
        return True

    def back(self, old: Any, new: Any) -> None:
        """See `Place`."""
        self.put(new, old)

    def lasting(self) -> bool:
        """See `Place`."""
        return True


@dataclass(frozen=True, slots=True)
class InInstance:
    """An attribute of an object, in its dictionary (which may be inlined in it) or in a slot."""

    holder: Any
    name: str

    def put(self, old: Any, new: Any) -> bool:
        """See `Place`.

        Raises:
            AttributeError, TypeError: it cannot be set.
        """
        if own_value(self.holder, self.name) is not old:
            return False
        object.__setattr__(self.holder, self.name, new)
        return True

    def back(self, old: Any, new: Any) -> None:
        """See `Place`."""
        self.put(new, old)

    def lasting(self) -> bool:
        """See `Place`."""
        return True


@dataclass(frozen=True, slots=True)
class InDefaults:
    """A default value of a function's parameter."""

    function: types.FunctionType

    def put(self, old: Any, new: Any) -> bool:
        """See `Place`."""
        defaults = self.function.__defaults__ or ()
        held = any(value is old for value in defaults)
        if held:
            self.function.__defaults__ = tuple(new if value is old else value for value in defaults)
        return held

    def back(self, old: Any, new: Any) -> None:
        """See `Place`."""
        self.put(new, old)

    def lasting(self) -> bool:
        """See `Place`."""
        return True


@dataclass(frozen=True, slots=True)
class InClass:
    """An attribute of a class, perhaps as a static method. Assigned by name: the method cache of the class must be told."""

    owner: type
    name: str

    def put(self, old: Any, new: Any) -> bool:
        """See `Place`."""
        value = vars(self.owner).get(self.name)
        inner = value.__func__ if isinstance(value, staticmethod) else value
        if inner is not old:
            return False
        setattr(self.owner, self.name, staticmethod(new) if isinstance(value, staticmethod) else new)
        return True

    def back(self, old: Any, new: Any) -> None:
        """See `Place`."""
        self.put(new, old)

    def lasting(self) -> bool:
        """See `Place`."""
        return True


def own_value(holder: Any, name: str) -> Any:
    """What an object holds under a name, asked without its `__getattr__`; None if nothing."""
    try:
        return object.__getattribute__(holder, name)
    except AttributeError:
        return None


def _names_of(owner: Any) -> Any:
    """The dictionary in which a function keeps the defaults of its keywords, and anything else its attributes."""
    if isinstance(owner, types.FunctionType):
        return owner.__kwdefaults__
    return own_value(owner, "__dict__")
