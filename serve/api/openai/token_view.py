"""Tokens beside an answer's text: their ids, a prompt's, and how many they are so far.

The names and shapes are vLLM's: ``token_ids``, ``prompt_token_ids``, ``prompt_logprobs``. In a
stream the ids of tokens come with the next text of their choice, and a prompt with the first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from serve.api.json_lists import JsonLists
from serve.api.openai.logprobs import prompt_logprobs
from serve.pipeline.events import PromptTokens, TokenIds
from serve.timeline import Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenOptions:
    """A client's wishes of this kind.

    Attributes:
        n: choices of each prompt.
        shows_ids: of prompts and choices.
        shows_prompt_logprobs: of each token of a prompt.
        names_by_id: tokens in log-probabilities are ``token_id:`` and their id.
        counts: each chunk of a stream has the usage so far.
    """

    n: int = 1
    shows_ids: bool = False
    shows_prompt_logprobs: bool = False
    names_by_id: bool = False
    counts: bool = False


NO_TOKENS: Final = TokenOptions()
"""For who wishes none of it."""


class TokenView:
    """The tokens of one answer, as they come.

    Attributes:
        usage: of what has come so far.
    """

    def __init__(self, options: TokenOptions) -> None:
        self._options = options
        self._ids: dict[int, JsonLists] = {}
        self._prompts: dict[int, JsonLists] = {}
        self._whole_prompts: dict[int, bytes] = {}
        self._has_told: set[int] = set()  # choices that have told of their prompt
        self.usage = Usage()

    def take(self, event: PromptTokens | TokenIds) -> None:
        """Take tokens of a prompt, perhaps not all of them, or of a choice."""
        options = self._options
        if isinstance(event, TokenIds):
            self.usage.completion_tokens += len(event.token_ids)
            if options.shows_ids:
                lists = self._ids.setdefault(event.index, JsonLists({"token_ids": []}))
                lists.add({"token_ids": event.token_ids})
            return
        self.usage.prompt_tokens += len(event.token_ids)
        shape: dict[str, list[object]] = {}
        if options.shows_ids:
            shape["prompt_token_ids"] = []
        if options.shows_prompt_logprobs:
            shape["prompt_logprobs"] = []
        if shape:
            lists = self._prompts.setdefault(event.prompt, JsonLists(shape))
            logprobs = prompt_logprobs(event.logprobs or ())
            lists.add({"prompt_token_ids": event.token_ids, "prompt_logprobs": logprobs})

    def ids_of(self, index: int) -> bytes:
        """The ids of a choice's tokens that were not told yet, as a field with a comma before."""
        return _fields(self._ids.pop(index, None))

    def prompt_of(self, index: int) -> bytes:
        """The fields that tell of a choice's prompt, with a comma before; once for each choice.

        A prompt is whole when its first choice asks; the others ask again until then.
        """
        if index in self._has_told:
            return b""
        number, sibling = divmod(index, self._options.n)
        if sibling == 0 and number in self._prompts:
            self._whole_prompts[number] = _fields(self._prompts.pop(number))
        fields = self._whole_prompts.get(number, b"")
        if fields:
            self._has_told.add(index)
        return fields


def _fields(lists: JsonLists | None) -> bytes:
    return b"," + b"".join(lists.pieces())[1:-1] if lists else b""
