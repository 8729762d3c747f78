"""Prompts to token ids: chat template, tokenizer, and the guard between a client and both."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from serve.errors import InvalidRequest, UnsupportedField
from serve.pipeline.events import ChatPrompt, Prompt, TextPrompt, TokensPrompt
from serve.pipeline.template import ChatTemplate, TooMuchInlineError, load_template
from serve.pipeline.tokenizer import ModelTokenizer
from serve.pipeline.tool_arguments import Arguments, with_parsed_arguments

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

    @classmethod
    def load(cls, folder: Path, vocab_size: int | None = None) -> Renderer:
        """The renderer of a folder. Raises StartupError where a file is missing or damaged."""
        tokenizer = ModelTokenizer.load(folder, vocab_size)
        return cls(tokenizer, load_template(folder, tokenizer.config))

    async def render(self, prompt: Prompt, *, add_special_tokens: bool = True) -> list[int]:
        """Token ids of a prompt.

        Args:
            add_special_tokens: for TextPrompt: the tokenizer's own BOS/EOS. A chat template writes
                its own.

        Raises:
            InvalidRequest: the template refuses it, an id is out of vocabulary, or nothing is left.
            UnsupportedField: there are tools, and the template does not render them.
        """
        if isinstance(prompt, TokensPrompt):
            self.tokenizer.check_ids(prompt.token_ids, param="prompt")
            token_ids = list(prompt.token_ids)
        elif isinstance(prompt, TextPrompt):
            token_ids = await self._encode(prompt.text, add_special_tokens=add_special_tokens)
        elif _num_chars_left((prompt.messages, prompt.tools), INLINE_CHARS) > 0:
            try:
                text = self._render_chat(prompt, is_inline=True)
            except TooMuchInlineError:
                text = await asyncio.to_thread(self._render_chat, prompt)
            token_ids = await self._encode(text, add_special_tokens=False)
        else:
            text = await asyncio.to_thread(self._render_chat, prompt)
            token_ids = await self._encode(text, add_special_tokens=False)
        if not token_ids:
            raise InvalidRequest("The prompt is empty: give at least one token.", param="prompt")
        return token_ids

    def _render_chat(self, prompt: ChatPrompt, *, is_inline: bool = False) -> str:
        if self.template is None:
            raise InvalidRequest(
                "This model has no chat template, so it cannot take messages. Use /v1/completions.",
                param="messages",
            )
        if prompt.tools and not self.template.has_tools:
            raise UnsupportedField(
                "This model's chat template does not render tools, so the model would never see "
                "them. Leave tools out, or tell of them in a message.",
                param="tools",
            )
        guard = self.tokenizer.guard
        messages = [_guarded(with_parsed_arguments(message), guard) for message in prompt.messages]
        tools = [_guarded(tool, guard) for tool in prompt.tools]
        return self.template.render(messages, tools, is_inline=is_inline)

    async def _encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        if len(text) <= INLINE_CHARS:
            return self.tokenizer.encode(text, add_special_tokens=add_special_tokens)
        return await asyncio.to_thread(
            self.tokenizer.encode, text, add_special_tokens=add_special_tokens
        )


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


def _guarded(value: Any, guard: Any) -> Any:
    """The same JSON value with every string guarded, keys too."""
    if isinstance(value, str):
        return guard(value)
    if isinstance(value, Arguments):
        return value.changed(lambda items: _guarded(items, guard), guard)
    if isinstance(value, Mapping):
        return {guard(key): _guarded(item, guard) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_guarded(item, guard) for item in value]
    return value
