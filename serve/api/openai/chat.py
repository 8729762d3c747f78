"""/v1/chat/completions, as a dialect (OpenAI's API reference, "Create chat completion")."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, ClassVar

from pydantic import Field

from serve.api.dialect import Parsed
from serve.api.openai.bodies import WHOLE
from serve.api.openai.chat_encoder import ChatEncoder
from serve.api.openai.errors import problem
from serve.api.openai.fields import FIELDS
from serve.api.openai.messages import Messages
from serve.api.openai.parsing import parse_body
from serve.api.openai.sampling import SamplingFields, TokenCount
from serve.api.openai.schemas import ChatCompletion, generating
from serve.api.openai.template_fields import TemplateFields
from serve.api.openai.token_fields import MAX_LOGPROBS
from serve.api.openai.tools import ToolFields
from serve.api.policy import INFER
from serve.errors import InvalidRequest
from serve.pipeline.events import UNBOUNDED_TOKENS, Generation


class ChatRequest(ToolFields, TemplateFields, SamplingFields):
    flags: ClassVar = SamplingFields.flags | ToolFields.flags | TemplateFields.flags
    elsewhere: ClassVar = {
        "prompt": "is a field of /v1/completions: send this body there, or send messages here.",
        "input": "is a field of other routes: this one takes messages.",
    }

    messages: Messages
    max_completion_tokens: TokenCount = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=MAX_LOGPROBS), WHOLE] | None = None

    def generation(self) -> Generation:
        """The request in the pipeline's words.

        Raises:
            InvalidRequest: fields that contradict each other.
        """
        grammar, param = self.format()
        return Generation(
            prompts=(self.chat_prompt(self.messages, self.told_tools()),),
            n=self.n or 1,
            sampling=self.sampling(
                max_tokens=self._max_tokens(), num_logprobs=self._num_logprobs()
            ),
            stop=self.stops(),
            cache_salt=self.cache_salt,
            format=grammar,
            format_param=param,
            tool_use=self.tool_use(),
            forbids_calls=self.forbids_calls(),
            reasoning=self.reasoning_use(),
        )

    def given_fields(self) -> frozenset[str]:
        """See SamplingFields: the newer name is of the same field."""
        given = super().given_fields()
        return given if self.max_completion_tokens is None else given | {"max_tokens"}

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
        encoder = partial(ChatEncoder, has_functions=request.has_functions)
        return request.parsed(request.generation, encoder, has_logprobs=bool(request.logprobs))

    problem = staticmethod(problem)
