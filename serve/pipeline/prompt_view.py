"""A prompt as its answer shows it: its tokens, their log-probabilities, and its echo.

An echo is the prompt's text before the completion's: a client's own text as it came, token ids by
their text, special ones by name. With log-probabilities each of its tokens stands at its place in
that text, so that ``text_offset`` runs on from the prompt into the completion.

All of it comes with the first tokens of the completion, not before: until then a request can
still be refused by status.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from itertools import chain, islice

from serve.engine.protocol import TokenLogprob
from serve.pipeline.aligned import AlignedTokens
from serve.pipeline.events import (
    Generation,
    Prompt,
    PromptTokens,
    TextDelta,
    TextPrompt,
    TokenText,
)
from serve.pipeline.render import INLINE_CHARS
from serve.pipeline.slices import SLICE_LOGPROBS, SLICE_TOKENS, next_turn
from serve.pipeline.token_texts import TokenTexts
from serve.pipeline.tokenizer import ModelTokenizer

Logprobs = Sequence[TokenLogprob | None]


def engine_prompt_logprobs(generation: Generation, sibling: int = 0) -> int | None:
    """The number of candidates that the engine tells for each token of a prompt; None for none.

    The client's own wish is met by one candidate of each prompt, an echo by each.
    """
    sampling = generation.sampling
    asked = sampling.num_prompt_logprobs if sibling == 0 else None
    if not generation.echoes or sampling.num_logprobs is None:
        return asked
    return max(sampling.num_logprobs, asked or 0)


class PromptView:
    """One candidate's words of its prompt.

    Args:
        index: of the choice, in its events.
        number: of the prompt, from 0.
        is_first: whether it is the first candidate, which tells of the prompt for all.
        is_cut: whether the tokens are not all that the prompt came to.
    """

    def __init__(
        self,
        *,
        generation: Generation,
        tokenizer: ModelTokenizer,
        index: int,
        number: int,
        token_ids: Sequence[int],
        is_first: bool,
        is_cut: bool,
    ) -> None:
        self._generation = generation
        self._tokenizer = tokenizer
        self._texts = TokenTexts(tokenizer)
        self._index = index
        self._number = number
        self._token_ids = token_ids
        self._is_first = is_first
        self._is_cut = is_cut
        self.num_chars = 0  # of the echo, once it is told

    async def events(
        self, logprobs: Logprobs | None, turn: asyncio.Lock
    ) -> AsyncIterator[PromptTokens | TextDelta]:
        """The events before the completion's.

        Args:
            logprobs: of the prompt's tokens, where the engine was asked for them.
            turn: of the request's choices, taken between slices.
        """
        sampling = self._generation.sampling
        asked = sampling.num_prompt_logprobs
        if self._is_first and (self._generation.wants_token_ids or asked is not None):
            shown = None if asked is None else logprobs
            async for event in self._prompt_tokens(shown, asked or 0, turn):
                yield event
        if not self._generation.echoes:
            return
        if sampling.num_logprobs is None or logprobs is None:
            text = await self._text()
            self.num_chars = len(text)
            yield TextDelta(index=self._index, text=text)
            return
        pieces = self._pieces(logprobs, sampling.num_logprobs, await self._offsets())
        size = _slice_size(sampling.num_logprobs)
        for _ in range(0, len(self._token_ids) + 1, size):  # a piece more than there are tokens
            if len(self._token_ids) > size:
                await next_turn(turn)
            delta = self._echo(list(islice(pieces, size)))
            if delta.text or delta.logprobs:
                yield delta

    async def _prompt_tokens(
        self, logprobs: Logprobs | None, num_top: int, turn: asyncio.Lock
    ) -> AsyncIterator[PromptTokens]:
        token_ids = self._token_ids
        if logprobs is None:
            yield PromptTokens(prompt=self._number, token_ids=tuple(token_ids))
            return
        size = _slice_size(num_top)
        for at in range(0, len(token_ids), size):
            if len(token_ids) > size:
                await next_turn(turn)
            ids = tuple(token_ids[at : at + size])
            tokens = tuple(self._described(at, ids, logprobs, num_top))
            yield PromptTokens(prompt=self._number, token_ids=ids, logprobs=tokens)

    def _described(
        self, at: int, token_ids: Sequence[int], logprobs: Logprobs, num_top: int
    ) -> Iterator[TokenText]:
        for token_id, logprob in zip(token_ids, logprobs[at:], strict=False):
            token = self._texts.of_prompt(token_id, logprob)
            yield token if len(token.top) <= num_top else replace(token, top=token.top[:num_top])

    def _echo(self, pieces: Sequence[tuple[str, list[TokenText]]]) -> TextDelta:
        text = "".join([text for text, _ in pieces])
        self.num_chars += len(text)
        tokens = chain.from_iterable(own for _, own in pieces)
        return TextDelta(index=self._index, text=text, logprobs=tuple(tokens))

    @property
    def _written(self) -> str | None:
        """The prompt's text as the client wrote it, where that is what the tokens are of."""
        prompt = self._prompt
        return prompt.text if isinstance(prompt, TextPrompt) and not self._is_cut else None

    @property
    def _prompt(self) -> Prompt:
        return self._generation.prompts[self._number]

    async def _text(self) -> str:
        if self._written is not None:
            return self._written
        decode, ids = self._tokenizer.decode_raw, self._token_ids
        return decode(ids) if len(ids) <= INLINE_CHARS else await asyncio.to_thread(decode, ids)

    async def _offsets(self) -> Sequence[int] | None:
        """The places of the tokens in the client's text; None where there is no such text."""
        prompt = self._prompt
        if not isinstance(prompt, TextPrompt) or self._is_cut:
            return None
        text, adds = prompt.text, prompt.add_special_tokens
        if len(text) <= INLINE_CHARS:
            offsets = self._tokenizer.offsets(text, add_special_tokens=adds)
        else:
            offsets = await asyncio.to_thread(
                self._tokenizer.offsets, text, add_special_tokens=adds
            )
        return offsets if len(offsets) == len(self._token_ids) else None

    def _pieces(
        self, logprobs: Logprobs, num_top: int, offsets: Sequence[int] | None
    ) -> Iterator[tuple[str, list[TokenText]]]:
        """The echo's text token by token, and the tokens that begin in each piece."""
        tokens = self._described(0, self._token_ids, logprobs, num_top)
        if offsets is None:
            aligned = AlignedTokens(self._tokenizer.detokenizer(shows_special=True))
            for token_id, token in zip(self._token_ids, tokens, strict=False):
                yield aligned.feed(token_id, token)
            yield aligned.finish()
            return
        text = self._written or ""
        yield text[: offsets[0]], []
        for number, token in enumerate(tokens):
            start = offsets[number]
            end = offsets[number + 1] if number + 1 < len(offsets) else len(text)
            yield text[start:end], [replace(token, offset=start)]


def _slice_size(num_top: int) -> int:
    return max(1, min(SLICE_TOKENS, SLICE_LOGPROBS // (1 + num_top)))
