"""The fields that speak of tokens, of both completion routes: which may come, which are told."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field

from serve.api.openai.bodies import INT64_MAX, WHOLE, WHOLE_ITEMS, Body
from serve.api.openai.token_view import TokenOptions
from serve.errors import InvalidRequest
from serve.pipeline.events import UNBOUNDED_TOKENS, Generation

MAX_LOGPROBS: Final = 20
MAX_BAD_WORDS: Final = 256
MAX_BAD_WORD_CHARS: Final = 256
"""Each word is looked for at each token, on either side of the engine."""


class TokenFields(Body):
    """vLLM's words. Ids are checked by the pipeline, which knows the vocabulary."""

    flags: ClassVar = frozenset({"bad_words", "allowed_token_ids", "prompt_logprobs"})

    min_tokens: Annotated[int, Field(ge=0, le=INT64_MAX), WHOLE] | None = None
    bad_words: (
        Annotated[
            list[Annotated[str, Field(min_length=1, max_length=MAX_BAD_WORD_CHARS)]],
            Field(max_length=MAX_BAD_WORDS, fail_fast=True),
        ]
        | None
    ) = None
    allowed_token_ids: Annotated[list[int], Field(fail_fast=True), WHOLE_ITEMS] | None = None
    include_stop_str_in_output: bool | None = None
    skip_special_tokens: bool | None = None
    spaces_between_special_tokens: bool | None = None
    truncate_prompt_tokens: Annotated[int, Field(ge=-1, le=INT64_MAX), WHOLE] | None = None
    truncation_side: Literal["left", "right"] | None = None
    prompt_logprobs: Annotated[int, Field(ge=0, le=MAX_LOGPROBS), WHOLE] | None = None
    return_token_ids: bool | None = None
    return_tokens_as_token_ids: bool | None = None
    explain_cache: bool | None = None

    def with_token_fields(self, generation: Generation, *, counts: bool = False) -> Generation:
        """A generation with what these fields say.

        Args:
            counts: whether the answer counts its tokens as they come.

        Raises:
            InvalidRequest: a prompt is to be cut to no token.
        """
        allowed = self.allowed_token_ids
        sampling = replace(
            generation.sampling,
            min_tokens=self.min_tokens or 0,
            allowed_token_ids=None if allowed is None else frozenset(allowed),
            num_prompt_logprobs=self.prompt_logprobs,
        )
        return replace(
            generation,
            sampling=sampling,
            bad_words=tuple(self.bad_words or ()),
            keeps_stop=bool(self.include_stop_str_in_output),
            shows_special=self.skip_special_tokens is False,
            wants_token_ids=bool(self.return_token_ids) or counts,
            shows_token_ids=bool(self.return_token_ids),
            explains_cache=bool(self.explain_cache),
            truncates_to=self._truncates_to(),
            truncates_end=self.truncation_side == "right",
        )

    def _truncates_to(self) -> int | None:
        size = self.truncate_prompt_tokens
        if size == 0:
            raise InvalidRequest(
                "truncate_prompt_tokens is 0, which leaves no prompt: set it to at least 1, or to "
                "-1 for as many tokens as fit.",
                param="truncate_prompt_tokens",
            )
        return UNBOUNDED_TOKENS if size == -1 else size

    def token_options(self, *, n: int, counts: bool) -> TokenOptions:
        """The answer's part that tells of tokens.

        Args:
            n: choices of each prompt.
            counts: each chunk of a stream has the usage so far.
        """
        return TokenOptions(
            n=n,
            shows_ids=bool(self.return_token_ids),
            shows_prompt_logprobs=self.prompt_logprobs is not None,
            names_by_id=bool(self.return_tokens_as_token_ids),
            counts=counts,
        )
