"""One choice's way from tokens to events: detokenised, and passed through its stages. No I/O.

Where a stage may end the choice its tokens are fed one by one, so that text, reason and usage do
not depend on how the engine happened to chunk them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from serve.engine.protocol import TokenChunk, TokenLogprob
from serve.pipeline.detokenize import Detokenizer
from serve.pipeline.events import ChoiceEvent, Finished, TextDelta, TokenText
from serve.pipeline.stages import Stage
from serve.timeline import FinishReason, Usage

Describe = Callable[[TokenLogprob], TokenText]


class Choice:
    """The state of one choice.

    Args:
        index: of the choice, in each of its events.
        detokenizer: a fresh one.
        stages: fresh ones, in the order in which events pass them.
        describe: makes a TokenText of a token and its log-probabilities.
        prompt_tokens: of the choice's prompt, for its usage.
    """

    def __init__(
        self,
        *,
        index: int,
        detokenizer: Detokenizer,
        stages: Sequence[Stage],
        describe: Describe,
        prompt_tokens: int = 0,
    ) -> None:
        self._index = index
        self._detokenizer = detokenizer
        self._stages = stages
        self._describe = describe
        self.usage = Usage(prompt_tokens=prompt_tokens)

    def feed(self, chunk: TokenChunk) -> list[ChoiceEvent]:
        """The events of a chunk. ``Finished``, if it is there, is the last; its usage is whole."""
        events: list[ChoiceEvent] = []
        for part in _parts(chunk) if self._stages else (chunk,):
            self.usage.completion_tokens += len(part.token_ids)
            passed: Sequence[ChoiceEvent] = self._detokenised(part)
            for stage in self._stages:
                passed = stage.feed(passed)
            events += passed
            if passed and isinstance(passed[-1], Finished):
                events[-1] = replace(passed[-1], usage=self.usage)
                break
        return _joined(events) if self._stages else events

    def _detokenised(self, chunk: TokenChunk) -> list[ChoiceEvent]:
        """Text and log-probabilities of a chunk, and its end. All that is left, where it ends."""
        reason = chunk.finish_reason
        # The stop token is counted and is no text (Engine contract).
        num_text = len(chunk.token_ids) - 1 if reason == "stop" else len(chunk.token_ids)
        text = self._detokenizer.feed(chunk.token_ids[:num_text])
        if reason is not None:
            text += self._detokenizer.finish()
        logprobs = tuple(map(self._describe, (chunk.logprobs or ())[:num_text]))
        events: list[ChoiceEvent] = []
        if text or logprobs:
            events.append(TextDelta(index=self._index, text=text, logprobs=logprobs))
        if reason is not None:
            events.append(Finished(index=self._index, reason=reason))
        return events


def _parts(chunk: TokenChunk) -> Iterator[TokenChunk]:
    """A chunk as chunks of one token each."""
    last = len(chunk.token_ids) - 1
    for at, token_id in enumerate(chunk.token_ids):
        reason: FinishReason | None = chunk.finish_reason if at == last else None
        logprobs = None if chunk.logprobs is None else chunk.logprobs[at : at + 1]
        yield TokenChunk(token_ids=(token_id,), logprobs=logprobs, finish_reason=reason)


def _joined(events: Sequence[ChoiceEvent]) -> list[ChoiceEvent]:
    """The same events, with neighbouring texts of one channel in one."""
    joined: list[ChoiceEvent] = []
    for event in events:
        before = joined[-1] if joined else None
        if (
            isinstance(event, TextDelta)
            and isinstance(before, TextDelta)
            and event.channel == before.channel
        ):
            joined[-1] = replace(
                before, text=before.text + event.text, logprobs=before.logprobs + event.logprobs
            )
        else:
            joined.append(event)
    return joined
