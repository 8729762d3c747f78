"""The model's chat template: messages and tools to the text of a prompt. The home of Jinja.

The template comes from the model folder and nowhere else, and runs in Jinja's immutable sandbox.
The environment (globals, filters, whitespace rules) is the one that templates are written for; it
is described in transformers' documentation, "Writing a chat template".
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from jinja2 import TemplateError, meta
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension
from jinja2.nodes import CallBlock, Node
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from serve.errors import InvalidRequest, StartupError
from serve.pipeline.tracing import trace


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


class ChatTemplate:
    """A compiled chat template.

    Args:
        source: Jinja text.
        special_tokens: ``bos_token``, ``eos_token`` and so on, which templates may name.

    Raises:
        StartupError: it does not compile.
    """

    def __init__(self, source: str, special_tokens: Mapping[str, str]) -> None:
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True,
            lstrip_blocks=True,
            autoescape=False,  # the output is a prompt, not HTML
            extensions=["jinja2.ext.loopcontrols", _Generation],
        )
        environment.filters["tojson"] = _to_json
        environment.globals["raise_exception"] = _refuse
        environment.globals["strftime_now"] = _strftime_now
        trace(environment)
        try:
            self._template = environment.from_string(source)
            names = meta.find_undeclared_variables(environment.parse(source))
        except TemplateError as error:
            raise StartupError(f"the model's chat template does not compile: {error}") from None
        self._special_tokens = dict(special_tokens)
        self.has_tools = "tools" in names
        """Whether it says anything about tools; else a model would never see them."""

    def render(
        self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]]
    ) -> str:
        """The prompt, open for the assistant's turn; a TracedText where a client has a part.

        What serve.pipeline.traced_text.of_client() has made of messages and tools is followed.

        Raises:
            InvalidRequest: the template refuses these messages (roles that do not alternate, say).
        """
        try:
            return self._template.render(
                messages=messages,
                tools=list(tools) or None,
                add_generation_prompt=True,
                **self._special_tokens,
            )
        except SecurityError:
            raise InvalidRequest(
                "The model's chat template was stopped by the sandbox.", param="messages"
            ) from None
        except (
            TemplateError,
            TypeError,
            ValueError,
            KeyError,
            AttributeError,
            OverflowError,
        ) as error:
            detail = str(error) if isinstance(error, TemplateError) else type(error).__name__
            raise InvalidRequest(
                f"The model's chat template refuses these messages: {detail[:200]}",
                param="messages",
            ) from None


def load_template(folder: Path, tokenizer_config: Mapping[str, Any]) -> ChatTemplate | None:
    """The chat template of a model folder: chat_template.jinja, else the tokenizer's config.

    Returns:
        None where the model has none (a base model): then only plain prompts can be continued.
    """
    file = folder / "chat_template.jinja"
    source: Any = None
    if file.is_file():
        source = file.read_text("utf-8")
    elif "chat_template" in tokenizer_config:
        source = tokenizer_config["chat_template"]
        if isinstance(source, list):  # several, by name
            named = {entry["name"]: entry["template"] for entry in source}
            source = named.get("tool_use") or named.get("default")
    if not isinstance(source, str):
        return None
    special = {
        name: value["content"] if isinstance(value, dict) else value
        for name, value in tokenizer_config.items()
        if name.endswith("_token") and isinstance(value, str | dict)
    }
    return ChatTemplate(source, special)


def _to_json(value: Any, indent: int | None = None, **options: Any) -> str:
    """JSON without HTML escapes: Jinja's own filter would write < as an escape."""
    options.setdefault("ensure_ascii", False)
    return json.dumps(value, indent=indent, **options)


def _refuse(message: str) -> NoReturn:
    raise TemplateError(message)


def _strftime_now(format_: str) -> str:
    return dt.datetime.now().astimezone().strftime(format_)
