"""Prompts with all of their texts masked: messages, calls, tools, template options, fills."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

from serve.errors import InvalidRequest, PersonalDataBlocked
from serve.governance.masking.pseudonyms import SHAPE
from serve.governance.masking.recorded import texts_beside
from serve.governance.masking.scan import Scanner
from serve.governance.masking.stream import MaskedStream, Replace
from serve.pipeline.events import (
    ChatPrompt,
    FillPrompt,
    Generation,
    Prompt,
    TextPrompt,
    TokensPrompt,
)

_NAMES = frozenset({"role", "type", "id", "tool_call_id"})
"""Fields of a message and of a call that name and join its parts."""
_SCHEMA_WORDS = frozenset({"required", "pattern", "name"})
"""Fields of a tool and of a JSON schema that name arguments, or say what they look like."""
_POINTERS = frozenset({"$ref", "$id", "$anchor", "$schema", "$dynamicRef", "$dynamicAnchor"})
_KEYWORD = re.compile(r"\$?[A-Za-z]+")
"""Fields that are keywords by their form; others may be data."""
_SCHEMAS = frozenset({"properties", "$defs", "definitions", "patternProperties"})
"""Fields of a JSON schema whose keys are names, and whose values are schemas."""
_DATA = frozenset({"default", "examples", "enum", "const", "example"})
_EXACT = 2**63
"""Floats below it are written with all of their digits, or nearly."""


def texts_in(value: object) -> Iterator[str]:
    """All strings in plain JSON values, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from texts_in(key)
            yield from texts_in(inner)
    elif isinstance(value, Sequence):
        for inner in value:
            yield from texts_in(inner)


def texts_of(generation: Generation) -> Iterator[str]:
    """All texts of a generation's prompts."""
    for prompt in generation.prompts:
        if isinstance(prompt, ChatPrompt):
            yield from texts_in((prompt.messages, prompt.tools, prompt.options))
        elif isinstance(prompt, TextPrompt):
            yield prompt.text
        elif isinstance(prompt, FillPrompt):
            yield from (prompt.prefix, prompt.suffix)


def pseudonyms_in(generation: Generation) -> set[str]:
    """Words in the form of a pseudonym that the client wrote."""
    texts = chain(texts_of(generation), texts_beside(generation))
    return {word for text in texts if "<" in text for word in SHAPE.findall(text)}


class MaskedPrompts:
    """Masks the prompts of one request.

    Args:
        scanner: finds what is to be replaced.
        replace: asked for each hit, in the order in which a model reads the prompt: tools first.
    """

    def __init__(self, scanner: Scanner, replace: Replace) -> None:
        self._scanner = scanner
        self._replace = replace

    def of(self, generation: Generation) -> Generation:
        """The generation with masked prompts.

        Raises:
            PersonalDataBlocked: data is in them that may not pass.
            InvalidRequest: a prompt is token ids, in which nothing can be found.
        """
        return replace(generation, prompts=tuple(map(self._prompt, generation.prompts)))

    def _prompt(self, prompt: Prompt) -> Prompt:
        if isinstance(prompt, TokensPrompt):
            raise InvalidRequest(
                "The prompt is token ids, and this key's prompts are masked, for which their text "
                "is needed. Send the prompt as text.",
                param="prompt",
            )
        if isinstance(prompt, TextPrompt):
            return replace(prompt, text=self._text(prompt.text, "prompt"))
        if isinstance(prompt, FillPrompt):
            prefix = self._text(prompt.prefix, "prompt")
            return FillPrompt(prefix, self._text(prompt.suffix, "suffix"))
        return replace(
            prompt,
            tools=tuple(
                self._schema(tool, f"tools[{number}]") for number, tool in enumerate(prompt.tools)
            ),
            options=self._data(prompt.options, "chat_template_kwargs"),
            messages=tuple(
                self._message(message, f"messages[{number}]")
                for number, message in enumerate(prompt.messages)
            ),
        )

    def _message(self, message: Mapping[str, Any], at: str) -> dict[str, Any]:
        masked: dict[str, Any] = {}
        for name, value in message.items():
            if name == "tool_calls" and isinstance(value, list | tuple):
                masked[name] = [
                    self._call(call, f"{at}.tool_calls[{number}]")
                    for number, call in enumerate(value)
                ]
            else:
                masked[name] = value if name in _NAMES else self._data(value, f"{at}.{name}")
        return masked

    def _call(self, call: Any, at: str) -> Any:
        function = call.get("function") if isinstance(call, Mapping) else None
        if not isinstance(function, Mapping):
            return self._data(call, at)
        arguments, at = function.get("arguments"), f"{at}.function.arguments"
        if isinstance(arguments, str):
            arguments = self._text(arguments, at, is_json=True)
        return {**call, "function": {**function, "arguments": self._data_but(arguments, at)}}

    def _data_but(self, value: Any, at: str) -> Any:
        """Plain values masked; a text has been."""
        return value if isinstance(value, str) else self._data(value, at)

    def _schema(self, value: Any, at: str) -> Any:
        """A tool, or a part of one: its texts, and not the words by which calls are read."""
        if isinstance(value, list | tuple):
            return [self._schema(inner, at) for inner in value]
        if not isinstance(value, Mapping):
            return self._data(value, at)
        masked: dict[str, Any] = {}
        for name, inner in value.items():
            if name in _SCHEMAS and isinstance(inner, Mapping):
                masked[name] = {key: self._schema(each, at) for key, each in inner.items()}
            elif name in _DATA:
                masked[name] = self._data(inner, at)
            elif name in _SCHEMA_WORDS or name in _POINTERS:
                masked[name] = inner
            elif _KEYWORD.fullmatch(name):
                masked[name] = self._schema(inner, at)
            else:
                masked |= self._data({name: inner}, at)
        return masked

    def _data(self, value: Any, at: str) -> Any:
        """Plain values with all strings masked, keys included; numbers with many digits, too."""
        if isinstance(value, str):
            return self._text(value, at)
        if isinstance(value, Mapping):
            masked: dict[str, Any] = {}
            for key, inner in value.items():
                name = self._text(key, at) if isinstance(key, str) else key
                while name in masked:
                    name = f"{name}'"
                masked[name] = self._data(inner, at)
            return masked
        if isinstance(value, list | tuple):
            return [self._data(inner, at) for inner in value]
        if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
            whole = self._data(int(value), at)
            return value if isinstance(whole, int) else whole
        if isinstance(value, int) and not isinstance(value, bool):
            text = self._text(str(value), at)
            return value if text == str(value) else text
        return value

    def _text(self, text: str, at: str, *, is_json: bool = False) -> str:
        stream = MaskedStream(self._scanner, self._replace, is_json=is_json)
        masked = stream.feed(text) + stream.finish()
        if stream.blocked is not None:
            raise PersonalDataBlocked(
                f"{at} has data in it that the rule {stream.blocked!r} does not let pass. "
                "Take it out and send the request again.",
                param=at,
            )
        return masked
