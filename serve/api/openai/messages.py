"""Messages and tools of a chat: what clients send, and the plain values that templates read.

Most of a conversation is history: what this server, another one or a client's own code answered
before. Clients echo it with all that was in that answer, so what cannot change the next one is
dropped, and names, ids and arguments that a model made up are not judged again. docs/api.md lists
what is dropped.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, ConfigDict, Discriminator, Field, Tag, WithJsonSchema
from pydantic_core import PydanticCustomError

from serve.api.openai.bodies import Body, unoffered
from serve.pipeline.events import ChatPrompt

MAX_TOOLS = 128

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

FunctionName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
"""OpenAI's own rule for the tools of a request."""


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
    """An earlier answer, perhaps of another server. Without any content it is an empty one.

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
    function_call: Annotated[None, unoffered("it is deprecated; use tool_calls")] = None


class ToolMessage(Body):
    ignored_fields: ClassVar = FACTS | {"is_error", "artifact"}
    role: Literal["tool"]
    content: Content | None
    tool_call_id: str
    name: str | None = None


Message = Annotated[
    SystemMessage | UserMessage | AssistantMessage | ToolMessage, Field(discriminator="role")
]


class Function(Body):
    """``parameters`` is a JSON schema. It goes into the prompt; nothing compiles it."""

    ignored_fields: ClassVar = MARKS
    kept_fields: ClassVar = frozenset({"description", "parameters"})
    name: FunctionName
    description: str | None = None
    parameters: (
        Annotated[dict[str, Any], BeforeValidator(lambda given: {} if given == [] else given)]
        | None
    ) = None
    strict: bool | None = None


class Tool(Body):
    ignored_fields: ClassVar = MARKS
    type: Literal["function"] = "function"
    function: Function


Messages = Annotated[list[Message], Field(min_length=1, fail_fast=True)]
Tools = Annotated[list[Tool], Field(max_length=MAX_TOOLS, fail_fast=True)]
"""fail_fast: with a megabyte of bad entries, listing all their errors would take seconds."""


def chat_prompt(messages: list[Message], tools: list[Tool]) -> ChatPrompt:
    """Messages and tools as the plain JSON values that chat templates expect."""
    return ChatPrompt(
        messages=tuple(map(_plain_message, messages)), tools=tuple(map(_plain_tool, tools))
    )


def _plain_message(message: Message) -> dict[str, Any]:
    role = "system" if message.role == "developer" else message.role
    plain: dict[str, Any] = {"role": role, "content": _text(message.content)}
    if message.name is not None:
        plain["name"] = message.name
    if isinstance(message, ToolMessage):
        plain["tool_call_id"] = message.tool_call_id
    if isinstance(message, AssistantMessage):
        plain["content"] = plain["content"] or message.refusal or ""
        if message.tool_calls:
            plain["tool_calls"] = list(map(_plain_call, message.tool_calls))
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


def _plain_tool(tool: Tool) -> dict[str, Any]:
    function = tool.function
    plain: dict[str, Any] = {"name": function.name}
    if function.description is not None:
        plain["description"] = function.description
    if function.parameters is not None:
        plain["parameters"] = function.parameters
    return {"type": "function", "function": plain}
