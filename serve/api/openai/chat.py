"""/v1/chat/completions, as a dialect (OpenAI's API reference, "Create chat completion")."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from serve.api.dialect import Parsed
from serve.api.openai.encoders import ChatEncoder
from serve.api.openai.errors import problem
from serve.api.openai.fields import FIELDS
from serve.api.openai.parsing import Body, parse_body
from serve.api.openai.sampling import MAX_LOGPROBS, SamplingFields, TokenCount
from serve.api.openai.schemas import ChatCompletion, generating
from serve.api.policy import INFER
from serve.errors import InvalidRequest, UnsupportedField
from serve.pipeline.events import UNBOUNDED_TOKENS, ChatPrompt, Generation

MAX_MESSAGES = 2048
MAX_PARTS = 256
MAX_TOOLS = 128
MAX_TOOL_CALLS = 128

ShortName = Annotated[str, Field(min_length=1, max_length=64)]
FunctionName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]


class TextPart(Body):
    type: Literal["text"]
    text: str


def _content_kind(value: object) -> str | None:
    kinds: dict[type, str] = {str: "string", list: "array"}
    return kinds.get(type(value))


Content = Annotated[
    Annotated[str, Tag("string")]
    | Annotated[
        list[TextPart], Field(min_length=1, max_length=MAX_PARTS, fail_fast=True), Tag("array")
    ],
    Discriminator(
        _content_kind,
        custom_error_type="content_type",
        custom_error_message="must be a string or an array of text parts",
    ),
]
"""Text, or parts of text. The parts are joined by line breaks, as vLLM does for text models."""


class FunctionCall(Body):
    name: FunctionName
    arguments: str


class ToolCall(Body):
    id: ShortName
    type: Literal["function"]
    function: FunctionCall


class SystemMessage(Body):
    """``developer`` is OpenAI's newer word for ``system``; templates know the older one."""

    role: Literal["system", "developer"]
    content: Content
    name: ShortName | None = None


class UserMessage(Body):
    role: Literal["user"]
    content: Content
    name: ShortName | None = None


class AssistantMessage(Body):
    """An earlier answer. The last three fields are what clients echo from answers; null only."""

    role: Literal["assistant"]
    content: Content | None = None
    name: ShortName | None = None
    tool_calls: (
        Annotated[list[ToolCall], Field(max_length=MAX_TOOL_CALLS, fail_fast=True)] | None
    ) = None
    refusal: None = None
    audio: None = None
    function_call: None = None


class ToolMessage(Body):
    role: Literal["tool"]
    content: Content
    tool_call_id: ShortName
    name: ShortName | None = None


Message = Annotated[
    SystemMessage | UserMessage | AssistantMessage | ToolMessage, Field(discriminator="role")
]


class Function(Body):
    """``parameters`` is a JSON schema. It goes into the prompt; nothing compiles it."""

    name: FunctionName
    description: Annotated[str, Field(max_length=4096)] | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(Body):
    type: Literal["function"]
    function: Function


Messages = Annotated[list[Message], Field(min_length=1, max_length=MAX_MESSAGES, fail_fast=True)]
Tools = Annotated[list[Tool], Field(max_length=MAX_TOOLS, fail_fast=True)]
"""fail_fast: with a megabyte of bad entries, listing all their errors would take seconds."""


class ChatRequest(SamplingFields):
    messages: Messages
    max_completion_tokens: TokenCount | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=MAX_LOGPROBS)] | None = None
    tools: Tools | None = None
    tool_choice: Literal["none", "auto"] | None = None

    def generation(self) -> Generation:
        """The request in the pipeline's words.

        Raises:
            InvalidRequest: fields that contradict each other.
        """
        self.check_shared()
        return Generation(
            prompts=(chat_prompt(self.messages, self._visible_tools()),),
            n=self.n or 1,
            sampling=self.sampling(
                max_tokens=self._max_tokens(), num_logprobs=self._num_logprobs()
            ),
            stop=self.stops(),
            cache_salt=self.cache_salt,
        )

    def _max_tokens(self) -> int:
        old, new = self.max_tokens, self.max_completion_tokens
        if old is not None and new is not None and old != new:
            raise InvalidRequest(
                f"max_tokens is {old} and max_completion_tokens is {new}: they mean the same, so "
                "send one of them.",
                param="max_tokens",
            )
        return new or old or UNBOUNDED_TOKENS

    def _num_logprobs(self) -> int | None:
        if not self.logprobs:
            if self.top_logprobs is not None:
                raise InvalidRequest(
                    "top_logprobs needs logprobs: set it to true.", param="top_logprobs"
                )
            return None
        return self.top_logprobs or 0

    def _visible_tools(self) -> list[Tool]:
        """The tools that the prompt tells of. Raises UnsupportedField for strict ones."""
        for index, tool in enumerate(self.tools or ()):
            if tool.function.strict:
                raise UnsupportedField(
                    "strict needs answers constrained to a grammar, which this server does not "
                    "offer: leave it out.",
                    param=f"tools.{index}.function.strict",
                )
        return [] if self.tool_choice == "none" else list(self.tools or ())


def chat_prompt(messages: list[Message], tools: list[Tool]) -> ChatPrompt:
    """Messages and tools as the plain JSON values that chat templates expect.

    Raises:
        InvalidRequest: an assistant's message without content and without tool calls.
    """
    return ChatPrompt(
        messages=tuple(_plain(index, message) for index, message in enumerate(messages)),
        tools=tuple(tool.model_dump(exclude_none=True) for tool in tools),
    )


def _plain(index: int, message: Message) -> dict[str, Any]:
    plain = message.model_dump(exclude_none=True)
    if plain["role"] == "developer":
        plain["role"] = "system"
    if isinstance(message, AssistantMessage):
        if message.content is None and not message.tool_calls:
            raise InvalidRequest(
                "An assistant's message has content, tool_calls or both.",
                param=f"messages.{index}.content",
            )
        plain.setdefault("content", "")
    if isinstance(plain["content"], list):
        plain["content"] = "\n".join(part["text"] for part in plain["content"])
    return plain


class ChatCompletions:
    """Continues a conversation (a serve.api.dialect.Dialect)."""

    path = "/v1/chat/completions"
    name = "create_chat_completion"
    policy = INFER
    openapi: Mapping[str, Any] = generating(
        ChatRequest, ChatCompletion, tag="chat", description="Continue a conversation."
    )

    def parse(self, body: Mapping[str, Any]) -> Parsed:
        """A request. Raises RequestError: see docs/errors.md."""
        request = parse_body(ChatRequest, body, FIELDS)
        return request.parsed(request.generation, ChatEncoder, has_logprobs=bool(request.logprobs))

    problem = staticmethod(problem)
