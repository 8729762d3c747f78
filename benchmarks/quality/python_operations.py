"""Operators, builtins and methods of a little of Python, all bounded.

``small_python.py`` walks over functions with it. What is not listed here is refused.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_MOST_ITEMS = 2_000
_MOST_COUNT = 10_000
_MOST_BITS = 4096
_OPERATORS: Mapping[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.BitXor: operator.xor,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
    ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Not: operator.not_,
}
_BUILTINS: Mapping[str, Any] = {
    builtin.__name__: builtin
    for builtin in (
        *(abs, all, any, bool, dict, divmod, enumerate, float, int, isinstance, len, list, max),
        *(min, reversed, round, set, sorted, str, sum, tuple, zip),
    )
}
_METHODS: Mapping[type, frozenset[str]] = {
    kind: frozenset(names.split())
    for kind, names in {
        str: "capitalize count endswith find index isalnum isalpha isdigit islower isspace isupper "
        "join lower lstrip replace rstrip split splitlines startswith strip swapcase title upper",
        list: "append copy count extend index insert pop remove reverse sort",
        dict: "copy get items keys pop setdefault update values",
        set: "add copy difference discard intersection union",
        tuple: "count index",
    }.items()
}


class Refused(Exception):
    """The code is not known here, takes too long, or fails when it is run."""


def bounded(value: Any) -> Any:
    """The value itself.

    Raises:
        Refused: it has more items or bits than is allowed.
    """
    is_long = isinstance(value, str | list | tuple | set | dict) and len(value) > _MOST_ITEMS
    if is_long or (isinstance(value, int) and value.bit_length() > _MOST_BITS):
        raise Refused("it makes something too large")
    return value


def operator_of(op: ast.AST) -> Callable[..., Any]:
    """The function of an operator that needs no bounds of its own.

    Raises:
        Refused: there is none.
    """
    if type(op) not in _OPERATORS:
        raise Refused(f"{type(op).__name__} is not known here")
    return _OPERATORS[type(op)]


def operated(op: ast.operator, left: Any, right: Any) -> Any:
    """The result of a binary operator; products and powers are bounded before they are computed.

    Raises:
        Refused: it is not known here, or its result is too large.
    """
    if isinstance(op, ast.Mult):
        sizes = [
            len(operand) for operand in (left, right) if isinstance(operand, str | list | tuple)
        ]
        counts = [operand for operand in (left, right) if isinstance(operand, int)]
        if sizes and counts and sizes[0] * counts[0] > _MOST_ITEMS:
            raise Refused("it makes something too large")
        return left * right
    if isinstance(op, ast.Pow):
        if abs(right) * max(1, int(abs(left))).bit_length() > _MOST_BITS:
            raise Refused("it makes something too large")
        return left**right
    if isinstance(op, ast.Mod) and isinstance(left, str):
        raise Refused("formats are not known here")
    return operator_of(op)(left, right)


def call_builtin(name: str, arguments: Sequence[Any], named: Mapping[str, Any]) -> Any:
    """The result of a builtin function; ``print`` prints nothing.

    Raises:
        Refused: it is not known here, or a range is too long.
    """
    if name == "range":
        if max(map(abs, arguments), default=0) > _MOST_COUNT:
            raise Refused("it counts too far")
        return range(*arguments)
    if name == "print":
        return None
    if name not in _BUILTINS:
        raise Refused("such a call is not known here")
    return _plain(_BUILTINS[name](*arguments, **named))


def call_method(holder: Any, name: str, arguments: Sequence[Any], named: Mapping[str, Any]) -> Any:
    """The result of a method of a value.

    Raises:
        Refused: values of this type have no such method here.
    """
    if name not in _METHODS.get(type(holder), ()):
        raise Refused(f"a method {name} is not known here")
    return _plain(getattr(holder, name)(*arguments, **named))


def _plain(value: Any) -> Any:
    """Views and iterators as lists, which have a size."""
    is_plain = value is None or isinstance(
        value, bool | int | float | str | list | tuple | set | dict
    )
    return value if is_plain else list(value)
