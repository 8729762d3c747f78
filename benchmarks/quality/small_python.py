"""A little of Python, walked over its syntax tree: does a function that a model wrote do what it
was asked for? Nothing of it is run.

Numbers, texts, lists, tuples, sets and dictionaries; arithmetic, comparisons, `if`, loops,
comprehensions, functions and their recursion; the builtins and methods that are listed here, and
nothing else: no import, no attribute, no class, no file. What is not known is refused, so a right
answer may be, which is a fault of the question. Steps, sizes and depth are bounded.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any

MOST_STEPS = 20_000
_MOST_ITEMS = 2_000
_MOST_COUNT = 10_000
_MOST_CHARS = 4_000
_MOST_DEPTH = 60
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
    each.__name__: each
    for each in (
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
    """It is not known here, it takes too long, or it fails when it is run."""


class _Return(Exception):
    def __init__(self, value: Any) -> None:
        self.value = value


class _Break(Exception):
    pass


class _Continue(Exception):
    pass


def call(source: str, name: str, arguments: list[Any]) -> Any:
    """What a function of the source returns.

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


class _Walk:
    """One call and what it has used up."""

    def __init__(self, functions: list[ast.FunctionDef]) -> None:
        self.functions = {node.name: node for node in functions}
        self._steps = self._depth = 0

    def run(self, function: ast.FunctionDef, arguments: list[Any]) -> Any:
        names = [each.arg for each in function.args.args]
        given = [self._value(each, {}) for each in function.args.defaults]
        values = [*arguments, *given[len(given) - (len(names) - len(arguments)) :]]
        if len(arguments) > len(names) or len(values) != len(names):
            raise Refused(f"{function.name} takes other arguments")
        self._depth += 1
        if self._depth > _MOST_DEPTH:
            raise Refused("it goes too deep")
        try:
            self._block(function.body, dict(zip(names, values, strict=True)))
        except _Return as found:
            return found.value
        finally:
            self._depth -= 1
        return None

    def _block(self, body: list[ast.stmt], names: dict[str, Any]) -> None:
        for node in body:
            self._count()
            self._statement(node, names)

    def _count(self) -> None:
        self._steps += 1
        if self._steps > MOST_STEPS:
            raise Refused("it takes too many steps")

    def _statement(self, node: ast.stmt, names: dict[str, Any]) -> None:
        match node:
            case ast.Return(value=value):
                raise _Return(None if value is None else self._value(value, names))
            case ast.Assign(targets=targets, value=value):
                found = self._value(value, names)
                for target in targets:
                    self._assign(target, found, names)
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                self._assign(target, self._value(value, names), names)
            case ast.AugAssign(target=target, op=op, value=value):
                loaded = ast.parse(ast.unparse(target), mode="eval").body
                found = self._operated(op, self._value(loaded, names), self._value(value, names))
                self._assign(target, found, names)
            case ast.If(test=test, body=body, orelse=orelse):
                self._block(body if self._value(test, names) else orelse, names)
            case ast.While() | ast.For():
                self._loop(node, names)
            case ast.Expr(value=value):
                self._value(value, names)
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
            while self._value(node.test, names):
                self._count()
                yield
            return
        for item in self._value(node.iter, names):
            self._count()
            self._assign(node.target, item, names)
            yield

    def _assign(self, target: ast.expr, value: Any, names: dict[str, Any]) -> None:
        match target:
            case ast.Name(id=name):
                names[name] = value
            case ast.Tuple(elts=parts) | ast.List(elts=parts):
                for part, each in zip(parts, list(value), strict=True):
                    self._assign(part, each, names)
            case ast.Subscript(value=holder, slice=key):
                self._value(holder, names)[self._value(key, names)] = value
            case _:
                raise Refused(f"{type(target).__name__} cannot be assigned to here")

    def _value(self, node: ast.expr, names: dict[str, Any]) -> Any:
        self._count()
        found = self._computed(node, names)
        is_long = isinstance(found, str | list | tuple | set | dict) and len(found) > _MOST_ITEMS
        if is_long or (isinstance(found, int) and found.bit_length() > _MOST_BITS):
            raise Refused("it makes something too large")
        return found

    def _computed(self, node: ast.expr, names: dict[str, Any]) -> Any:  # noqa: C901, PLR0912 - a table
        match node:
            case ast.Constant(value=value):
                return value
            case ast.Name(id=name):
                if name not in names:
                    raise Refused(f"{name} is not known here")
                return names[name]
            case ast.BinOp(left=left, op=op, right=right):
                return self._operated(op, self._value(left, names), self._value(right, names))
            case ast.UnaryOp(op=op, operand=operand):
                return _operator(op)(self._value(operand, names))
            case ast.BoolOp(op=op, values=values):
                for each in values:
                    found = self._value(each, names)
                    if bool(found) is isinstance(op, ast.Or):
                        break
                return found
            case ast.Compare(left=left, ops=ops, comparators=others):
                return self._compared(self._value(left, names), ops, others, names)
            case ast.IfExp(test=test, body=body, orelse=orelse):
                return self._value(body if self._value(test, names) else orelse, names)
            case ast.List(elts=parts):
                return [self._value(each, names) for each in parts]
            case ast.Tuple(elts=parts):
                return tuple(self._value(each, names) for each in parts)
            case ast.Set(elts=parts):
                return {self._value(each, names) for each in parts}
            case ast.Dict(keys=keys, values=values):
                pairs = zip(keys, values, strict=True)
                return {self._value(k, names): self._value(v, names) for k, v in pairs if k}
            case ast.Subscript(value=holder, slice=ast.Slice() as part):
                bounds = (part.lower, part.upper, part.step)
                found = [None if each is None else self._value(each, names) for each in bounds]
                return self._value(holder, names)[slice(*found)]
            case ast.Subscript(value=holder, slice=key):
                return self._value(holder, names)[self._value(key, names)]
            case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
                return self._comprehended(node, names)
            case ast.JoinedStr(values=values):
                return "".join(self._text(each, names) for each in values)
            case ast.Call():
                return self._called(node, names)
            case _:
                raise Refused(f"{type(node).__name__} is not known here")

    def _operated(self, op: ast.operator, left: Any, right: Any) -> Any:
        if isinstance(op, ast.Mult):
            sizes = [len(each) for each in (left, right) if isinstance(each, str | list | tuple)]
            counts = [each for each in (left, right) if isinstance(each, int)]
            if sizes and counts and sizes[0] * counts[0] > _MOST_ITEMS:
                raise Refused("it makes something too large")
            return left * right
        if isinstance(op, ast.Pow):
            if abs(right) * max(1, int(abs(left))).bit_length() > _MOST_BITS:
                raise Refused("it makes something too large")
            return left**right
        if isinstance(op, ast.Mod) and isinstance(left, str):
            raise Refused("formats are not known here")
        return _operator(op)(left, right)

    def _compared(
        self, left: Any, ops: list[ast.cmpop], others: list[ast.expr], names: dict[str, Any]
    ) -> bool:
        for op, other in zip(ops, others, strict=True):
            right = self._value(other, names)
            if not _operator(op)(left, right):
                return False
            left = right
        return True

    def _comprehended(
        self,
        node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp,
        names: dict[str, Any],
    ) -> Any:
        inner = dict(names)
        found: list[Any] = []

        def go(number: int) -> None:
            if number == len(node.generators):
                if isinstance(node, ast.DictComp):
                    found.append((self._value(node.key, inner), self._value(node.value, inner)))
                else:
                    found.append(self._value(node.elt, inner))
                return
            each = node.generators[number]
            for item in self._value(each.iter, inner):
                self._assign(each.target, item, inner)
                if all(self._value(test, inner) for test in each.ifs):
                    go(number + 1)

        go(0)
        if isinstance(node, ast.DictComp):
            return dict(found)
        return set(found) if isinstance(node, ast.SetComp) else found

    def _text(self, node: ast.expr, names: dict[str, Any]) -> str:
        if isinstance(node, ast.FormattedValue):
            if node.format_spec is not None or node.conversion != -1:
                raise Refused("formats are not known here")
            node = node.value
        return str(self._value(node, names))

    def _called(self, node: ast.Call, names: dict[str, Any]) -> Any:
        arguments = [self._value(each, names) for each in node.args]
        named = {each.arg or "": self._value(each.value, names) for each in node.keywords}
        if not set(named) <= {"reverse", "default", "start"}:
            raise Refused("such arguments are not known here")
        match node.func:
            case ast.Name(id=name) if name in self.functions and not named:
                return self.run(self.functions[name], arguments)
            case ast.Name(id="range"):
                if max(map(abs, arguments), default=0) > _MOST_COUNT:
                    raise Refused("it counts too far")
                return range(*arguments)
            case ast.Name(id="print"):
                return None
            case ast.Name(id=name) if name in _BUILTINS:
                return _plain(_BUILTINS[name](*arguments, **named))
            case ast.Attribute(value=holder, attr=name):
                found = self._value(holder, names)
                if name not in _METHODS.get(type(found), ()):
                    raise Refused(f"a method {name} is not known here")
                return _plain(getattr(found, name)(*arguments, **named))
            case _:
                raise Refused("such a call is not known here")


def _operator(op: ast.AST) -> Callable[..., Any]:
    if type(op) not in _OPERATORS:
        raise Refused(f"{type(op).__name__} is not known here")
    return _OPERATORS[type(op)]


def _plain(value: Any) -> Any:
    """Views and iterators as lists, which have a size."""
    is_plain = value is None or isinstance(
        value, bool | int | float | str | list | tuple | set | dict
    )
    return value if is_plain else list(value)
