"""The parts of a prompt, as numbers: enough to tell which part of two prompts differs.

No text is kept. Digests are Python's own hashes, which have another key in each process.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, Final

from serve.pipeline.answer import CollectedChoice
from serve.pipeline.events import ChatPrompt, Prompt
from serve.pipeline.message_forms import THOUGHTS

SYSTEM_ROLES: Final = frozenset({"system", "developer"})
TELLING_CHARS: Final = 16
"""Shorter messages ("go on") are the same in conversations that have nothing else in common."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message.

    Attributes:
        fields: digests of what is in it, by name; without its role, and without what is empty.
        content: digest of its text, as ``Answer`` has it.
        calls: digest of its tool calls, as ``Answer`` has them.
        num_bytes: of its text, and of all else in it as Python writes it; no fewer than tokens.
        is_telling: whether two conversations that both have it are likely to be one.
    """

    role: str
    fields: Mapping[str, int]
    content: int
    calls: int
    num_bytes: int
    is_telling: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as the client was told of it.

    Attributes:
        content: of its text.
        calls: of its tool calls.
        reasoning: of its reasoning; 0 where there was none.
    """

    content: int
    calls: int
    reasoning: int


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a prompt.

    Attributes:
        is_chat: else it is text or token ids, and has no parts.
        settings: digest of all that a template was given beside messages and tools.
    """

    is_chat: bool
    tools: tuple[int, ...] = ()
    messages: tuple[Message, ...] = ()
    settings: int = 0

    @property
    def num_system(self) -> int:
        """Messages of the system's before the first other one."""
        return sum(1 for _ in takewhile(lambda m: m.role in SYSTEM_ROLES, self.messages))

    @property
    def system(self) -> tuple[Message, ...]:
        """The system's messages before the first other one."""
        return self.messages[: self.num_system]

    @property
    def history(self) -> tuple[Message, ...]:
        """The messages behind those."""
        return self.messages[self.num_system :]

    @property
    def telling(self) -> frozenset[tuple[str, int]]:
        """Messages by which a conversation can be known again."""
        return frozenset(
            (message.role, hash(frozenset(message.fields.items())))
            for message in self.history
            if message.is_telling
        )


def parts_of(prompt: Prompt) -> Parts:
    """The parts of a prompt."""
    if not isinstance(prompt, ChatPrompt):
        return Parts(is_chat=False)
    return Parts(
        is_chat=True,
        tools=tuple(_digest(tool) for tool in prompt.tools),
        messages=tuple(_message(message) for message in prompt.messages),
        settings=_digest((sorted(prompt.options.items()), prompt.continues_last)),
    )


def answer_of(choice: CollectedChoice) -> Answer:
    """The parts of an answer."""
    reasoning = choice.text_of("reasoning")
    return Answer(
        content=_digest(choice.text),
        calls=_calls([(call.name, call.arguments) for call in choice.calls]),
        reasoning=_digest(reasoning) if reasoning else 0,
    )


def _message(message: Mapping[str, Any]) -> Message:
    given = {name: value for name, value in message.items() if name != "role" and value}
    if given.keys() & THOUGHTS:  # they are one text under several names
        thought = next(given[name] for name in THOUGHTS if name in given)
        given = {name: value for name, value in given.items() if name not in THOUGHTS}
        given["reasoning_content"] = thought
    content = _text(given.get("content"))
    return Message(
        role=str(message.get("role")),
        fields={name: _digest(value) for name, value in given.items()},
        content=_digest(content),
        calls=_calls_of(message.get("tool_calls")),
        num_bytes=sum(len(str(value).encode("utf-8", "replace")) for value in given.values()),
        is_telling=len(content) >= TELLING_CHARS or "tool_calls" in given,
    )


def _calls_of(calls: Any) -> int:
    functions = [
        call.get("function")
        for call in (calls if isinstance(calls, list | tuple) else ())
        if isinstance(call, Mapping)
    ]
    return _calls(
        [
            (function.get("name"), function.get("arguments"))
            for function in functions
            if isinstance(function, Mapping)
        ]
    )


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list | tuple):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, Mapping))
    return ""


def _calls(calls: Sequence[tuple[Any, Any]]) -> int:
    return _digest([(name, str(arguments)) for name, arguments in calls])


def _digest(value: Any) -> int:
    return hash(value if isinstance(value, str) else repr(value))
