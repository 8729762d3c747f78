"""/v1/chat/completions, as a dialect (OpenAI's API reference, "Create chat completion")."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field, WithJsonSchema

from serve.api.dialect import Parsed
from serve.api.openai.bodies import WHOLE
from serve.api.openai.chat_encoder import ChatEncoder
from serve.api.openai.errors import problem
from serve.api.openai.fields import FIELDS
from serve.api.openai.messages import Messages, Tool, Tools, chat_prompt
from serve.api.openai.parsing import parse_body
from serve.api.openai.refusals import shown
from serve.api.openai.sampling import MAX_LOGPROBS, SamplingFields, TokenCount
from serve.api.openai.schemas import ChatCompletion, generating
from serve.api.policy import INFER
from serve.errors import InvalidRequest, UnsupportedField
from serve.pipeline.events import UNBOUNDED_TOKENS, Generation

TOOL_CHOICES = ("none", "auto")
UNOFFERED_CHOICES = ("required", "any", "validated")


class ChatRequest(SamplingFields):
    flags: ClassVar = SamplingFields.flags | {"tools", "tool_choice"}
    elsewhere: ClassVar = {
        "prompt": "is a field of /v1/completions: send this body there, or send messages here.",
        "input": "is a field of other routes: this one takes messages.",
    }

    messages: Messages
    max_completion_tokens: TokenCount = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=MAX_LOGPROBS), WHOLE] | None = None
    tools: Tools | None = None
    tool_choice: Annotated[Any, WithJsonSchema({"enum": [*TOOL_CHOICES, None]})] = None
    parallel_tool_calls: bool | None = None

    def generation(self) -> Generation:
        """The request in the pipeline's words.

        Raises:
            InvalidRequest: fields that contradict each other.
            UnsupportedField: a way to choose among tools that is not offered.
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
        given = {self.max_tokens, self.max_completion_tokens} - {None, UNBOUNDED_TOKENS}
        if len(given) > 1:
            raise InvalidRequest(
                f"max_tokens is {self.max_tokens} and max_completion_tokens is "
                f"{self.max_completion_tokens}: they mean the same, so send one of them.",
                param="max_tokens",
            )
        return next((bound for bound in given if bound), UNBOUNDED_TOKENS)

    def _num_logprobs(self) -> int | None:
        if self.logprobs:
            return self.top_logprobs or 0
        if self.top_logprobs:
            raise InvalidRequest(
                f"top_logprobs is {self.top_logprobs} and needs logprobs: set it to true.",
                param="top_logprobs",
            )
        return None

    def _visible_tools(self) -> list[Tool]:
        """The tools that the prompt tells of. Raises UnsupportedField for what binds a model."""
        for index, tool in enumerate(self.tools or ()):
            if tool.function.strict:
                param = f"tools[{index}].function.strict"
                raise UnsupportedField(
                    f"{param} needs answers constrained to a grammar, which this server does not "
                    "offer: leave it out.",
                    param=param,
                )
        self._check_choice()
        if self.tool_choice == "none" or not self.tools:
            return []
        if self.parallel_tool_calls is False:
            raise UnsupportedField(
                "parallel_tool_calls cannot be false with tools: the model decides how many it "
                "calls. Leave it out.",
                param="parallel_tool_calls",
            )
        return list(self.tools)

    def _check_choice(self) -> None:
        choice = self.tool_choice
        if choice in (None, *TOOL_CHOICES):
            return
        if isinstance(choice, dict) or choice in UNOFFERED_CHOICES:
            raise UnsupportedField(
                'tool_choice must be "auto" or "none": answers cannot be constrained to a tool\'s '
                "grammar, so the model decides.",
                param="tool_choice",
            )
        raise InvalidRequest(
            f'tool_choice must be "none" or "auto", not {shown(choice)}.', param="tool_choice"
        )


class ChatCompletions:
    """Continues a conversation (a serve.api.dialect.Dialect)."""

    path = "/v1/chat/completions"
    name = "create_chat_completion"
    policy = INFER
    openapi: Mapping[str, Any] = generating(
        ChatRequest,
        ChatCompletion,
        tag="chat",
        description="Continue a conversation.",
        example={
            "model": "demo",
            "messages": [{"role": "user", "content": "What is TTFT?"}],
            "stream": True,
        },
    )

    def parse(self, body: Mapping[str, Any]) -> Parsed:
        """A request. Raises RequestError: see docs/errors.md."""
        request = parse_body(ChatRequest, body, FIELDS)
        return request.parsed(request.generation, ChatEncoder, has_logprobs=bool(request.logprobs))

    problem = staticmethod(problem)
