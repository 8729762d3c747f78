"""Whether a template's constants would fill the memory or never end, as far as its text tells.

Jinja folds constant expressions when it compiles, so ``{{ 'a' * 10**9 }}`` costs a gigabyte before
anything is rendered. Bounds are far above what published templates use (ranges of a few dozen).
What depends on the messages is bounded at run time, by the sandbox's own limit on ``range``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence

from jinja2 import nodes

MAX_REPEAT = 100_000
"""Times that a text or list is repeated, characters of a padding, turns of nested ranges."""
MAX_GROWTH = 10_000
"""Times that a chain of replacements lengthens a text."""
_MAX_INTEGER_BITS = 64
_NUMERIC_FILTERS = frozenset({"length", "count", "int", "float", "round", "abs"})
_Constant = int | float | str
_IN_A_LOOP = 2
"""Turns that a loop over something unknown counts for."""
_PADDING = frozenset({"center", "ljust", "rjust", "zfill", "indent", "expandtabs", "lipsum"})
_FORMATS = re.compile(r"%[-#0 +]*(\d+|\*)|\{[^{}]*:[^{}]*?(\d+)[^{}]*\}|%[^%a-zA-Z]*\.(\d+)")


class _TooLargeError(Exception):
    """A constant would become too large; the message completes a sentence that begins with "it"."""


def fault(tree: nodes.Node) -> str | None:
    """The part that grows too large, as the end of a sentence that begins with "it", or None."""
    try:
        _walk(tree, 1)
    except _TooLargeError as error:
        return str(error)
    except OverflowError:
        return "computes a number that is too large"
    return None


def constant(node: nodes.Node) -> _Constant | None:
    """The value of an expression of constants, within the bounds above; None where it is none."""
    try:
        return _constant(node, "")
    except (_TooLargeError, OverflowError):
        return None


def _walk(node: nodes.Node, turns: int) -> None:
    """Check a node and its children; ``turns`` is how often its body runs within fixed ranges."""
    line = f" (line {node.lineno})" if node.lineno else ""
    if isinstance(node, nodes.For):
        length = _range_length(node.iter)
        turns *= _IN_A_LOOP if length is None else max(1, length)
        if turns > MAX_REPEAT:
            raise _TooLargeError(f"runs a loop {turns:,} times, at most {MAX_REPEAT:,}{line}")
    elif _range_length(node) is not None and (_range_length(node) or 0) > MAX_REPEAT:
        raise _TooLargeError(f"asks for a range of more than {MAX_REPEAT:,} numbers{line}")
    elif isinstance(node, nodes.BinExpr | nodes.UnaryExpr | nodes.Const):
        _constant(node, line)
        _check_repeat(node, line)
    _check_widths(node, line)
    _check_growth(node, line)
    _check_doubling(node, turns, line)
    for child in node.iter_child_nodes():
        _walk(child, turns)


def _constant(node: nodes.Node, line: str) -> _Constant | None:
    """The value of an expression of constants; None where it is none."""
    match node:
        case nodes.Const(value=int() | float() | str() as value):
            if isinstance(value, int) and value.bit_length() > _MAX_INTEGER_BITS:
                raise _TooLargeError(f"holds a number of {value.bit_length():,} bits{line}")
            return value
        case nodes.Neg(node=inner):
            number = _constant(inner, line)
            return -number if isinstance(number, int | float) else None
        case nodes.BinExpr(left=left, right=right):
            return _binary(node, _constant(left, line), _constant(right, line), line)
        case nodes.Concat(nodes=parts):
            values = [_constant(part, line) for part in parts]
            return None if None in values else "".join(map(str, values))
    return None


def _binary(
    node: nodes.BinExpr, left: _Constant | None, right: _Constant | None, line: str
) -> _Constant | None:
    match node, left, right:
        case nodes.Pow(), int(), int() if right > 0 and (
            left.bit_length() * right > _MAX_INTEGER_BITS
        ):
            raise _TooLargeError(f"raises {left} to the power {right}{line}")
        case nodes.Pow(), _, int() | float() if left is None and abs(right) > _MAX_INTEGER_BITS:
            raise _TooLargeError(f"raises a number to the power {right}{line}")
        case nodes.Pow(), int(), int() if right >= 0:
            return int(left**right)
        case nodes.Mul(), int() | float(), int() | float():
            return left * right
        case (nodes.Mul(), str(), int()) | (nodes.Mul(), int(), str()):
            text, times = (left, right) if isinstance(left, str) else (right, left)
            return _repeated(str(text), int(times or 0), line)
        case nodes.Add(), int() | float(), int() | float():
            return left + right
        case nodes.Add(), str(), str():
            return left + right
        case nodes.Sub(), int() | float(), int() | float():
            return left - right
    return None


def _repeated(text: str, times: int, line: str) -> str:
    if len(text) * times > MAX_REPEAT:
        raise _TooLargeError(
            f"repeats a text to {len(text) * times:,} characters, at most {MAX_REPEAT:,}{line}"
        )
    return text * times


def _check_repeat(node: nodes.Node, line: str) -> None:
    """``anything * 10**9``, unless the other side is surely a number."""
    if not isinstance(node, nodes.Mul):
        return
    for one, other in ((node.left, node.right), (node.right, node.left)):
        times = _constant(one, line)
        if isinstance(times, int) and times > MAX_REPEAT and not _is_number(other, line):
            raise _TooLargeError(f"repeats a value {times:,} times, at most {MAX_REPEAT:,}{line}")


def _is_number(node: nodes.Node, line: str) -> bool:
    if isinstance(node, nodes.Filter) and node.name in _NUMERIC_FILTERS:
        return True
    return isinstance(_constant(node, line), int | float)


def _check_growth(node: nodes.Node, line: str) -> None:
    """``'a'|replace('a', LONG)|replace('a', LONG)``: each step multiplies the length."""
    growth = 1.0
    inner: nodes.Node | None = node
    while inner is not None:
        match inner:
            case (
                nodes.Filter(name="replace", node=below, args=[old, new, *_])
                | nodes.Call(node=nodes.Getattr(attr="replace", node=below), args=[old, new, *_])
            ):
                before, after = _constant(old, line), _constant(new, line)
                if isinstance(before, str) and isinstance(after, str):
                    growth *= max(1.0, len(after) / max(1, len(before)))
                inner = below
            case nodes.Filter(node=below) | nodes.Call(node=nodes.Getattr(node=below)):
                inner = below
            case _:
                inner = None
    if growth > MAX_GROWTH:
        raise _TooLargeError(f"lengthens a text {growth:,.0f} times, at most {MAX_GROWTH:,}{line}")


def _check_doubling(node: nodes.Node, turns: int, line: str) -> None:
    """``{% set ns.x = ns.x ~ ns.x %}`` in a loop: twice as long with each turn."""
    if not isinstance(node, nodes.Assign) or turns < _IN_A_LOOP:
        return
    name = _reference(node.target)
    if name is not None and [_reference(leaf) for leaf in _leaves(node.node)].count(name) > 1:
        raise _TooLargeError(f"doubles {'.'.join(name)!r} in a loop{line}")


def _reference(node: nodes.Node) -> tuple[str, ...] | None:
    match node:
        case nodes.Name(name=str(name)):
            return (name,)
        case nodes.NSRef(name=str(name), attr=str(attribute)):
            return (name, attribute)
        case nodes.Getattr(node=nodes.Name(name=str(name)), attr=str(attribute)):
            return (name, attribute)
    return None


def _leaves(node: nodes.Node) -> Iterator[nodes.Node]:
    """The operands of a sum or a concatenation."""
    match node:
        case nodes.Add(left=left, right=right):
            yield from _leaves(left)
            yield from _leaves(right)
        case nodes.Concat(nodes=parts):
            for part in parts:
                yield from _leaves(part)
        case _:
            yield node


def _range_length(node: nodes.Node | None) -> int | None:
    """Numbers in ``range(...)`` of constants; None for anything else."""
    match node:
        case nodes.Call(node=nodes.Name(name="range"), args=list(arguments)) if arguments:
            bounds = [_constant(argument, "") for argument in arguments]
            if not all(isinstance(bound, int) for bound in bounds) or len(bounds) > 3:
                return None
            numbers = [int(bound) for bound in bounds if isinstance(bound, int)]
            return _length(numbers)
    return None


def _length(numbers: Sequence[int]) -> int | None:
    start, stop, step = (0, numbers[0], 1) if len(numbers) == 1 else (*numbers, 1)[:3]
    return None if step == 0 else max(0, math.ceil((stop - start) / step))


def _check_widths(node: nodes.Node, line: str) -> None:
    """Paddings and formats that are wider than any text."""
    match node:
        case nodes.Filter(name=name, args=arguments) if name in _PADDING:
            _check_arguments(name, arguments, line)
        case nodes.Call(node=nodes.Getattr(attr=name), args=arguments) if name in _PADDING:
            _check_arguments(name, arguments, line)
        case nodes.Call(node=nodes.Name(name=name), args=arguments) if name in _PADDING:
            _check_arguments(name, arguments, line)
        case nodes.Const(value=str(text)):
            for match in _FORMATS.finditer(text):
                width = next((group for group in match.groups() if group), "0")
                if width.isdigit() and int(width[:12]) > MAX_REPEAT:
                    raise _TooLargeError(f"formats a text {width[:12]} characters wide{line}")


def _check_arguments(name: str, arguments: Sequence[nodes.Expr], line: str) -> None:
    for argument in arguments:
        value = _constant(argument, line)
        if isinstance(value, int) and value > MAX_REPEAT:
            raise _TooLargeError(f"pads with {name} to {value:,}, at most {MAX_REPEAT:,}{line}")
