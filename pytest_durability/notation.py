"""Faults and steps travel as text (cases, reports, options), so one notation serves them all.

Rule: `parse(render(value)) == value`, and parsing never evaluates anything: only calls of known names with literal
arguments are read, everything else is refused.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields
from typing import Any

from pytest_durability.errors import UsageError

MAX_TEXT = 8 * 1024 * 1024
"""Longest text, in characters, that `parse` reads; longer ones are refused instead of exhausting memory."""


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
    try:
        return kind(*positional, **keywords)
    except TypeError as error:
        known = ", ".join(field.name for field in fields(kind))
        raise UsageError(f"{name}(...): {error}", fix=f"its fields are: {known}") from None


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
