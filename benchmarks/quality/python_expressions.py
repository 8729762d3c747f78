"""The expressions of a little of Python, walked over its syntax tree.

``small_python.py`` has the statements, and calls of the functions that a source defines.
"""

from __future__ import annotations

import ast
from abc import ABC, abstractmethod
from typing import Any

from benchmarks.quality.python_operations import (
    Refused,
    bounded,
    call_builtin,
    call_method,
    operated,
    operator_of,
)

MOST_STEPS = 20_000


class Expressions(ABC):
    """Values of expressions, within a bound of steps.

    Attributes:
        functions: that the source defines, by name.
    """

    def __init__(self, functions: list[ast.FunctionDef]) -> None:
        self.functions = {node.name: node for node in functions}
        self._num_steps = 0

    @abstractmethod
    def run(self, function: ast.FunctionDef, arguments: list[Any]) -> Any:
        """Call a function of the source; returns its result."""

    def count(self) -> None:
        """Count a step.

        Raises:
            Refused: there were too many.
        """
        self._num_steps += 1
        if self._num_steps > MOST_STEPS:
            raise Refused("it takes too many steps")

    def value(self, node: ast.expr, names: dict[str, Any]) -> Any:
        """The value of an expression, where these names stand for values.

        Raises:
            Refused: it is not known here, too large, or took too many steps.
        """
        self.count()
        return bounded(self._computed(node, names))

    def assign(self, target: ast.expr, value: Any, names: dict[str, Any]) -> None:
        """Bind a value to a name, to several, or to an item.

        Raises:
            Refused: the target is none of these.
        """
        match target:
            case ast.Name(id=name):
                names[name] = value
            case ast.Tuple(elts=parts) | ast.List(elts=parts):
                for part, item in zip(parts, list(value), strict=True):
                    self.assign(part, item, names)
            case ast.Subscript(value=holder, slice=key):
                self.value(holder, names)[self.value(key, names)] = value
            case _:
                raise Refused(f"{type(target).__name__} cannot be assigned to here")

    def _computed(self, node: ast.expr, names: dict[str, Any]) -> Any:
        match node:
            case ast.Constant(value=value):
                return value
            case ast.Name(id=name):
                if name not in names:
                    raise Refused(f"{name} is not known here")
                return names[name]
            case ast.BinOp(left=left, op=op, right=right):
                return operated(op, self.value(left, names), self.value(right, names))
            case ast.UnaryOp(op=op, operand=operand):
                return operator_of(op)(self.value(operand, names))
            case ast.BoolOp(op=op, values=values):
                return self._first_that_decides(values, names, decisive=isinstance(op, ast.Or))
            case ast.Compare(left=left, ops=ops, comparators=others):
                return self._compared(self.value(left, names), ops, others, names)
            case ast.IfExp(test=test, body=body, orelse=orelse):
                return self.value(body if self.value(test, names) else orelse, names)
            case ast.Subscript():
                return self._item(node, names)
            case ast.JoinedStr(values=values):
                return "".join(self._text(part, names) for part in values)
            case ast.Call():
                return self._called(node, names)
            case _:
                return self._collection(node, names)

    def _collection(self, node: ast.expr, names: dict[str, Any]) -> Any:
        match node:
            case ast.List(elts=parts):
                return [self.value(part, names) for part in parts]
            case ast.Tuple(elts=parts):
                return tuple(self.value(part, names) for part in parts)
            case ast.Set(elts=parts):
                return {self.value(part, names) for part in parts}
            case ast.Dict(keys=keys, values=values):
                pairs = zip(keys, values, strict=True)
                return {self.value(k, names): self.value(v, names) for k, v in pairs if k}
            case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
                return self._comprehended(node, names)
            case _:
                raise Refused(f"{type(node).__name__} is not known here")

    def _first_that_decides(
        self, values: list[ast.expr], names: dict[str, Any], *, decisive: bool
    ) -> Any:
        """The first true operand of `or`, the first false one of `and`; else the last."""
        for node in values:
            operand = self.value(node, names)
            if bool(operand) is decisive:
                break
        return operand

    def _item(self, node: ast.Subscript, names: dict[str, Any]) -> Any:
        key = node.slice
        if not isinstance(key, ast.Slice):
            return self.value(node.value, names)[self.value(key, names)]
        bounds = [
            None if bound is None else self.value(bound, names)
            for bound in (key.lower, key.upper, key.step)
        ]
        return self.value(node.value, names)[slice(*bounds)]

    def _compared(
        self, left: Any, ops: list[ast.cmpop], others: list[ast.expr], names: dict[str, Any]
    ) -> bool:
        for op, other in zip(ops, others, strict=True):
            right = self.value(other, names)
            if not operator_of(op)(left, right):
                return False
            left = right
        return True

    def _comprehended(
        self,
        node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp,
        names: dict[str, Any],
    ) -> Any:
        inner = dict(names)
        items: list[Any] = []

        def go(number: int) -> None:
            if number == len(node.generators):
                if isinstance(node, ast.DictComp):
                    items.append((self.value(node.key, inner), self.value(node.value, inner)))
                else:
                    items.append(self.value(node.elt, inner))
                return
            loop = node.generators[number]
            for item in self.value(loop.iter, inner):
                self.assign(loop.target, item, inner)
                if all(self.value(test, inner) for test in loop.ifs):
                    go(number + 1)

        go(0)
        if isinstance(node, ast.DictComp):
            return dict(items)
        return set(items) if isinstance(node, ast.SetComp) else items

    def _text(self, node: ast.expr, names: dict[str, Any]) -> str:
        if isinstance(node, ast.FormattedValue):
            if node.format_spec is not None or node.conversion != -1:
                raise Refused("formats are not known here")
            node = node.value
        return str(self.value(node, names))

    def _called(self, node: ast.Call, names: dict[str, Any]) -> Any:
        arguments = [self.value(argument, names) for argument in node.args]
        named = {
            argument.arg or "": self.value(argument.value, names) for argument in node.keywords
        }
        if not set(named) <= {"reverse", "default", "start"}:
            raise Refused("such arguments are not known here")
        match node.func:
            case ast.Name(id=name) if name in self.functions and not named:
                return self.run(self.functions[name], arguments)
            case ast.Name(id=name):
                return call_builtin(name, arguments, named)
            case ast.Attribute(value=holder, attr=name):
                return call_method(self.value(holder, names), name, arguments, named)
            case _:
                raise Refused("such a call is not known here")
