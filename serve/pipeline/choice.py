"""One choice's text: tokens in, text and log-probabilities out, until it ends. Pure (no I/O).

Stop strings are matched token by token, so that text, reason and usage do not depend on how the
engine happened to chunk its tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from serve.engine.protocol import FinishReason, TokenChunk, TokenLogprob
from serve.pipeline.detokenize import Detokenizer
from serve.pipeline.events import TokenText
from serve.pipeline.stop import StopStrings


@dataclass(slots=True)
class Piece:
    """What one chunk came to. ``reason`` is set when the choice is over."""

    text: str
    logprobs: tuple[TokenText, ...]
    num_consumed: int
    reason: FinishReason | None


class Choice:
    """The state of one choice.

    Args:
        detokenizer: a fresh one.
        stop: a fresh one.
        describe: makes a TokenText of a token and its log-probabilities.
    """

    def __init__(
        self,
        *,
        detokenizer: Detokenizer,
        stop: StopStrings,
        has_stop: bool,
        describe: Callable[[TokenLogprob], TokenText],
    ) -> None:
        self._detokenizer = detokenizer
        self._stop = stop
        self._has_stop = has_stop
        self._describe = describe

    def feed(self, chunk: TokenChunk) -> Piece:
        """Consume a chunk, up to a stop string if there is one in it."""
        ids = chunk.token_ids
        # The stop token is counted and is no text (Engine contract).
        num_text = len(ids) - 1 if chunk.finish_reason == "stop" else len(ids)
        if self._has_stop:
            text, num_consumed = self._until_stop(chunk, num_text)
        else:
            text, num_consumed = self._detokenizer.feed(ids[:num_text]), len(ids)
        reason = chunk.finish_reason
        if self._stop.is_stopped:
            reason = "stop"
        elif reason is not None:
            text += self._tail()
            reason = "stop" if self._stop.is_stopped else reason
        return Piece(text, self._logprobs(chunk, min(num_consumed, num_text)), num_consumed, reason)

    def _until_stop(self, chunk: TokenChunk, num_text: int) -> tuple[str, int]:
        """Text and number of tokens, up to and with the token that completes a stop string."""
        parts: list[str] = []
        for position in range(num_text):
            parts.append(
                self._stop.feed(self._detokenizer.feed(chunk.token_ids[position : position + 1]))
            )
            if self._stop.is_stopped:
                return "".join(parts), position + 1
        return "".join(parts), len(chunk.token_ids)

    def _tail(self) -> str:
        """Text that was held back, now that no token follows."""
        text = self._stop.feed(self._detokenizer.finish())
        return text if self._stop.is_stopped else text + self._stop.finish()

    def _logprobs(self, chunk: TokenChunk, num_tokens: int) -> tuple[TokenText, ...]:
        if chunk.logprobs is None:
            return ()
        return tuple(self._describe(logprob) for logprob in chunk.logprobs[:num_tokens])
