"""The environment of chat templates: what they may call, and how their whitespace is read.

It is the one that templates are written for, described in transformers' documentation, "Writing a
chat template", in Jinja's immutable sandbox, within bounds (serve/pipeline/template_bounds.py) and
traced (serve/pipeline/tracing.py).
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NoReturn

from jinja2 import Template, TemplateError, meta
from jinja2.ext import Extension
from jinja2.nodes import CallBlock, Node
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from serve.errors import StartupError
from serve.pipeline.template_bounds import bound
from serve.pipeline.template_meter import TemplateBoundError, current
from serve.pipeline.tracing import trace

_TIMES: ContextVar[list[str] | None] = ContextVar("_TIMES", default=None)
_MAX_FORMAT_CHARS = 256
_WIDE_DIRECTIVE = re.compile(r"%[-_0^#+]*\d{3,}")


def environment() -> ImmutableSandboxedEnvironment:
    """The environment of every template, within bounds."""
    made = ImmutableSandboxedEnvironment(
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # the output is a prompt, not HTML
        extensions=["jinja2.ext.loopcontrols", _Generation],
    )
    made.filters["tojson"] = _to_json
    made.globals["raise_exception"] = _refuse
    made.globals["strftime_now"] = _strftime_now
    trace(made)
    bound(made)  # last: it stands around all other hooks
    return made


def compile_template(source: str) -> Template:
    """A template, ready to render.

    Raises:
        StartupError: it does not compile.
    """
    try:
        return environment().from_string(source)
    except TemplateError as error:
        detail = str(error)
    except (SyntaxError, RecursionError, MemoryError, ValueError, OverflowError):
        detail = "it is nested too deeply, or holds a number that is too large"
    raise StartupError(f"the model's chat template does not compile: {detail[:200]}")


def names_in(source: str) -> set[str]:
    """The variables that a template reads."""
    made = environment()
    return meta.find_undeclared_variables(made.parse(source))


@contextmanager
def noting_times() -> Iterator[list[str]]:
    """Collect the formats of the times that templates ask for meanwhile."""
    noted: list[str] = []
    token = _TIMES.set(noted)
    try:
        yield noted
    finally:
        _TIMES.reset(token)


class _Generation(Extension):
    """``{% generation %}`` marks text for training; for serving it is its content."""

    tags = {"generation"}  # noqa: RUF012 - declared so by jinja2.ext.Extension

    def parse(self, parser: Parser) -> Node | list[Node]:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    @staticmethod
    def _body(caller: Any) -> str:
        return str(caller())


def _to_json(
    x: Any,
    ensure_ascii: bool = False,
    indent: int | str | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """JSON without HTML escapes: Jinja's own filter would write < as an escape."""
    return json.dumps(
        x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _refuse(message: Any) -> NoReturn:
    current().weigh(message)
    raise TemplateError(str(message))


def _strftime_now(format: str) -> str:  # noqa: A002 - transformers' name
    """The time here, without a zone, as transformers has it."""
    if len(format) > _MAX_FORMAT_CHARS or _WIDE_DIRECTIVE.search(format):
        raise TemplateBoundError(
            f"asks for a time in a format of more than {_MAX_FORMAT_CHARS} characters, or too wide"
        )
    if (noted := _TIMES.get()) is not None:
        noted.append(format)
    return dt.datetime.now().astimezone().replace(tzinfo=None).strftime(format)
