"""A template's environment in which a client's text is followed, whatever a template does to it.

trace() changes an environment so that operators, filters, calls and output work on TracedText and
give it. What a template renders does not change, only what is known about it. Where a filter or a
function is not followed in parts, its whole result counts as the client's once an argument holds
anything of one.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from string import Formatter
from typing import Any

from jinja2.compiler import CodeGenerator, Frame, optimizeconst
from jinja2.filters import make_attrgetter
from jinja2.nodes import Concat
from jinja2.runtime import BlockReference, LoopContext, Macro
from jinja2.sandbox import SandboxedEnvironment, SandboxedFormatter
from markupsafe import Markup

from serve.pipeline.traced_text import (
    TracedText,
    carries,
    client,
    joined,
    lifted,
    lowered,
    mapped,
    text_of,
)

_TEXT_FILTERS = frozenset({"capitalize", "center", "lower", "replace", "trim", "truncate", "upper"})
"""Written with methods of text alone, which follow: their arguments are lifted."""

_CHOOSING_FILTERS = frozenset(
    {
        *("abs", "attr", "batch", "count", "d", "default", "dictsort", "first", "float", "groupby"),
        *("int", "items", "last", "length", "list", "map", "max", "min", "random", "reject"),
        *("rejectattr", "reverse", "round", "select", "selectattr", "slice", "sort", "sum"),
        *("unique", "wordcount"),
    }
)
"""These give what they were given, or parts of it, or no text."""


class ClientMarkup(Markup):
    """Markup in which a client had a part; so has whatever is made of it."""

    of_client = True


class _TracedFormatter(SandboxedFormatter):
    """str.format in the sandbox, field by field."""

    def traced(self, template: str, args: Any, kwargs: Any) -> str:
        text: str = super().vformat(str.__str__(template), args, kwargs)
        if not carries((template, args, kwargs)):
            return text
        fields = list(Formatter().parse(str.__str__(template)))
        if carries(template) or any("{" in (spec or "") for _, _, spec, _ in fields):
            return client(text)
        pieces, number = [], 0
        for literal, name, spec, conversion in fields:
            pieces.append(literal)
            if name is None:
                continue
            place = name
            if not name or name[0] in ".[":
                place, number = f"{number}{name}", number + 1
            value = self.get_field(place, args, kwargs)[0]
            if isinstance(value, str) and not spec and not conversion:
                pieces.append(value)
                continue
            field = f"{{{place}{'!' + conversion if conversion else ''}:{spec}}}"
            shown = super().vformat(field, args, kwargs)
            pieces.append(client(shown) if carries(value) else shown)
        made = joined(pieces)
        return made if made == text else client(text)


class _Generator(CodeGenerator):
    """Jinja's code generator, but for ``~``: it joins texts by a function of the environment."""

    @optimizeconst
    def visit_Concat(self, node: Concat, frame: Frame) -> None:  # noqa: N802 - Jinja's name
        if frame.eval_ctx.volatile or frame.eval_ctx.autoescape:
            self.write("environment.of_client(")
            super().visit_Concat(node, frame)
            self.write(")")
            return
        self.write("environment.concat(map(environment.finalize, (")
        for part in node.nodes:
            self.visit(part, frame)
            self.write(", ")
        self.write(")))")


def trace(environment: SandboxedEnvironment) -> None:
    """Change an environment so that what it renders is a TracedText where a client has a part."""
    hooks: dict[str, Any] = {
        "finalize": text_of,
        "concat": _concat,
        "of_client": _of_client,
        "code_generator_class": _generator(environment.code_generator_class),
        "intercepted_binops": environment.intercepted_binops | {"+", "%"},
        "call_binop": functools.partial(_call_binop, environment.call_binop),
        "call": functools.partial(_call, environment.call),
        "getitem": functools.partial(_getitem, environment.getitem),
        "wrap_str_format": functools.partial(_wrap_str_format, environment),
    }
    for name, hook in hooks.items():
        setattr(environment, name, hook)
    for name, function in environment.filters.items():
        environment.filters[name] = _filter(name, function)


def _generator(generator: type[CodeGenerator]) -> type[CodeGenerator]:
    if generator is CodeGenerator:
        return _Generator
    return type("_Generator", (_Generator, generator), {})


def _concat(pieces: Iterable[str]) -> str:
    return joined(list(pieces))


def _of_client(value: Any) -> Any:
    """A result that could not be followed, as the client's as a whole; what is no text stays."""
    if isinstance(value, Markup):
        return ClientMarkup(value)
    return client(value) if isinstance(value, str) else value


def _call_binop(
    original: Callable[..., Any], context: Any, operator: str, left: Any, right: Any
) -> Any:
    if operator == "+":
        if type(left) is str and (type(right) is str or type(right) is TracedText):
            return original(context, operator, left, right)
        if isinstance(left, Markup) or isinstance(right, Markup):
            made = original(context, operator, left, right)
            return _of_client(made) if carries((left, right)) else made
    elif operator == "%" and isinstance(left, str) and carries(right):
        if isinstance(left, Markup):
            return _of_client(original(context, operator, left, right))
        return lowered(original(context, operator, lifted(left), right))
    return original(context, operator, left, right)


def _call(
    original: Callable[..., Any], context: Any, called: Any, /, *args: Any, **kwargs: Any
) -> Any:
    """A call from a template: methods of text follow, macros and loops do by their output."""
    owner = getattr(called, "__self__", None)
    if type(owner) is TracedText or isinstance(called, Macro | LoopContext | BlockReference):
        return original(context, called, *args, **kwargs)
    if type(owner) is str and not isinstance(called, functools.partial) and (args or kwargs):
        method = getattr(lifted(owner), called.__name__)
        return lowered(original(context, method, *args, **kwargs))
    made = original(context, called, *args, **kwargs)
    if not isinstance(made, str) or type(made) is TracedText or any(made is arg for arg in args):
        return made
    used = (owner, args, kwargs) if isinstance(owner, bytes | Markup) else (args, kwargs)
    return _of_client(made) if carries(used) else made


def _getitem(original: Callable[..., Any], obj: Any, argument: Any) -> Any:
    """An item that a client's text has chosen is the client's."""
    found = original(obj, argument)
    return _of_client(found) if type(argument) is TracedText and type(found) is str else found


def _wrap_str_format(environment: SandboxedEnvironment, value: Any) -> Any:
    """str.format and format_map; None for anything else."""
    owner: Any = getattr(value, "__self__", None)
    wrapped = type(environment).wrap_str_format(environment, value)
    if wrapped is None or isinstance(owner, Markup):
        return wrapped

    def formatted(*args: Any, **kwargs: Any) -> Any:
        if value.__name__ == "format_map":
            wrapped(*args, **kwargs)  # raises where the arguments are not one mapping
            kwargs, args = args[0], ()
        return _TracedFormatter(environment).traced(owner, args, kwargs)

    return formatted


def _filter(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that follows the client's text."""
    own = _OWN.get(name)
    takes_context = hasattr(function, "jinja_pass_arg")

    @functools.wraps(function)
    def traced_filter(*args: Any, **kwargs: Any) -> Any:
        given = args[1:] if takes_context else args
        if name in _CHOOSING_FILTERS:
            return function(*args, **kwargs)
        if own is not None:
            return lowered(own(function, *args, **kwargs))
        if not carries((given, kwargs)):
            return function(*args, **kwargs)
        values = (*given, *kwargs.values())
        if name not in _TEXT_FILTERS or any(isinstance(value, Markup) for value in values):
            return _of_client(function(*args, **kwargs))
        first = args[:1] if takes_context else ()
        named = {key: _lift(value) for key, value in kwargs.items()}
        made = function(*first, *map(_lift, given), **named)
        return _of_client(made) if isinstance(made, Markup) else lowered(made)

    return traced_filter


def _lift(value: Any) -> Any:
    """A filter's argument as a text that follows; numbers and the like stay."""
    if isinstance(value, bool | int | float) or value is None:
        return value
    return lifted(text_of(value))


def _string(_: Callable[..., Any], value: Any) -> str:
    return value if isinstance(value, str) else text_of(value)


def _title(function: Callable[..., Any], value: Any) -> Any:
    return mapped(text_of(value), function)


def _format(function: Callable[..., Any], value: Any, /, *args: Any, **kwargs: Any) -> Any:
    if isinstance(value, Markup):
        made = function(value, *args, **kwargs)
        return _of_client(made) if carries((value, args, kwargs)) else made
    return function(lifted(text_of(value)), *args, **kwargs)


def _join(
    function: Callable[..., Any], context: Any, value: Any, d: Any = "", attribute: Any = None
) -> Any:
    if attribute is not None:
        value = map(make_attrgetter(context.environment, attribute), value)
    return function(context, map(text_of, value), lifted(text_of(d)))


def _indent(
    function: Callable[..., Any],
    s: Any,
    width: int | str = 4,
    first: bool = False,
    blank: bool = False,
) -> Any:
    if isinstance(s, Markup):
        made = function(s, width, first, blank)
        return _of_client(made) if carries((s, width)) else made
    text = text_of(s)
    plain = function(str.__str__(text), width, first, blank)
    indention = width if isinstance(width, str) else " " * width
    lines = lifted(text + "\n").splitlines()
    made = joined(
        [
            piece
            for number, line in enumerate(lines)
            for piece in (
                "\n" if number else "",
                indention if (first if not number else blank or line) else "",
                line,
            )
        ]
    )
    return made if made == plain else client(plain) if carries((text, width)) else plain


_OWN: dict[str, Callable[..., Any]] = {
    "format": _format,
    "indent": _indent,
    "join": _join,
    "string": _string,
    "title": _title,
}
