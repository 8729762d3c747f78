"""Messages of a chat: what clients send, and the plain values that templates read.

Most of a conversation is history: what this server, another one or a client's own code answered
before. Clients echo it with all that was in that answer, so what cannot change the next one is
dropped, and names, ids and arguments that a model made up are not judged again. docs/api.md lists
what is dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, ConfigDict, Discriminator, Field, Tag, WithJsonSchema
from pydantic_core import PydanticCustomError

from serve.api.openai.bodies import Body, unoffered

_ROLES = {"developer": "system", "function": "tool"}
"""Roles that templates do not know, and those that they do."""

MARKS = frozenset(
    {"cache_control", "copilot_cache_control", "provider_specific_fields", "extra_content", "index"}
)
"""Notes of clients for other servers, on any object of a message."""
FACTS = MARKS | {
    *("id", "type", "object", "created", "created_at", "createdAt", "timestamp", "status"),
    *("model", "provider", "system_fingerprint", "service_tier", "usage", "usage_metadata"),
    *("finish_reason", "stop_reason", "stop_sequence", "logprobs", "response_metadata"),
    *("annotations", "citations", "metadata", "parsed", "content_filter_results"),
}
"""Facts about an answer, and labels of a message, that are no part of what was said."""
THOUGHTS = frozenset(
    {
        *("reasoning_details", "reasoning_text", "reasoning_opaque", "thinking_blocks", "thinking"),
        *("thought_signature", "encrypted_content"),
    }
)


class TextPart(Body):
    ignored_fields: ClassVar = FACTS - {"type"}
    type: Literal["text"]
    text: str | None


class RefusalPart(Body):
    ignored_fields: ClassVar = FACTS - {"type"}
    type: Literal["refusal"]
    refusal: str | None


class ThoughtPart(Body):
    """An earlier answer's reasoning, as some servers put it between the parts of its text."""

    model_config = ConfigDict(extra="ignore")
    type: Literal["thinking", "redacted_thinking", "reasoning"]


def _content_kind(value: object) -> str | None:
    kinds: dict[type, str] = {str: "string", list: "array"}
    return kinds.get(type(value))


_KIND = Discriminator(
    _content_kind,
    custom_error_type="content_type",
    custom_error_message="must be a string or an array of text parts",
)
_AnswerPart = Annotated[TextPart | RefusalPart | ThoughtPart, Field(discriminator="type")]
Content = Annotated[
    Annotated[str, Tag("string")] | Annotated[list[TextPart], Field(fail_fast=True), Tag("array")],
    _KIND,
]
"""Text, or parts of text. The parts are joined by line breaks, as vLLM does for text models."""
AnswerContent = Annotated[
    Annotated[str, Tag("string")]
    | Annotated[list[_AnswerPart], Field(fail_fast=True), Tag("array")],
    _KIND,
]


def _arguments(value: Any) -> Any:
    """Text of JSON, or what it would say, as Ollama's clients have it."""
    if value is None or isinstance(value, str | dict):
        return value
    raise PydanticCustomError("arguments_type", "must be a string of JSON")


class FunctionCall(Body):
    """A call that a model made: whatever it wrote is history."""

    ignored_fields: ClassVar = MARKS | {"parsed_arguments", "strict", "id", "type"}
    name: str
    arguments: Annotated[Any, BeforeValidator(_arguments), WithJsonSchema({"type": "string"})]


class ToolCall(Body):
    ignored_fields: ClassVar = FACTS - {"id", "type"}
    id: str | None = None
    type: Literal["function"] = "function"
    function: FunctionCall


class SystemMessage(Body):
    """``developer`` is OpenAI's newer word for ``system``; templates know the older one."""

    ignored_fields: ClassVar = FACTS
    role: Literal["system", "developer"]
    content: Content | None
    name: str | None = None


class UserMessage(Body):
    ignored_fields: ClassVar = FACTS
    role: Literal["user"]
    content: Content
    name: str | None = None


class AssistantMessage(Body):
    """An earlier answer, perhaps of another server. Without any content it is an empty one, but for
    one that calls tools, which has none.

    ``function_call`` is the older form of a tool call, and counts where there is no other.
    ``refusal`` is its text where it has no other. ``reasoning`` is another server's word for
    ``reasoning_content``, which goes to templates, for some know what to do with it.
    """

    ignored_fields: ClassVar = FACTS | THOUGHTS
    kept_fields: ClassVar = frozenset({"content"})
    role: Literal["assistant"]
    content: AnswerContent | None = None
    name: str | None = None
    tool_calls: Annotated[list[ToolCall], Field(fail_fast=True)] | None = None
    refusal: str | None = None
    reasoning_content: Any = None
    reasoning: Any = None
    audio: Annotated[None, unoffered("this server reads and writes text only")] = None
    function_call: FunctionCall | None = None


class ToolMessage(Body):
    ignored_fields: ClassVar = FACTS | {"is_error", "artifact"}
    role: Literal["tool"]
    content: Content | None
    tool_call_id: str
    name: str | None = None


class FunctionMessage(Body):
    """A result in the older form: that of the latest call."""

    ignored_fields: ClassVar = FACTS | {"is_error", "artifact"}
    role: Literal["function"]
    content: Content | None
    name: str


Message = Annotated[
    SystemMessage | UserMessage | AssistantMessage | ToolMessage | FunctionMessage,
    Field(discriminator="role"),
]


Messages = Annotated[list[Message], Field(min_length=1, fail_fast=True)]
"""fail_fast: with a megabyte of bad entries, listing all their errors would take seconds."""


def plain_messages(messages: Sequence[Message]) -> tuple[dict[str, Any], ...]:
    """Messages as the plain JSON values that chat templates expect.

    A call in the older form, and its result, become a tool call and its result, under an id that
    depends on the messages before it alone.
    """
    plain = []
    call_id = "call_0"
    for number, message in enumerate(messages):
        if isinstance(message, AssistantMessage) and message.function_call:
            call_id = f"call_{number}"
        plain.append(_plain_message(message, call_id))
    return tuple(plain)


def _plain_message(message: Message, call_id: str) -> dict[str, Any]:
    """Args: call_id: of the latest call in the older form, which has none."""
    plain: dict[str, Any] = {
        "role": _ROLES.get(message.role, message.role),
        "content": _text(message.content),
    }
    if message.name is not None:
        plain["name"] = message.name
    if isinstance(message, ToolMessage):
        plain["tool_call_id"] = message.tool_call_id
    if isinstance(message, FunctionMessage):
        plain["tool_call_id"] = call_id
    if isinstance(message, AssistantMessage):
        calls = list(map(_plain_call, message.tool_calls or ()))
        if message.function_call and not calls:
            calls = [{"id": call_id, **_plain_call(ToolCall(function=message.function_call))}]
        if calls:
            plain["tool_calls"] = calls
        has_text = message.content is not None or bool(message.refusal)
        plain["content"] = (
            plain["content"] or message.refusal or "" if has_text or not calls else None
        )
        for thoughts in (message.reasoning_content, message.reasoning):
            if isinstance(thoughts, str):
                plain.setdefault("reasoning_content", thoughts)
    return plain


def _text(content: str | list[Any] | None) -> str:
    if isinstance(content, list):
        return "\n".join(filter(None, map(_part_text, content)))
    return content or ""


def _part_text(part: TextPart | RefusalPart | ThoughtPart) -> str | None:
    if isinstance(part, ThoughtPart):
        return None
    return part.text if isinstance(part, TextPart) else part.refusal


def _plain_call(call: ToolCall) -> dict[str, Any]:
    arguments = call.function.arguments
    function = {"name": call.function.name, "arguments": "" if arguments is None else arguments}
    named = {} if call.id is None else {"id": call.id}
    return {**named, "type": "function", "function": function}
