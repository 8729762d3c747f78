"""The forms of a conversation that some chat templates insist on, where others refuse them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from serve.pipeline.call_ids import in_nine_characters
from serve.pipeline.tool_arguments import wrapped

Messages = Sequence[Mapping[str, Any]]

THOUGHTS = ("reasoning_content", "reasoning", "thinking")
"""Names under which templates read a message's reasoning; the API gives it the first one."""


def variants(messages: Messages, tools: Messages) -> Iterator[tuple[Messages, Messages]]:
    """Messages and tools as they are; if a template refuses them, in forms that some insist on.

    Each form is made when it is asked for: nearly always the first one is taken.
    """
    for given in _message_variants(messages):
        for told in _tool_variants(tools):
            yield given, told


def _message_variants(messages: Messages) -> Iterator[Messages]:
    yield messages
    forms = [messages]
    for change in (in_nine_characters, wrapped, with_empty_contents, _without_thoughts):
        changed = [made for form in forms if (made := change(form)) is not form]
        yield from changed
        forms += changed


def _tool_variants(tools: Messages) -> Iterator[Messages]:
    """The tools as they are, then with all that a tool may leave out."""
    yield tools
    filled = [_filled(tool) for tool in tools]
    if filled != list(tools):
        yield filled


def _filled(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    """A tool with a description and parameters, which are empty where the client gave none."""
    function = tool.get("function")
    if not isinstance(function, Mapping):
        return tool
    parameters = {"type": "object", "properties": {}, **(function.get("parameters") or {})}
    return {**tool, "function": {"description": "", **function, "parameters": parameters}}


def with_empty_contents(messages: Messages) -> Messages:
    """The messages with "" for a content that is null, beside tool calls say; the same if none."""
    if all(message.get("content", "") is not None for message in messages):
        return messages
    return [
        {**message, "content": ""} if message.get("content", "") is None else message
        for message in messages
    ]


def with_thoughts(messages: Messages, names: Sequence[str]) -> Messages:
    """The messages with their reasoning under each of these names; the same if they have none."""
    first, *_ = THOUGHTS
    if not any(first in message for message in messages) or set(names) <= {first}:
        return messages
    return [
        {**dict.fromkeys(names, message[first]), **message} if first in message else message
        for message in messages
    ]


def _without_thoughts(messages: Messages) -> Messages:
    """The messages without their reasoning; the same if they have none."""
    if not any(name in message for message in messages for name in THOUGHTS):
        return messages
    return [
        {key: value for key, value in message.items() if key not in THOUGHTS}
        for message in messages
    ]
