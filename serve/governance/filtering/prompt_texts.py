"""Texts of a request's prompts, each with the field that it came by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from serve.pipeline.events import ChatPrompt, FillPrompt, Generation, TextPrompt, TokensPrompt


@dataclass(frozen=True, slots=True)
class PromptText:
    """One text.

    Attributes:
        param: the client's field: ``messages[0].content``.
        has_escapes: it is JSON, which templates may parse: escapes are what they stand for. It is
            there as it was written, too.
    """

    param: str
    text: str
    has_escapes: bool = False


def has_tokens(generation: Generation) -> bool:
    """Whether a prompt is token ids, which no text is known of."""
    return any(isinstance(prompt, TokensPrompt) for prompt in generation.prompts)


def texts_of(generation: Generation) -> list[PromptText]:
    """All texts of the prompts.

    The parts of a message are one text, for templates join them: a word may be cut in two.
    """
    found: list[PromptText] = []
    for prompt in generation.prompts:
        if isinstance(prompt, ChatPrompt):
            for number, message in enumerate(prompt.messages):
                found += _of_message(f"messages[{number}]", message)
            for number, tool in enumerate(prompt.tools):
                found += _strings(f"tools[{number}]", tool)
            found += _strings("chat_template_kwargs", prompt.options)
        elif isinstance(prompt, TextPrompt):
            found.append(PromptText("prompt", prompt.text))
        elif isinstance(prompt, FillPrompt):
            found += [PromptText("prompt", prompt.prefix), PromptText("suffix", prompt.suffix)]
    return [text for text in found if text.text]


def _of_message(place: str, message: Mapping[str, Any]) -> Iterator[PromptText]:
    for name, value in message.items():
        if name == "role":
            continue
        if name == "content" and isinstance(value, list | tuple):
            yield PromptText(f"{place}.content", "".join(_parts(value)))
            yield from _strings(f"{place}.content", [_beside_text(part) for part in value])
        elif name in ("tool_calls", "function_call"):
            for text in _strings(f"{place}.{name}", value):
                yield text
                if "\\" in text.text:
                    yield replace(text, has_escapes=True)
        else:
            yield from _strings(f"{place}.{name}", value)


def _parts(content: list[Any] | tuple[Any, ...]) -> Iterator[str]:
    for part in content:
        text = part.get("text") if isinstance(part, Mapping) else part
        if isinstance(text, str):
            yield text


def _beside_text(part: object) -> object:
    if not isinstance(part, Mapping):
        return None
    return [value for name, value in part.items() if name not in {"type", "text"}]


def _strings(place: str, value: object) -> Iterator[PromptText]:
    """Every string within a JSON value, names of objects included."""
    if isinstance(value, str):
        yield PromptText(place, value)
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            if isinstance(name, str):
                yield PromptText(place, name)
            yield from _strings(place, inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _strings(place, inner)
