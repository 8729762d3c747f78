"""Whether a chat template is plain Jinja, as the server's sandbox runs it. Never rendered.

Jinja's parser alone reads the text; the tree is walked for what a template has no need of: private
attributes, other templates, calls of names that nobody defines, and constants that would fill the
memory. The sandbox (serve/pipeline/template.py) stands behind this and refuses the same at run
time; what is refused here is refused before anything else has been parsed.

How sandboxes were left before: attributes with two underscores (CVE-2016-10745, ``str.format``),
the ``attr`` filter (CVE-2025-27516), templates from a model file (CVE-2024-34359).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from jinja2 import Environment, TemplateError, nodes
from jinja2.ext import Extension
from jinja2.parser import Parser

from models import plain_file
from models.rules import template_sizes

MAX_TEMPLATE_BYTES = 256 << 10
"""The longest published chat templates have about 30 KiB."""
MAX_TREE_DEPTH = 100
"""Most levels of nodes within nodes: Jinja's compiler calls itself for each."""

GLOBALS = frozenset(
    {"range", "dict", "namespace", "cycler", "joiner", "raise_exception", "strftime_now"}
)
"""Functions that a template may call by name. The sandbox has these and Jinja's ``lipsum``."""
_BOUND_BY_JINJA = frozenset({"loop", "caller", "varargs", "kwargs", "self", "super"})

_ATTRIBUTE_FILTERS = frozenset({"map", "groupby", "sort", "sum", "unique", "min", "max"})
_CHOOSING_FILTERS = frozenset({"map", "select", "reject"})
_CHOOSING_BY_ATTRIBUTE = frozenset({"selectattr", "rejectattr"})
_MUTATORS = frozenset(
    {
        *("append", "extend", "insert", "remove", "reverse", "clear"),
        *("pop", "popitem", "update", "setdefault"),
    }
)
_PRIVATE_IN_TEXT = re.compile(
    r"__(?:class|mro|bases?|subclasses|globals|builtins|init|import|dict|code|func|self|module|"
    r"getattribute|getattr|reduce|closure|loader|spec|call)\w*__"
)
_LEADING_UNDERSCORE = re.compile(r"(?:^|\.)_")


class _Generation(Extension):
    """``{% generation %}`` marks text for training; its content counts as if it stood alone."""

    tags = {"generation"}  # noqa: RUF012 - declared so by jinja2.ext.Extension

    def parse(self, parser: Parser) -> nodes.Node | list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def environment() -> Environment:
    """Parses what the server's environment compiles. Nothing is ever rendered with it."""
    return Environment(  # noqa: S701 - it only parses
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.loopcontrols", _Generation],
    )


_ENVIRONMENT = environment()
FILTERS = frozenset(_ENVIRONMENT.filters)
TESTS = frozenset(_ENVIRONMENT.tests)


def fault(source: str) -> str | None:
    """The fault of a template, as the end of a sentence that begins with "it"; None without one."""
    size = len(source.encode("utf-8", "surrogatepass"))
    if size > MAX_TEMPLATE_BYTES:
        return f"has {size:,} bytes; a template has at most {MAX_TEMPLATE_BYTES:,}"
    try:
        tree = _ENVIRONMENT.parse(source)
    except TemplateError as error:
        line = getattr(error, "lineno", None)
        return f"is no Jinja that the server runs{_at(line)}: {str(error)[:120]}"
    except (RecursionError, ValueError, OverflowError):
        return "is nested too deeply, or holds a number that is too large"
    wrong = _depth_fault(tree) or template_sizes.fault(tree)
    if wrong is not None:
        return wrong
    known = GLOBALS | _BOUND_BY_JINJA | _defined(tree)
    for node in _every(tree):
        for check in _CHECKS:
            wrong = check(node)
            if wrong is not None:
                return f"{wrong}{_at(node.lineno)}"
        wrong = _call_fault(node, known)
        if wrong is not None:
            return f"{wrong}{_at(node.lineno)}"
    return None


def file_fault(path: Path) -> str | None:
    """The same, of a file.

    Raises:
        OSError: it cannot be read.
    """
    try:
        return fault(plain_file.read(path, MAX_TEMPLATE_BYTES).decode("utf-8"))
    except plain_file.TooLargeError:
        return f"is larger than {MAX_TEMPLATE_BYTES >> 10} KiB"
    except UnicodeDecodeError:
        return "is not UTF-8"


def value_fault(value: Any) -> str | None:
    """The same, of a configuration's ``chat_template``.

    Args:
        value: one template, several by name, or a list of tables with ``name`` and ``template``.
    """
    match value:
        case None:
            return None
        case str():
            return fault(value)
        case dict():
            sources = list(value.values())
        case list():
            sources = [row.get("template") if isinstance(row, dict) else None for row in value]
        case _:
            return "is no text"
    if not all(isinstance(source, str) for source in sources):
        return "is no text"
    return next((wrong for wrong in map(fault, sources) if wrong), None)


def _every(tree: nodes.Node) -> Iterator[nodes.Node]:
    return tree.find_all(nodes.Node)


def _depth_fault(tree: nodes.Node) -> str | None:
    level: list[nodes.Node] = [tree]
    for _ in range(MAX_TREE_DEPTH):
        level = [child for node in level for child in node.iter_child_nodes()]
        if not level:
            return None
    return f"is nested more than {MAX_TREE_DEPTH} levels deep"


def _defined(tree: nodes.Node) -> frozenset[str]:
    """Names that the template itself binds, anywhere: macros, arguments, loops, assignments."""
    names = {macro.name for macro in tree.find_all(nodes.Macro)}
    names |= {name.name for name in tree.find_all(nodes.Name) if name.ctx != "load"}
    return frozenset(names)


def _other_templates(node: nodes.Node) -> str | None:
    if isinstance(node, nodes.Include | nodes.Import | nodes.FromImport | nodes.Extends):
        return f"asks for another template ({type(node).__name__.lower()})"
    return None


def _autoescape(node: nodes.Node) -> str | None:
    if isinstance(node, nodes.ScopedEvalContextModifier):
        return "asks for HTML's escapes (autoescape)"
    return None


def _attributes(node: nodes.Node) -> str | None:
    match node:
        case nodes.Getattr(attr=str(name)) if name.startswith("_"):
            return f"reads the private attribute {name[:60]!r}"
        case nodes.Getitem(arg=argument):
            key = template_sizes.constant(argument)
            if isinstance(key, str) and key.startswith("__"):
                return f"reads the private attribute {key[:60]!r}"
        case nodes.Const() | nodes.Concat() | nodes.Add():
            text = template_sizes.constant(node)
            private = _PRIVATE_IN_TEXT.search(text) if isinstance(text, str) else None
            if private is not None:
                return f"names the private attribute {private.group()[:60]!r} in a text"
        case nodes.Name(name=str(name)) if name.startswith("__"):
            return f"names {name[:60]!r}"
    return None


def _filters_and_tests(node: nodes.Node) -> str | None:
    if isinstance(node, nodes.Test) and node.name not in TESTS:
        return f"uses the unknown test {node.name[:60]!r}"
    if not isinstance(node, nodes.Filter):
        return None
    if node.name not in FILTERS:
        return f"uses the filter {node.name[:60]!r}, which is not among Jinja's plain ones"
    arguments = [*node.args, *(keyword.value for keyword in node.kwargs)]
    if node.name == "attr":
        return _attribute_argument(node.args[0] if node.args else None)
    if node.name in _CHOOSING_BY_ATTRIBUTE:
        return _attribute_argument(node.args[0] if node.args else None) or _chosen(node.args[1:2])
    if node.name in _ATTRIBUTE_FILTERS:
        for argument in arguments:
            if isinstance(argument, nodes.Const) and _is_private(argument.value):
                return f"reads the private attribute {str(argument.value)[:60]!r}"
        for keyword in node.kwargs:
            if keyword.key == "attribute" and not isinstance(keyword.value, nodes.Const):
                return "chooses an attribute only when it runs"
    if node.name in _CHOOSING_FILTERS:
        return _chosen(node.args[:1]) or _mapped_attribute(node)
    return None


def _chosen(arguments: list[nodes.Expr]) -> str | None:
    """The filter or test that ``map``, ``select`` or ``reject`` applies to each item."""
    for argument in arguments:
        if not isinstance(argument, nodes.Const) or not isinstance(argument.value, str):
            return "chooses a filter or a test only when it runs"
        if argument.value not in FILTERS | TESTS:
            return f"uses the unknown filter {argument.value[:60]!r}"
    return None


def _mapped_attribute(node: nodes.Filter) -> str | None:
    match node.args:
        case [nodes.Const(value="attr"), *rest]:
            return _attribute_argument(rest[0] if rest else None)
    return None


def _attribute_argument(argument: nodes.Expr | None) -> str | None:
    if not isinstance(argument, nodes.Const):
        return "chooses an attribute only when it runs"
    if _is_private(argument.value):
        return f"reads the private attribute {str(argument.value)[:60]!r}"
    return None


def _is_private(name: object) -> bool:
    return isinstance(name, str) and _LEADING_UNDERSCORE.search(name) is not None


def _call_fault(node: nodes.Node, known: frozenset[str]) -> str | None:
    match node:
        case nodes.Call(node=nodes.Name(name=str(name))) if name not in known:
            return f"calls {name[:60]!r}, which neither Jinja nor the template defines"
        case nodes.Call(node=nodes.Getattr(attr=str(name))) if name in _MUTATORS:
            return f"calls {name!r}, which changes a value: the sandbox is immutable"
    return None


_CHECKS: tuple[Callable[[nodes.Node], str | None], ...] = (
    _other_templates,
    _autoescape,
    _attributes,
    _filters_and_tests,
)


def _at(line: int | None) -> str:
    return "" if line is None else f" (line {line})"
