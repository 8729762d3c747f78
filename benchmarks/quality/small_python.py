"""A little of Python, walked over its syntax tree: does a function that a model wrote do what it
was asked for? Nothing of it is run.

Numbers, texts, lists, tuples, sets and dictionaries; arithmetic, comparisons, `if`, loops,
comprehensions, functions and their recursion; the builtins and methods that are listed here, and
nothing else: no import, no attribute, no class, no file. What is not known is refused, so a right
answer may be, which is a fault of the question. Steps, sizes and depth are bounded.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

from benchmarks.quality.python_expressions import Expressions
from benchmarks.quality.python_operations import Refused, operated

_MOST_CHARS = 4_000
_MOST_DEPTH = 60


class _Return(Exception):
    def __init__(self, value: Any) -> None:
        self.value = value


class _Break(Exception):
    pass


class _Continue(Exception):
    pass


def call(source: str, name: str, arguments: list[Any]) -> Any:
    """Call a function of the source; returns its result.

    Args:
        source: Python that defines it; else only docstrings and functions count.
        name: the function's.
        arguments: by position.

    Raises:
        Refused: it is not there, or cannot be walked to its end.
    """
    tree = _parsed(source)
    walk = _Walk([node for node in tree.body if isinstance(node, ast.FunctionDef)])
    if name not in walk.functions:
        raise Refused(f"it defines no {name}")
    try:
        return walk.run(walk.functions[name], arguments)
    except Refused:
        raise
    except (ArithmeticError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise Refused(f"it fails: {error}") from None
    except (RecursionError, _Break, _Continue):
        raise Refused("it goes too deep, or leaves a loop that it is not in") from None


def _parsed(source: str) -> ast.Module:
    """Its syntax tree. An answer may have been cut off: its lines count as far as they are code."""
    if len(source) > _MOST_CHARS:
        raise Refused("it is too long")
    lines = source.splitlines()
    for count in range(len(lines), 0, -1):
        try:
            return ast.parse("\n".join(lines[:count]))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
    raise Refused("it is no Python")


class _Walk(Expressions):
    """One call and what it has used up."""

    def __init__(self, functions: list[ast.FunctionDef]) -> None:
        super().__init__(functions)
        self._depth = 0

    def run(self, function: ast.FunctionDef, arguments: list[Any]) -> Any:
        names = [parameter.arg for parameter in function.args.args]
        defaults = [self.value(default, {}) for default in function.args.defaults]
        values = [*arguments, *defaults[len(defaults) - (len(names) - len(arguments)) :]]
        if len(arguments) > len(names) or len(values) != len(names):
            raise Refused(f"{function.name} takes other arguments")
        self._depth += 1
        if self._depth > _MOST_DEPTH:
            raise Refused("it goes too deep")
        try:
            self._block(function.body, dict(zip(names, values, strict=True)))
        except _Return as returned:
            return returned.value
        finally:
            self._depth -= 1
        return None

    def _block(self, body: list[ast.stmt], names: dict[str, Any]) -> None:
        for node in body:
            self.count()
            self._statement(node, names)

    def _statement(self, node: ast.stmt, names: dict[str, Any]) -> None:
        match node:
            case ast.Return(value=value):
                raise _Return(None if value is None else self.value(value, names))
            case ast.Assign(targets=targets, value=value):
                assigned = self.value(value, names)
                for target in targets:
                    self.assign(target, assigned, names)
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                self.assign(target, self.value(value, names), names)
            case ast.AugAssign(target=target, op=op, value=value):
                loaded = ast.parse(ast.unparse(target), mode="eval").body
                result = operated(op, self.value(loaded, names), self.value(value, names))
                self.assign(target, result, names)
            case ast.If(test=test, body=body, orelse=orelse):
                self._block(body if self.value(test, names) else orelse, names)
            case ast.While() | ast.For():
                self._loop(node, names)
            case ast.Expr(value=value):
                self.value(value, names)
            case ast.Break():
                raise _Break
            case ast.Continue():
                raise _Continue
            case ast.Pass():
                pass
            case _:
                raise Refused(f"{type(node).__name__} is not known here")

    def _loop(self, node: ast.While | ast.For, names: dict[str, Any]) -> None:
        for _ in self._rounds(node, names):
            try:
                self._block(node.body, names)
            except _Continue:
                continue
            except _Break:
                return
        self._block(node.orelse, names)

    def _rounds(self, node: ast.While | ast.For, names: dict[str, Any]) -> Iterator[None]:
        if isinstance(node, ast.While):
            while self.value(node.test, names):
                self.count()
                yield
            return
        for item in self.value(node.iter, names):
            self.count()
            self.assign(node.target, item, names)
            yield
