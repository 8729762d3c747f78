"""Contents of a call as documents, the bytes that are hashed or kept: prompts, pieces, answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import orjson

from serve.pipeline.answer import Answer, CollectedChoice
from serve.pipeline.events import (
    Event,
    Finished,
    Generation,
    PromptTokens,
    TextDelta,
    TokenIds,
    ToolCallDelta,
)

_KINDS = {
    "ChatPrompt": "chat",
    "TextPrompt": "text",
    "FillPrompt": "fill",
    "TokensPrompt": "tokens",
}
_ASKED = ("stop", "bad_words", "format", "tool_use")


def prompt_document(generation: Generation) -> bytes:
    """What was asked, as the engine will have it: masked, where it was masked."""
    document: dict[str, Any] = {
        "prompts": [
            {"kind": _KINDS[type(prompt).__name__], **_parts(prompt)}
            for prompt in generation.prompts
        ]
    }
    for name in _ASKED:
        if value := getattr(generation, name):
            document[name] = value
    if generation.sampling.logit_bias:
        document["logit_bias"] = {str(k): v for k, v in generation.sampling.logit_bias.items()}
    return _bytes(document)


def answer_document(choices: list[CollectedChoice]) -> bytes:
    """What was answered, before pseudonyms are put back for the caller."""
    return _bytes({"choices": [_choice(choice) for choice in choices]})


def piece_document(event: Event) -> bytes:
    """One event that is about to be released; empty where it has no text."""
    if isinstance(event, TextDelta):
        return _bytes({"choice": event.index, event.channel: event.text})
    if isinstance(event, ToolCallDelta):
        call = {"call": event.call, "name": event.name, "arguments": event.arguments}
        return _bytes({"choice": event.index, **call})
    if isinstance(event, TokenIds):
        return _bytes({"choice": event.index, "tokens": list(event.token_ids)})
    if isinstance(event, PromptTokens):
        return _bytes({"prompt": event.prompt, "tokens": list(event.token_ids)})
    return b""


def num_chars(event: Event) -> int:
    """Characters of an event that is about to be released."""
    if isinstance(event, TextDelta):
        return len(event.text)
    return len(event.arguments) if isinstance(event, ToolCallDelta) else 0


def add_to(answer: Answer, event: Event) -> None:
    """Gather an event. A choice that failed has no more to say."""
    if isinstance(event, Finished) and event.reason == "error":
        return
    answer.add(event)


def _choice(choice: CollectedChoice) -> dict[str, Any]:
    told: dict[str, Any] = {"index": choice.index, "finish": choice.reason}
    told.update((channel, choice.text_of(channel)) for channel in choice.deltas)
    if calls := choice.calls:
        told["calls"] = [{"name": call.name, "arguments": call.arguments} for call in calls]
    if choice.token_ids:
        told["tokens"] = choice.token_ids
    return told


def _parts(value: Any) -> dict[str, Any]:
    return {part.name: getattr(value, part.name) for part in fields(value)}


def _plain(value: Any) -> Any:
    if isinstance(value, frozenset | set):
        return sorted(value)
    if isinstance(value, Mapping):
        return dict(value)
    if is_dataclass(value):
        return _parts(value)
    return list(value)


def _bytes(document: Any) -> bytes:
    """The bytes of a document. Texts that no UTF-8 holds, of a caller within, are escaped."""
    try:
        return orjson.dumps(document, option=orjson.OPT_SORT_KEYS, default=_plain)
    except (TypeError, ValueError):
        return json.dumps(document, sort_keys=True, default=_plain).encode()
