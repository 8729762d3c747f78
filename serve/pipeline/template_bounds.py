"""A Jinja environment whose renderings are counted, whatever a template does.

bound() changes an environment: blocks, turns of loops, calls and filters are counted as they run,
and a size is asked for (serve/pipeline/template_sizes.py) before anything large is made. What a
template renders does not change. The hooks stand around those that the environment has already.

Constants are not folded when a template is compiled: ``{{ 'a' * 10**9 }}`` would be computed before
anything is counted.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from jinja2 import Environment, pass_context
from jinja2.compiler import CodeGenerator
from jinja2.runtime import Context, LoopContext
from jinja2.sandbox import SandboxedEnvironment

from serve.pipeline import template_sizes as sizes
from serve.pipeline.template_code import BoundContext, BoundGenerator
from serve.pipeline.template_meter import Meter, TemplateBoundError, current

_INTERCEPTED = frozenset({"+", "-", "*", "/", "//", "%", "**"})
_SHALLOW = frozenset(
    {
        *("abs", "attr", "batch", "count", "d", "default", "first", "float", "items", "last"),
        *("length", "list", "map", "random", "reject", "rejectattr", "reverse", "round"),
        *("select", "selectattr", "slice"),
    }
)
"""Filters that look at what they are given, and not into it."""
_WALKING = frozenset({"groupby", "join", "max", "min", "sort", "sum", "unique"})
"""Filters that walk through all items at once: an iterator is read first, item by item."""
_HEAVY = frozenset({"pprint", "striptags", "title", "urlize", "wordcount", "xmlattr"})
_COMPARING_TESTS = frozenset(
    {
        *("eq", "equalto", "==", "ne", "!=", "lt", "lessthan", "<", "le", "<=", "in"),
        *("gt", "greaterthan", ">", "ge", ">="),
    }
)


def bound(environment: SandboxedEnvironment) -> None:
    """Change an environment so that its templates are counted by the current meter.

    Call it before a template is compiled, and after every other change of hooks or filters.
    """
    finalize, concat = environment.finalize or str, environment.concat
    hooks: dict[str, Any] = {
        "optimized": False,
        "context_class": BoundContext,
        "code_generator_class": _generator(environment.code_generator_class),
        "intercepted_binops": environment.intercepted_binops | _INTERCEPTED,
        "call_binop": functools.partial(_call_binop, environment.call_binop),
        "call": functools.partial(_call, environment.call),
        "wrap_str_format": functools.partial(_wrap_str_format, environment.wrap_str_format),
        "finalize": pass_context(functools.partial(_finalize, finalize)),
        "concat": functools.partial(_concat, concat),
        "joined": lambda parts: concat([finalize(part) for part in parts]),
    }
    for name, hook in hooks.items():
        setattr(environment, name, hook)
    environment.globals.pop("lipsum", None)  # text of any length, of no use in a prompt
    for name, function in environment.filters.items():
        environment.filters[name] = _filter(name, function)
    for name in _COMPARING_TESTS & environment.tests.keys():
        test: Any = environment.tests[name]
        environment.tests[name] = _test(test)


def _generator(generator: type[CodeGenerator]) -> type[CodeGenerator]:
    return type("Generator", (BoundGenerator, generator), {})


def _finalize(inner: Callable[[Any], Any], context: BoundContext, value: Any) -> Any:
    """The text that ``{{ value }}`` writes."""
    if type(value) is not str:
        context.meter.weigh(value)
        return context.meter.made(inner(value))
    return inner(value)


def _concat(inner: Callable[[Iterable[str]], str], pieces: Iterable[str]) -> str:
    """All that a template, a macro or a block wrote."""
    meter = current()
    limit = meter.bounds.value_chars
    written, total = [], 0
    for piece in pieces:
        total += len(piece)
        if total > limit:
            raise TemplateBoundError(
                f"writes more than {limit:,} characters, the most for these messages"
            )
        written.append(piece)
    meter.add(total)
    return inner(written)


def _call_binop(
    inner: Callable[..., Any], context: BoundContext, operator: str, left: Any, right: Any
) -> Any:
    sizes.check_binary(context.meter, operator, left, right)
    return context.meter.made(inner(context, operator, left, right))


def _call(
    inner: Callable[..., Any], context: BoundContext, called: Any, /, *args: Any, **kwargs: Any
) -> Any:
    meter = context.meter
    meter.tick(1 + (len(args) >> 4))
    owner = getattr(called, "__self__", None)
    if isinstance(owner, str | bytes | int | float | list | tuple | dict | range) or (
        isinstance(owner, type) and not issubclass(owner, Environment)
    ):
        args = sizes.check_method(meter, owner, called.__name__, args, kwargs)
    elif isinstance(called, type) or isinstance(owner, LoopContext):
        meter.weigh((args, _plain(kwargs)))
    return meter.made(inner(context, called, *args, **kwargs))


def _plain(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Keyword arguments without those that Jinja passes for itself."""
    return {name: value for name, value in kwargs.items() if not name.startswith("_")}


def _wrap_str_format(inner: Callable[[Any], Any], value: Any) -> Any:
    """``str.format`` and ``format_map`` with bounds; None for anything else."""
    wrapped = inner(value)
    if wrapped is None:
        return None

    @functools.wraps(wrapped)
    def formatted(*args: Any, **kwargs: Any) -> Any:
        named = args[0] if value.__name__ == "format_map" and len(args) == 1 else kwargs
        sizes.check_format(
            current(), value.__self__, args, named if isinstance(named, dict) else kwargs
        )
        return wrapped(*args, **kwargs)

    return formatted


def _filter(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that is counted, and asks for room first."""
    passed = getattr(getattr(function, "jinja_pass_arg", None), "name", None)
    check = _CHECKS.get(name)
    is_deep, is_walking, is_heavy = name not in _SHALLOW, name in _WALKING, name in _HEAVY

    def counted(context: BoundContext, value: Any, /, *args: Any, **kwargs: Any) -> Any:
        meter = context.meter
        meter.tick()
        if is_walking and isinstance(value, Iterator):
            value = list(meter.each(value))
        elif is_walking and isinstance(value, str | range | dict):
            meter.tick(len(value) >> 2)
        if is_deep:
            weight = meter.weigh(value)
            for given in (*args, *kwargs.values()):
                meter.weigh(given)
            if is_heavy:
                meter.heavy(weight)
        elif isinstance(value, list | tuple | str | dict | range):
            meter.tick(len(value) >> 6)
        if check is not None:
            check(meter, value, args, kwargs)
        result = function(*_first(passed, context), value, *args, **kwargs)
        if isinstance(result, Iterator):
            return meter.each(result)
        return meter.made(result)

    return pass_context(functools.wraps(function)(counted))


def _first(passed: str | None, context: Context) -> tuple[Any, ...]:
    """The argument that a filter or a test asks Jinja for."""
    match passed:
        case "context":
            return (context,)
        case "eval_context":
            return (context.eval_ctx,)
        case "environment":
            return (context.environment,)
    return ()


def _test(function: Callable[..., Any]) -> Callable[..., Any]:
    """A test that compares, and weighs what it compares."""

    def weighing(context: BoundContext, *values: Any) -> Any:
        for value in values:
            context.meter.weigh(value)
        return function(*values)

    return pass_context(weighing)


_Check = Callable[[Meter, Any, tuple[Any, ...], dict[str, Any]], None]


def _check_batch(meter: Meter, _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    if sizes.argument(args, kwargs, 1, "fill_with", None) is not None:
        meter.room(16 * sizes.width_of(sizes.argument(args, kwargs, 0, "linecount", 0)))


def _check_join(meter: Meter, value: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    items = list(value)
    sizes.check_join(meter, items, sizes.argument(args, kwargs, 0, "d", ""))


def _check_list(meter: Meter, value: Any, *_: Any) -> None:
    if isinstance(value, str | list | tuple | dict | range):
        meter.room(16 * len(value))


def _check_sum(meter: Meter, value: Any, *_: Any) -> None:
    """Sums of lists copy what they have with every item."""
    items = list(value)
    if any(isinstance(item, list | tuple | dict) for item in items):
        meter.product(len(items), meter.weigh(items))


_CHECKS: dict[str, _Check] = {
    "batch": _check_batch,
    "center": lambda m, v, a, k: m.room(
        sizes.text_length(m, v) + sizes.width_of(sizes.argument(a, k, 0, "width", 80))
    ),
    "format": lambda m, v, a, k: sizes.check_printf(m, str(v), a or k),
    "indent": lambda m, v, a, k: sizes.check_indent(m, v, sizes.argument(a, k, 0, "width", 4)),
    "join": _check_join,
    "list": _check_list,
    "replace": lambda m, v, a, k: sizes.check_replace(
        m,
        v,
        sizes.argument(a, k, 0, "old", ""),
        sizes.argument(a, k, 1, "new", ""),
        sizes.argument(a, k, 2, "count", None),
    ),
    "round": lambda _m, _v, a, k: sizes.check_round(sizes.argument(a, k, 0, "precision", 0)),
    "sum": _check_sum,
    "tojson": sizes.check_json,
    "trim": lambda m, v, a, k: m.product(
        sizes.text_length(m, v), len(str(sizes.argument(a, k, 0, "chars", None) or ""))
    ),
    "wordwrap": lambda m, v, a, k: sizes.check_wordwrap(
        m,
        v,
        sizes.argument(a, k, 0, "width", 79),
        sizes.argument(a, k, 2, "wrapstring", None),
    ),
}
