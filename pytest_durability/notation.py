"""Faults and steps travel as text (cases, reports, options), so one notation serves them all.

Rule: `parse(render(value)) == value`, and parsing never evaluates anything: only calls of known names with literal
arguments are read, everything else is refused.
"""

from __future__ import annotations

import ast
import functools
import re
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Union, get_args, get_origin, get_type_hints

from pytest_durability.errors import UsageError

MAX_TEXT = 8 * 1024 * 1024
"""Longest text, in characters, that `parse` reads; longer ones are refused instead of exhausting memory."""

MAX_PARTS = 100_000
"""Most brackets and commas outside of strings that `parse` reads (some 40,000 steps, about a second); more are refused unread."""

_STRING = re.compile(r"'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\"", re.DOTALL)


def render(value: Any) -> str:
    """Write a frozen dataclass value as `Name(field=literal, ...)`, leaving out fields that hold their default."""
    parts = []
    for field in fields(value):
        content = getattr(value, field.name)
        if field.default is not MISSING and content == field.default and type(content) is type(field.default):
            continue
        parts.append(f"{field.name}={_literal(content)}")
    return f"{type(value).__name__}({', '.join(parts)})"


def _literal(content: Any) -> str:
    if isinstance(content, tuple):
        inner = ", ".join(_literal(item) for item in content)
        return f"({inner},)" if len(content) == 1 else f"({inner})"
    if isinstance(content, str):
        return ascii(str.__str__(content))  # the plain value of a StrEnum, whose own text cannot be read back
    if content is None or isinstance(content, (int, float, bool)):
        return ascii(content)
    return render(content)


def parse(text: str, names: Mapping[str, type]) -> Any:
    """Read one value back from its text; `names` says which types may occur.

    Raises:
        UsageError: the text is no call of a known name with literal arguments.
    """
    values = parse_all(text, names)
    if len(values) != 1:
        raise UsageError(f"expected one value, found {len(values)} in {text[:120]!r}")
    return values[0]


def parse_all(text: str, names: Mapping[str, type]) -> list[Any]:
    """Read values separated by `;` or line ends."""
    if len(text) > MAX_TEXT:
        raise UsageError(f"a text of {len(text)} characters is longer than the limit of {MAX_TEXT}")
    parts = _parts(text)
    if parts > MAX_PARTS:
        raise UsageError(
            f"a text with {parts} brackets and commas is beyond the limit of {MAX_PARTS}",
            why="reading it would take longer and more memory than any case is worth",
            fix="split it into several workloads or schedules",
        )
    try:
        body = ast.parse(text.strip(), mode="exec").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UsageError(
            f"cannot read {text[:120]!r}: {type(error).__name__}",
            why="only the text form that reports print can be read back",
            fix=f"write calls such as {_example(names)}",
        ) from None
    try:
        return [_statement(node, names, text) for node in body]
    except RecursionError:
        raise UsageError(f"{text[:120]!r} is nested too deeply", fix=f"write calls such as {_example(names)}") from None


def _parts(text: str) -> int:
    """How many brackets and commas stand outside of strings; a short text is not worth the closer look."""
    if text.count("(") + text.count(",") + text.count("[") <= MAX_PARTS:
        return 0
    bare = _STRING.sub("", text)
    return bare.count("(") + bare.count(",") + bare.count("[")


def _statement(node: ast.stmt, names: Mapping[str, type], text: str) -> Any:
    if not isinstance(node, ast.Expr) or not isinstance(node.value, ast.Call):
        raise UsageError(f"not a call of a known name in {text[:120]!r}", fix=f"write {_example(names)}")
    return _call(node.value, names)


def _call(node: ast.Call, names: Mapping[str, type]) -> Any:
    name = node.func.id if isinstance(node.func, ast.Name) else ast.dump(node.func)[:60]
    kind = names.get(name)
    if kind is None:
        raise UsageError(f"{name!r} is not one of the known names", fix=f"choose from: {', '.join(sorted(names))}")
    positional = [_value(arg, names) for arg in node.args]
    keywords: dict[str, Any] = {}
    for keyword in node.keywords:
        if keyword.arg is None:
            raise UsageError(f"'**' cannot be used in {name}(...)")
        if keyword.arg in keywords:
            raise UsageError(f"{name}(...) is given {keyword.arg} twice", fix="leave one of them out")
        keywords[keyword.arg] = _value(keyword.value, names)
    known = [field.name for field in fields(kind)]
    try:
        value = kind(*positional, **keywords)
    except TypeError as error:
        raise UsageError(f"{name}(...): {error}", fix=f"its fields are: {', '.join(known)}") from None
    for field in known:  # the values inside it were checked when they were made
        _check_field(kind, field, getattr(value, field))
    return value


def check_types(value: Any) -> None:
    """Say which field of a value, or of one inside it, holds something of another type than it declares.

    Raises:
        UsageError: there is such a field.
    """
    for field in fields(value):
        content = getattr(value, field.name)
        _check_field(type(value), field.name, content)
        for item in content if isinstance(content, tuple) else ():
            if is_dataclass(item):
                check_types(item)


def at_least(value: Any, **limits: int) -> None:
    """For `__post_init__`: refuse numbers below their limit (what is no number is left to `check_types`).

    Raises:
        UsageError: a field is below its limit.
    """
    for name, limit in limits.items():
        content = getattr(value, name)
        if isinstance(content, (int, float)) and content < limit:
            raise UsageError(
                f"{type(value).__name__}({name}={content!r}): {name} is at least {limit}",
                why="nothing can happen fewer times than that",
                fix=f"give {limit} or more",
            )


def _check_field(kind: type, field: str, content: Any) -> None:
    found = _hints(kind).get(field)
    if found is not None and not found[0](content):
        raise UsageError(
            f"{kind.__name__}({field}={ascii(content)[:60]}): {field} is {found[1]}, not {type(content).__name__}",
            why="a value of another type would fail later, or mean something else",
            fix=f"give {found[1]}",
        )


@functools.cache
def _hints(kind: type) -> dict[str, tuple[Callable[[Any], bool], str]]:
    """For each field of a dataclass whether a value fits, and its type as it is written."""
    hints = get_type_hints(kind)
    written = {field.name: field.type if isinstance(field.type, str) else str(hints[field.name]) for field in fields(kind)}
    return {name: (functools.partial(_fits, hints[name]), text) for name, text in written.items()}


def _fits(hint: Any, content: Any) -> bool:
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return any(_fits(part, content) for part in parts)
    if origin is tuple:
        return isinstance(content, tuple) and all(_fits(parts[0], item) for item in content)
    if hint is float:
        return isinstance(content, (int, float))
    return hint is Any or isinstance(content, type(None) if hint is None else hint)


def _value(node: ast.expr, names: Mapping[str, type]) -> Any:
    if isinstance(node, ast.Call):
        return _call(node, names)
    if isinstance(node, ast.Tuple):
        return tuple(_value(item, names) for item in node.elts)
    try:
        content = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError):
        raise UsageError(f"not a literal: {ast.dump(node)[:80]}", fix="use strings, numbers, True, False, None, tuples") from None
    if content is None or isinstance(content, (str, int, float, bool)):
        return content
    raise UsageError(f"{content!r} is not a plain literal", fix="use strings, numbers, True, False, None, tuples")


def _example(names: Iterable[str]) -> str:
    return f"{min(names)}(...)" if names else "Name(...)"
