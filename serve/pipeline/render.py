"""Prompts to token ids: chat template, tokenizer, and the guard between a client and both."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from serve.errors import InvalidRequest, UnsupportedField
from serve.pipeline.chat_text import chat_text
from serve.pipeline.events import ChatPrompt, FillPrompt, Prompt, TextPrompt, TokensPrompt
from serve.pipeline.fill import FillTokens, fill_tokens
from serve.pipeline.template import ChatTemplate, TooMuchInlineError, load_template
from serve.pipeline.tokenizer import ModelTokenizer
from serve.pipeline.traced_text import of_client

INLINE_CHARS = 16_384
"""Larger prompts are rendered and tokenised on a thread: the event loop works 5 ms at most."""


class Renderer:
    """Turns any prompt into token ids.

    Args:
        template: None where the model has no chat template.
    """

    def __init__(self, tokenizer: ModelTokenizer, template: ChatTemplate | None) -> None:
        self.tokenizer = tokenizer
        self.template = template
        self._fill_tokens = fill_tokens(tokenizer.token_id)

    @classmethod
    def load(cls, folder: Path, vocab_size: int | None = None) -> Renderer:
        """The renderer of a folder. Raises StartupError where a file is missing or damaged."""
        tokenizer = ModelTokenizer.load(folder, vocab_size)
        return cls(tokenizer, load_template(folder, tokenizer.config))

    @property
    def fill_tokens(self) -> FillTokens | None:
        """The model's tokens for a gap in a text; None where it has none."""
        return self._fill_tokens

    async def render(self, prompt: Prompt, owner: str | None = None) -> list[int]:
        """Token ids of a prompt.

        Args:
            owner: whose prompt it is: only what is new of a chat is tokenised. None keeps nothing.

        Raises:
            InvalidRequest: the template refuses it, an id is out of vocabulary, or nothing is left.
            UnsupportedField: there are tools or documents, and the template does not render them.
        """
        if isinstance(prompt, TokensPrompt):
            self.tokenizer.check_ids(prompt.token_ids, param="prompt")
            token_ids = list(prompt.token_ids)
        elif isinstance(prompt, TextPrompt):
            token_ids = await _encode(
                partial(self.tokenizer.encode, add_special_tokens=prompt.add_special_tokens),
                prompt.text,
            )
        elif isinstance(prompt, FillPrompt):
            token_ids = await self._fill(prompt)
        else:
            text = await self.chat_text(prompt)
            encode = partial(self.tokenizer.encode_rendered, owner=owner)
            token_ids = await _encode(encode, text)
        if not token_ids:
            raise InvalidRequest("The prompt is empty: give at least one token.", param="prompt")
        return token_ids

    async def chat_text(self, prompt: ChatPrompt) -> str:
        """The text of a chat. Raises as ``render`` does."""
        if _num_chars_left(_parts(prompt), INLINE_CHARS) > 0:
            with suppress(TooMuchInlineError):
                return self._render_chat(prompt, is_inline=True)
        return await asyncio.to_thread(self._render_chat, prompt)

    async def _fill(self, prompt: FillPrompt) -> list[int]:
        """A prompt with a gap. Names of control tokens in the client's text are plain text."""
        tokens = self._fill_tokens
        if tokens is None:
            raise UnsupportedField(
                "suffix is not supported: this model has no tokens for a gap in a text (FIM). "
                "Leave it out, or ask a model that was taught to fill one.",
                param="suffix",
            )
        encode = self.tokenizer.encode_rendered
        prefix = await _encode(encode, of_client(prompt.prefix))
        suffix = await _encode(encode, of_client(prompt.suffix))
        return [*self.tokenizer.begin_ids, *tokens.join(prefix, suffix)]

    def _render_chat(self, prompt: ChatPrompt, *, is_inline: bool = False) -> str:
        return chat_text(self.template, prompt, is_inline=is_inline)


async def _encode(encode: Callable[[str], list[int]], text: str) -> list[int]:
    if len(text) <= INLINE_CHARS:
        return encode(text)
    return await asyncio.to_thread(encode, text)


def _parts(prompt: ChatPrompt) -> tuple[Any, ...]:
    return prompt.messages, prompt.tools, prompt.options


def _num_chars_left(value: Any, budget: int) -> int:
    """``budget`` less the characters (and one per item) of a JSON value; stops below zero."""
    if isinstance(value, str):
        return budget - len(value)
    if isinstance(value, Mapping):
        value = [*value, *value.values()]
    if isinstance(value, list | tuple):
        for item in value:
            if budget <= 0:
                break
            budget = _num_chars_left(item, budget - 1)
    return budget
