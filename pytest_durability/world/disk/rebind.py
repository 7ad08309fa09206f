"""A program may have taken a function before it was patched, and a missed fsync changes no byte that `verify` could miss.

Rule: every place that holds a replaced function is found through the garbage collector and rebound, or, if it holds one of
the sync family and cannot be rebound, refused by name. Undoing restores each place, and whatever was bound since.
"""

from __future__ import annotations

import gc
import operator
import sys
import types
from collections.abc import Callable, Iterable
from typing import Any

from pytest_durability.errors import RecorderError

_SUSPENDED = (types.GeneratorType, types.CoroutineType, types.AsyncGeneratorType)
_OWN = "pytest_durability.world.disk.real"


class Rebinding:
    """One exchange of functions in the whole process.

    `pairs`: (present function, its replacement); `strict`: present functions whose every place must be rebound;
    `spared`: containers that keep what they hold.
    """

    def __init__(self, pairs: Iterable[tuple[Any, Any]], strict: Iterable[Any], spared: Iterable[object]) -> None:
        self._pairs = list(pairs)
        self._new = {id(old): new for old, new in self._pairs}
        self._strict = {id(old) for old in strict}
        own = sys.modules.get(_OWN)
        self._spared = {id(item) for item in (self._pairs, *self._pairs, *spared, vars(own) if own else ())}
        self._undo: list[Callable[[], None]] = []

    def apply(self) -> None:
        """Rebind every place that holds one of the present functions.

        Raises:
            RecorderError: a place holds a strict function and cannot be rebound.
        """
        refusal = self._apply()
        if refusal is not None:
            raise refusal  # from here, so that the traceback keeps none of the containers alive

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
        while self._undo:
            self._undo.pop()()
        self._pairs.clear()

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
            return self._rebind_dict(holder)
        if isinstance(holder, list):
            return self._rebind_list(holder)
        if isinstance(holder, set):
            return self._rebind_set(holder)
        if isinstance(holder, types.CellType):
            return self._rebind_cell(holder)
        return self._rebind_instance(holder)

    def _rebind_dict(self, holder: dict[Any, Any]) -> bool:
        for key, value in list(holder.items()):
            new = self._new.get(id(value))
            if new is not None:
                dict.__setitem__(holder, key, new)
                self._undo.append(_unless_changed(holder, key, new, value))
        return True

    def _rebind_list(self, holder: list[Any]) -> bool:
        for index, value in enumerate(holder):
            new = self._new.get(id(value))
            if new is not None:
                holder[index] = new
                self._undo.append(_back_in_list(holder, new, value))
        return True

    def _rebind_set(self, holder: set[Any]) -> bool:
        for value in [value for value in holder if id(value) in self._new]:
            new = self._new[id(value)]
            holder.add(new)  # beside the real one: `os.open in os.supports_dir_fd` must hold for both
            self._undo.append(_out_of_set(holder, new, value))
        return True

    def _rebind_cell(self, holder: types.CellType) -> bool:
        value = holder.cell_contents
        new = self._new.get(id(value))
        if new is not None:
            holder.cell_contents = new
            self._undo.append(lambda: setattr(holder, "cell_contents", value) if holder.cell_contents is new else None)
        return True

    def _rebind_instance(self, holder: Any) -> bool:
        """Attributes of an object: its dict, which may be inlined in it, and its slots."""
        rebound = False
        names = [*getattr(holder, "__dict__", ()), *_slots(type(holder))] if not isinstance(holder, type) else []
        for name in names:
            value = _own_value(holder, name)
            new = self._new.get(id(value))
            if new is not None:
                try:
                    object.__setattr__(holder, name, new)
                except (AttributeError, TypeError):
                    return False
                self._undo.append(_back_in_instance(holder, name, new, value))
                rebound = True
        return rebound

    def _rebind_through(self, inner: Any, owners: list[Any]) -> bool:
        """Rebind what only an owner can exchange: defaults of a function, attributes of a class."""
        rebound = False
        for owner in owners:
            if isinstance(owner, types.FunctionType) and isinstance(inner, tuple) and owner.__defaults__ is inner:
                owner.__defaults__ = tuple(self._new.get(id(value), value) for value in inner)
                self._undo.append(_back_to_defaults(owner, inner))
                rebound = True
            elif isinstance(owner, type) and isinstance(inner, dict):
                rebound |= self._rebind_class(owner)
            elif isinstance(inner, staticmethod) and isinstance(owner, dict):
                classes = [cls for cls in gc.get_referrers(owner) if isinstance(cls, type)]
                rebound |= sum(self._rebind_class(cls) for cls in classes) > 0
        return rebound

    def _rebind_class(self, owner: type) -> bool:
        rebound = False
        for name, value in list(vars(owner).items()):
            inner = value.__func__ if isinstance(value, staticmethod) else value
            new = self._new.get(id(inner))
            if new is not None:
                replacement = staticmethod(new) if isinstance(value, staticmethod) else new
                setattr(owner, name, replacement)
                self._undo.append(_back_in_class(owner, name, replacement, value))
                rebound = True
        return rebound

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


def _unless_changed(holder: dict[Any, Any], key: Any, new: Any, value: Any) -> Callable[[], None]:
    def back() -> None:
        if holder.get(key) is new:
            dict.__setitem__(holder, key, value)

    return back


def _back_in_list(holder: list[Any], new: Any, value: Any) -> Callable[[], None]:
    def back() -> None:
        holder[:] = [value if item is new else item for item in holder]

    return back


def _out_of_set(holder: set[Any], new: Any, value: Any) -> Callable[[], None]:
    def back() -> None:
        if new in holder:
            holder.discard(new)
            holder.add(value)

    return back


def _back_in_instance(holder: Any, name: str, new: Any, value: Any) -> Callable[[], None]:
    def back() -> None:
        if _own_value(holder, name) is new:
            object.__setattr__(holder, name, value)

    return back


def _back_to_defaults(function: types.FunctionType, defaults: tuple[Any, ...]) -> Callable[[], None]:
    return lambda: setattr(function, "__defaults__", defaults)


def _back_in_class(owner: type, name: str, new: Any, value: Any) -> Callable[[], None]:
    def back() -> None:
        if vars(owner).get(name) is new:
            setattr(owner, name, value)

    return back


def _slots(kind: type) -> list[str]:
    return [name for base in kind.__mro__ for name, item in vars(base).items() if isinstance(item, types.MemberDescriptorType)]


def _own_value(holder: Any, name: str) -> Any:
    try:
        return object.__getattribute__(holder, name)
    except AttributeError:
        return None


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
