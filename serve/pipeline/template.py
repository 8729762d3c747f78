"""The model's chat template: messages and tools to the text of a prompt.

The template comes from the model folder and nowhere else, and runs in a sandbox
(serve/pipeline/template_environment.py), within bounds (serve/pipeline/template_bounds.py): what it
costs is counted, and no message is worth more.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from jinja2 import Template, TemplateError
from jinja2.exceptions import SecurityError

from serve.errors import InvalidRequest, StartupError
from serve.pipeline.message_forms import (
    THOUGHTS,
    variants,
    with_empty_contents,
    with_thoughts,
)
from serve.pipeline.template_environment import compile_template, names_in
from serve.pipeline.template_meter import (
    INLINE,
    Bounds,
    Meter,
    TemplateBoundError,
    metering,
    num_chars,
)
from serve.pipeline.template_source import DEFAULT, TOOL_USE, special_tokens_of, templates_of
from serve.pipeline.tool_arguments import Arguments

log = logging.getLogger(__name__)

PROBE = Bounds(steps=20_000, value_chars=1 << 16, made_chars=1 << 18, seconds=1.0)
"""Bounds of what is rendered to learn about a template."""
_Messages = Sequence[Mapping[str, Any]]


class TooMuchInlineError(Exception):
    """A rendering on the event loop costs more than it may there: begin it again on a thread."""


class ChatTemplate:
    """A compiled chat template, and the one for tools where the model has two.

    Args:
        source: Jinja text; None where there is one for tools alone.
        special_tokens: ``bos_token``, ``eos_token`` and so on, which templates may name.
        tool_use: Jinja text for requests with tools; ``source`` where there is none.

    Raises:
        StartupError: it does not compile.
    """

    def __init__(
        self,
        source: str | None,
        special_tokens: Mapping[str, str],
        *,
        tool_use: str | None = None,
    ) -> None:
        self._special_tokens = dict(special_tokens)
        self._default = None if source is None else compile_template(source)
        self._tool_use = self._default if tool_use is None else compile_template(tool_use)
        with_tools = source if tool_use is None else tool_use
        self.tools_source = with_tools or ""
        """The source of the template that is used where there are tools."""
        self.has_tools = with_tools is not None and "tools" in names_in(with_tools)
        """Whether it says anything about tools; else a model would never see them."""
        sources = [text for text in (source, tool_use) if text is not None]
        self.variables = frozenset[str]().union(*map(names_in, sources))
        """Names that it reads: what else is given changes nothing."""
        self._thoughts = [
            name for name in THOUGHTS if any(re.search(rf"\b{name}\b", text) for text in sources)
        ]

    def render(
        self,
        messages: _Messages,
        tools: _Messages,
        *,
        options: Mapping[str, Any] | None = None,
        opens_answer: bool = True,
        is_inline: bool = False,
    ) -> str:
        """The prompt; a TracedText where a client has a part.

        What serve.pipeline.traced_text.of_client() has made of messages, tools and options is
        followed.

        Args:
            options: further variables, ``documents`` among them. Those of the server's own win.
            opens_answer: whether it is open for the assistant's turn.
            is_inline: within what may be done on the event loop.

        Raises:
            InvalidRequest: the template refuses these messages (roles that do not alternate, say),
                or would cost more than they are worth.
            TooMuchInlineError: more than may be done on the event loop.
        """
        template = self._tool_use if tools else self._default
        if template is None:
            raise InvalidRequest(
                "This model has no chat template named 'default', only some for special uses. Use "
                "/v1/completions, or give the model a default template.",
                param="messages",
            )
        options = options or {}
        bounds = INLINE if is_inline else Bounds.of(num_chars((messages, tools, options)))
        meter = Meter(bounds)
        first: Exception | None = None
        if self.writes_null and any(message.get("content", "") is None for message in messages):
            messages = with_empty_contents(messages)
        for given, told in variants(with_thoughts(messages, self._thoughts), tools):
            try:
                return self._render(
                    template, given, told, meter, options=options, opens_answer=opens_answer
                )
            except TemplateBoundError as error:
                if is_inline:
                    raise TooMuchInlineError from None
                raise InvalidRequest(
                    f"The model's chat template {error}. Send fewer or shorter messages; if short "
                    "ones fail, too, the template itself is at fault.",
                    param="messages",
                ) from None
            except Exception as error:  # noqa: BLE001 - a template can raise whatever Python can
                first = first or error
        raise InvalidRequest(_refusal(first), param="messages") from None

    def try_out(self) -> str | None:
        """The reason why none of a few small conversations can be rendered, or None.

        Raises:
            StartupError: each of them costs more than a rendering may.
        """
        reason = None
        num_bounded = 0
        for messages, tools in _samples():
            template = self._tool_use if tools else self._default
            if template is None:
                continue
            try:
                self._render(template, messages, tools, Meter(Bounds.of(0)))
            except TemplateBoundError as error:
                reason, num_bounded = reason or str(error), num_bounded + 1
            except Exception as error:  # noqa: BLE001 - a template can raise whatever Python can
                reason, num_bounded = reason or _reason(error), -len(_CONTENTS) * 9
            else:
                return None
        if num_bounded > 0:
            raise StartupError(
                f"the model's chat template {reason}, for any message. Give the model another one."
            )
        return reason

    def _render(
        self,
        template: Template,
        messages: _Messages,
        tools: _Messages,
        meter: Meter,
        *,
        options: Mapping[str, Any] | None = None,
        opens_answer: bool = True,
    ) -> str:
        ours = {
            "messages": messages,
            "tools": list(tools) or None,
            "add_generation_prompt": opens_answer,
            **self._special_tokens,
        }
        with metering(meter):
            return template.render({"documents": None, **(options or {}), **ours})

    @cached_property
    def writes_null(self) -> bool:
        """Whether a call without content is rendered with the word None, which nobody said."""
        return self._num_nulls(None) > self._num_nulls("")

    def _num_nulls(self, content: str | None) -> int:
        """The times that None stands in a small conversation with such a content beside a call."""
        function = {"name": "f", "arguments": Arguments({}, "{}")}
        call = {"type": "function", "id": "call00000", "function": function}
        asked = {"role": "assistant", "content": content, "tool_calls": [call]}
        messages: _Messages = [{"role": "user", "content": "Hello"}, asked]
        num = 0
        for template in filter(None, (self._default, self._tool_use)):
            with suppress(Exception):  # a template can raise whatever Python can
                num += self._render(template, messages, (), Meter(PROBE)).count("None")
        return num


def load_template(folder: Path, tokenizer_config: Mapping[str, Any]) -> ChatTemplate | None:
    """The chat template of a model folder, tried out: see ``templates_of`` for where it is.

    Returns:
        None where the model has none (a base model): then only plain prompts can be continued.

    Raises:
        StartupError: it does not compile, or costs more than it may whatever the message.
    """
    named = templates_of(folder, tokenizer_config)
    if not named:
        return None
    template = ChatTemplate(
        named.get(DEFAULT),
        special_tokens_of(folder, tokenizer_config),
        tool_use=named.get(TOOL_USE),
    )
    reason = template.try_out()
    if reason is not None:
        log.warning(
            "no small conversation can be rendered by the model's chat template: %s", reason
        )
    return template


_CONTENTS: tuple[Any, ...] = ("Hello", [{"type": "text", "text": "Hello"}])


def _samples() -> Iterator[tuple[_Messages, _Messages]]:
    """Small conversations of the usual shapes: one of them should suit any template."""
    tool = {"type": "function", "function": {"name": "f", "description": "", "parameters": {}}}
    for tools in ([], [tool]):
        for content in _CONTENTS:
            user = {"role": "user", "content": content}
            yield [user], tools
            yield [{"role": "system", "content": content}, user], tools
            yield [user, {"role": "assistant", "content": content}, user], tools


def _refusal(error: Exception | None) -> str:
    if isinstance(error, SecurityError):
        return "The model's chat template was stopped by the sandbox."
    return f"The model's chat template refuses these messages: {_reason(error)}"


def _reason(error: Exception | None) -> str:
    """The words of a template's error, without Python's own where those quote texts."""
    match error:
        case TemplateError():
            return str(error)[:200]
        case RecursionError():
            return "it calls itself too deeply (RecursionError)"
        case MemoryError():
            return "it asks for more memory than there is (MemoryError)"
        case ZeroDivisionError():
            return "it divides by zero (ZeroDivisionError)"
        case TypeError() | OverflowError():  # these name types and bounds, never a text
            return f"{type(error).__name__}: {error}"[:200]
    return type(error).__name__
