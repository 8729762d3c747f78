"""Tokens and their log-probabilities as clients see them."""

from __future__ import annotations

from dataclasses import replace

from serve.engine.protocol import TokenLogprob
from serve.pipeline.events import TokenText
from serve.pipeline.tokenizer import ModelTokenizer


class TokenTexts:
    """Describes tokens of one model."""

    def __init__(self, tokenizer: ModelTokenizer) -> None:
        self._tokenizer = tokenizer

    def of(self, logprob: TokenLogprob) -> TokenText:
        """A token at its place, with the likeliest ones there."""
        top = tuple([self._token(token_id, value) for token_id, value in logprob.top])
        token = self._token(logprob.token_id, logprob.logprob)
        return replace(token, top=top, rank=logprob.rank)

    def of_prompt(self, token_id: int, logprob: TokenLogprob | None) -> TokenText:
        """A prompt's token; nothing stands before the first, so it has no log-probability."""
        return self._token(token_id, None) if logprob is None else self.of(logprob)

    def _token(self, token_id: int, logprob: float | None) -> TokenText:
        return TokenText(
            text=self._tokenizer.token_text(token_id),
            raw=self._tokenizer.token_bytes(token_id),
            logprob=logprob,
            token_id=token_id,
        )
