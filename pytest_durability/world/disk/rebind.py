"""A program may have taken a function before it was patched, and a missed fsync changes no byte that `verify` could miss.

Rule: every place that holds a replaced function is found through the garbage collector and rebound, or, if it holds one of
the sync family and cannot be rebound, refused by name. Undoing restores each place, and whatever was bound since.
"""

from __future__ import annotations

import gc
import operator
import sys
import types
import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from pytest_durability.errors import RecorderError
from pytest_durability.world.disk.holders import (
    InCell,
    InClass,
    InDefaults,
    InDict,
    InInstance,
    InList,
    InSet,
    Place,
    anchored,
    own_value,
)

_SUSPENDED = (types.GeneratorType, types.CoroutineType, types.AsyncGeneratorType)
_OWN = "pytest_durability.world.disk.real"


@dataclass(slots=True)
class Known:
    """Where functions were held: how many references each had before, and (number of the function, place) for each place.

    A search forgets them first, so that a container which nobody else keeps ends there.
    """

    holds: tuple[int, ...] = ()
    places: tuple[tuple[int, Place], ...] = ()


class Rebinding:
    """One exchange of functions in the whole process.

    `pairs`: (present function, its replacement); `strict`: present functions whose every place must be rebound;
    `spared`: containers that keep what they hold.
    """

    def __init__(self, pairs: Iterable[tuple[Any, Any]], strict: Iterable[Any], spared: Iterable[object]) -> None:
        self._pairs = list(pairs)
        self._at = {id(old): index for index, (old, _) in enumerate(self._pairs)}
        self._strict = {id(old) for old in strict}
        own = sys.modules.get(_OWN)
        self._spared = {id(item) for item in (self._pairs, *self._pairs, *spared, vars(own) if own else ())}
        self._done: list[tuple[int, Place]] = []

    def apply(self, known: Known | None = None) -> None:
        """Rebind every place that holds one of the present functions.

        `known`: what an earlier call for the same functions left there. It saves the search, which looks at all objects of the
        process, if as many hold the functions as did then, and the places that did still do.

        Raises:
            RecorderError: a place holds a strict function and cannot be rebound.
        """
        holds = tuple(sys.getrefcount(old) for old, _ in self._pairs)
        if known is not None:
            if known.holds == holds and self._again(known.places):
                return
            known.holds, known.places = (), ()
        refusal = self._apply()
        if refusal is not None:
            raise refusal  # from here, so that the traceback keeps none of the containers alive
        if known is not None:
            known.holds, known.places = holds, anchored(self._done)

    def _again(self, places: tuple[tuple[int, Place], ...]) -> bool:
        if all(self._put(index, place) for index, place in places):
            return True
        self._back()
        return False

    def _put(self, index: int, place: Place) -> bool:
        held = place.put(*self._pairs[index])
        if held:
            self._done.append((index, place))
        return held

    def _apply(self) -> RecorderError | None:
        holders = self._holders([old for old, _ in self._pairs])
        deeper = [holder for holder in holders if not self._rebind(holder)]
        owners = self._holders(deeper) if deeper else []
        for inner in deeper:
            if not self._rebind_through(inner, owners) and self._matters(inner):
                return _refusal(self._strict_name(inner), inner)
        return None

    def undo(self) -> None:
        """Restore all that was rebound, newest first."""
        self._back()
        self._pairs.clear()

    def _back(self) -> None:
        while self._done:
            index, place = self._done.pop()
            place.back(*self._pairs[index])

    def _holders(self, items: list[Any]) -> list[Any]:
        skip = self._spared | {id(items)}
        found = gc.get_referrers(*items)
        own = [holder for holder in found if isinstance(holder, tuple) and len(holder) == len(items) > 1]
        # Python 3.13 also reports the arguments of this very call, as a tuple.
        skip.update(id(holder) for holder in own if all(map(operator.is_, holder, items)))
        return [holder for holder in found if id(holder) not in skip and not isinstance(holder, types.FrameType)]

    def _rebind(self, holder: Any) -> bool:
        """Rebind in one container; False if that needs its owner, or cannot be done."""
        if isinstance(holder, dict):
            if "__module__" in holder and "__doc__" in holder:
                return False  # the dict of a class: its method cache must be told
            return self._all(holder.items(), lambda key: InDict(holder, key))
        if isinstance(holder, list):
            return self._all(((None, item) for item in holder), lambda _: InList(holder))
        if isinstance(holder, set):
            return self._all(((None, item) for item in holder), lambda _: InSet(holder))
        if isinstance(holder, types.CellType):
            return self._all([(None, holder.cell_contents)], lambda _: InCell(holder))
        return self._rebind_instance(holder)

    def _all(self, held: Iterable[tuple[Any, Any]], place: Callable[[Any], Place]) -> bool:
        """Rebind what is among (key, function); always True."""
        for key, value in list(held):
            index = self._at.get(id(value))
            if index is not None:
                self._put(index, place(key))
        return True

    def _rebind_instance(self, holder: Any) -> bool:
        """Attributes of an object: its dict, which may be inlined in it, and its slots."""
        names = [*getattr(holder, "__dict__", ()), *_slots(type(holder))] if not isinstance(holder, type) else []
        before = len(self._done)
        try:
            self._all([(name, own_value(holder, name)) for name in names], lambda name: InInstance.of(holder, name))
        except (AttributeError, TypeError):
            return False
        return len(self._done) > before

    def _rebind_through(self, inner: Any, owners: list[Any]) -> bool:
        """Rebind what only an owner can exchange: defaults of a function, attributes of a class."""
        before = len(self._done)
        for owner in owners:
            if isinstance(owner, types.FunctionType) and isinstance(inner, tuple) and owner.__defaults__ is inner:
                self._all([(None, value) for value in inner], lambda _, owner=owner: InDefaults(weakref.ref(owner)))  # type: ignore[misc]
            elif isinstance(owner, type) and isinstance(inner, dict):
                self._rebind_class(owner)
            elif isinstance(inner, staticmethod) and isinstance(owner, dict):
                for cls in gc.get_referrers(owner):
                    if isinstance(cls, type):
                        self._rebind_class(cls)
        return len(self._done) > before

    def _rebind_class(self, owner: type) -> None:
        held = [(name, value.__func__ if isinstance(value, staticmethod) else value) for name, value in vars(owner).items()]
        self._all(held, lambda name: InClass.of(owner, name))

    def _matters(self, holder: Any) -> bool:
        """Whether a place that could not be rebound may be called for a strict function."""
        if isinstance(holder, tuple):
            return any(id(value) in self._strict and not _is_saved_attribute(holder, at) for at, value in enumerate(holder))
        return not isinstance(holder, types.ModuleType) and self._strict_name(holder) != ""

    def _strict_name(self, holder: Any) -> str:
        """The name of a strict function that `holder` refers to, `""` if it holds none."""
        for item in gc.get_referents(holder):
            if id(item) in self._strict:
                return str(item.__name__)
        return ""


def _slots(kind: type) -> list[str]:
    return [name for base in kind.__mro__ for name, item in vars(base).items() if isinstance(item, types.MemberDescriptorType)]


def _is_saved_attribute(holder: tuple[Any, ...], index: int) -> bool:
    """Whether this looks like (module, name, value): a value that some patching tool keeps to restore it."""
    return index > 1 and isinstance(holder[index - 2], types.ModuleType) and isinstance(holder[index - 1], str)


def _refusal(name: str, holder: Any) -> RecorderError:
    return RecorderError(
        f"os.{name} is held by a {type(holder).__name__} that cannot be rebound: {_whereabouts(holder)}",
        why="a sync called from there would not be recorded, and what it made durable would look lost",
        fix=f"call os.{name} by name at that place, or build the object after the recorder is in place",
    )


def _whereabouts(holder: Any) -> str:
    """Module, name and file of an object, as far as they can be found out."""
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        for name, value in list(getattr(module, "__dict__", {}).items()) if file else ():
            if value is holder or _contains(value, holder):
                return f"{module.__name__}.{name} in {file}"
    return repr(holder)[:200]


def _contains(value: Any, holder: Any) -> bool:
    """Whether a class or a plain container of a module holds `holder`."""
    if isinstance(value, type):
        return any(item is holder for item in list(vars(value).values()))
    if type(value) is dict:
        return any(item is holder for item in list(value.values()))
    return type(value) in (list, tuple) and any(item is holder for item in value)
