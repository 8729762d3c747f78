"""A tool call's arguments, as an object and as the text that the model wrote.

Clients send JSON text. Some templates want an object (Qwen, Llama: ``arguments | tojson``, or a
loop over its items), others want the text (DeepSeek: ``'...' + arguments + '...'``). One value is
both: a table whose text, where a template writes, adds or joins it, is the client's.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

MAX_DEPTH = 64
"""Objects within objects that a template may be given: it walks them by recursion."""
WRAPPED_AS = "arguments"
"""The key under which text that is no JSON object is given to templates that want an object."""


class Arguments(dict[str, Any]):
    """The object of a tool call's arguments, and its text.

    Args:
        value: the object.
        text: as the model wrote it.
    """

    def __init__(self, value: Mapping[str, Any], text: str) -> None:
        super().__init__(value)
        self.text = text

    def changed(self, value: Callable[[Any], Any], text: Callable[[str], str]) -> Self:
        """The same with both sides passed through a function."""
        return type(self)(value(dict(self)), text(self.text))

    def __str__(self) -> str:
        return self.text

    def __add__(self, other: str) -> str:
        return self.text + other if isinstance(other, str) else NotImplemented

    def __radd__(self, other: str) -> str:
        return other + self.text if isinstance(other, str) else NotImplemented

    def __getitem__(self, key: Any) -> Any:
        """A value by its name, or a part of the text: no name in JSON is a number or a slice."""
        return self.text[key] if isinstance(key, int | slice) else super().__getitem__(key)

    def __eq__(self, other: object) -> bool:
        return self.text == other if isinstance(other, str) else super().__eq__(other)

    __hash__ = None  # as of any table

    def __getattr__(self, name: str) -> Any:
        """Methods of the text, where the object has no such key: ``arguments.strip()``."""
        if name.startswith("_") or name in self or not hasattr(str, name):
            raise AttributeError(name)
        return getattr(self.text, name)


def with_parsed_arguments(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """The message with each tool call's arguments as Arguments; as text where they are no object.

    A history is not judged: arguments that were cut off, say, stay the text that they are.
    """
    calls = message.get("tool_calls")
    if not isinstance(calls, list | tuple):
        return message
    return {**message, "tool_calls": [_parsed(call) for call in calls]}


def _parsed(call: Any) -> Any:
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping) or "arguments" not in function:
        return call
    return {**call, "function": {**function, "arguments": parse(function["arguments"])}}


def parse(arguments: Any) -> Any:
    """Arguments of a JSON object or its text; anything else unchanged. Empty text is ``{}``."""
    if isinstance(arguments, Mapping):
        return Arguments(arguments, json.dumps(arguments, ensure_ascii=False))
    if not isinstance(arguments, str):
        return arguments
    value = _object_of(arguments) if arguments.strip() else {}
    return arguments if value is None else Arguments(value, arguments)


def _object_of(text: str) -> dict[str, Any] | None:
    """The object that a text is; None where it is none, or would not be the same text's again.

    Names twice, numbers beyond a float, half of a character and great depth are such.
    """
    try:
        value = json.loads(
            text, object_pairs_hook=_with_unique_names, parse_constant=_finite, parse_float=_finite
        )
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) and _depth(value) <= MAX_DEPTH else None


def _depth(value: Any) -> int:
    """Levels of objects and lists within each other."""
    depth, level = 0, [value]
    while level := [item for item in level if isinstance(item, dict | list)]:
        depth += 1
        level = [x for item in level for x in (item.values() if isinstance(item, dict) else item)]
    return depth


def _with_unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("a name stands twice")
    return made


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError("beyond a float")
    return number


def wrapped(messages: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """The messages with arguments that are text alone put into an object; the same if none are."""
    return [_wrapped(message) for message in messages] if _has_text(messages) else messages


def _has_text(messages: Sequence[Mapping[str, Any]]) -> bool:
    return any(
        isinstance(function.get("arguments"), str)
        for message in messages
        for function in functions(message)
    )


def functions(message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The functions of a message's tool calls."""
    calls = message.get("tool_calls")
    found = [
        call.get("function")
        for call in (calls if isinstance(calls, list | tuple) else ())
        if isinstance(call, Mapping)
    ]
    return [function for function in found if isinstance(function, Mapping)]


def _wrapped(message: Mapping[str, Any]) -> Mapping[str, Any]:
    if not _has_text([message]):
        return message
    calls = []
    for call in message["tool_calls"]:
        function = call.get("function") if isinstance(call, Mapping) else None
        text = function.get("arguments") if isinstance(function, Mapping) else None
        if isinstance(function, Mapping) and isinstance(text, str):
            arguments = Arguments({WRAPPED_AS: text}, text)
            call = {**call, "function": {**function, "arguments": arguments}}  # noqa: PLW2901
        calls.append(call)
    return {**message, "tool_calls": calls}
