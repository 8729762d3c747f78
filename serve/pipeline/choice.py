"""One choice's way from tokens to events: detokenised, and passed through its stages. No I/O.

Where a stage may end the choice its tokens are fed one by one, so that text, reason and usage do
not depend on how the engine happened to chunk them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import chain, groupby

from serve.engine.protocol import TokenChunk, TokenLogprob
from serve.pipeline.aligned import AlignedTokens
from serve.pipeline.detokenize import Detokenizer
from serve.pipeline.events import (
    Channel,
    ChoiceEvent,
    Finished,
    TextDelta,
    TokenIds,
    TokenText,
)
from serve.pipeline.model_dialects.parsing import AnswerParser
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
        marks: characters that stand for special tokens in the text, by their ids, for a first stage
            that looks for them and takes them out (stop.py). Other special tokens have no text.
        keeps_end: a token that ends the choice is text, as far as the detokenizer shows it.
        lists_end: with log-probabilities, such a token is listed, too, so that there is one entry
            for each token that is counted.
        tells_ids: ids are told before the text that they came to.
        parser: the one of the stages that knows what is reasoning, for the usage.

    Attributes:
        num_chars_before: characters of the choice's text before its first token's: of an echo.
    """

    def __init__(
        self,
        *,
        index: int,
        detokenizer: Detokenizer,
        stages: Sequence[Stage],
        describe: Describe,
        prompt_tokens: int = 0,
        marks: Mapping[int, str] | None = None,
        keeps_end: bool = False,
        lists_end: bool = False,
        tells_ids: bool = False,
        parser: AnswerParser | None = None,
    ) -> None:
        self._index = index
        self._detokenizer = detokenizer
        self._stages = stages
        self._describe = describe
        self._marks = marks or {}
        self._keeps_end = keeps_end
        self._lists_end = lists_end
        self._tells_ids = tells_ids
        self._parser = parser
        self.num_chars_before = 0
        self._aligned: AlignedTokens | None = None  # where there are log-probabilities
        self.usage = Usage(prompt_tokens=prompt_tokens)

    def feed(self, chunk: TokenChunk) -> list[ChoiceEvent]:
        """The events of a chunk. ``Finished``, if it is there, is the last; its usage is whole."""
        num_before = self.usage.completion_tokens
        events = self._passed(chunk)
        if self.num_chars_before and chunk.logprobs:
            events = [self._moved(event) for event in events]
        if self._tells_ids:
            ids = tuple(chunk.token_ids[: self.usage.completion_tokens - num_before])
            events.insert(0, TokenIds(index=self._index, token_ids=ids))
        return events

    def _moved(self, event: ChoiceEvent) -> ChoiceEvent:
        """An event whose tokens know of the text before them."""
        if not isinstance(event, TextDelta) or not event.logprobs:
            return event
        num_before = self.num_chars_before
        moved = [replace(token, offset=token.offset + num_before) for token in event.logprobs]
        return replace(event, logprobs=tuple(moved))

    def _passed(self, chunk: TokenChunk) -> list[ChoiceEvent]:
        """The events of a chunk, passed through the stages."""
        ids, logprobs, reason = chunk.token_ids, chunk.logprobs, chunk.finish_reason
        if not self._stages:
            return self._consumed(ids, logprobs, reason)
        events: list[ChoiceEvent] = []
        last = len(ids) - 1
        for at in range(len(ids)):
            if self._parser is not None and self._parser.is_reasoning:
                self.usage.reasoning_tokens += 1
            own = None if logprobs is None else logprobs[at : at + 1]
            passed: Sequence[ChoiceEvent] = self._consumed(
                ids[at : at + 1], own, reason if at == last else None
            )
            for stage in self._stages:
                if not passed:
                    break
                passed = stage.feed(passed)
            events += passed
            if passed and isinstance(passed[-1], Finished):
                events[-1] = replace(passed[-1], usage=self.usage)
                break
        return events if len(events) < 2 else _joined(events)

    def _consumed(
        self,
        ids: Sequence[int],
        logprobs: Sequence[TokenLogprob] | None,
        reason: FinishReason | None,
    ) -> list[ChoiceEvent]:
        """Text and log-probabilities of tokens, and their end. All that is left, where it ends."""
        self.usage.completion_tokens += len(ids)
        # The stop token is counted and is no text (Engine contract), unless it was asked for.
        is_end = reason == "stop" and not self._keeps_end
        num_text = len(ids) - 1 if is_end else len(ids)
        described: tuple[TokenText, ...] = ()
        if logprobs:
            text, described = self._aligned_text(ids[:num_text], logprobs, is_last=bool(reason))
        else:
            text = self._detokenizer.feed(ids[:num_text])
            if reason is not None:
                text += self._detokenizer.finish()
        if self._marks:
            text += "".join([self._marks.get(token_id, "") for token_id in ids])
        events: list[ChoiceEvent] = []
        if text or described:
            events.append(TextDelta(index=self._index, text=text, logprobs=described))
        if reason is not None:
            events.append(Finished(index=self._index, reason=reason, usage=self.usage))
        return events

    def _aligned_text(
        self, ids: Sequence[int], logprobs: Sequence[TokenLogprob], *, is_last: bool
    ) -> tuple[str, tuple[TokenText, ...]]:
        """The text that tokens complete, and the tokens that are in it."""
        aligned = self._aligned = self._aligned or AlignedTokens(self._detokenizer)
        pieces = [
            aligned.feed(token_id, self._describe(logprob))
            for token_id, logprob in zip(ids, logprobs, strict=False)
        ]
        if is_last:
            pieces.append(aligned.finish())
            if self._lists_end and len(logprobs) > len(ids):
                end = replace(self._describe(logprobs[len(ids)]), offset=aligned.num_chars)
                pieces.append(("", [end]))
        text = "".join([text for text, _ in pieces])
        return text, tuple(chain.from_iterable(tokens for _, tokens in pieces))


def _joined(events: Sequence[ChoiceEvent]) -> list[ChoiceEvent]:
    """The same events, with neighbouring texts of one channel in one."""
    joined: list[ChoiceEvent] = []
    for channel, group in groupby(events, _channel_of):
        run = list(group)
        first = run[0]
        if channel is None or len(run) == 1 or not isinstance(first, TextDelta):
            joined += run
            continue
        texts = [event for event in run if isinstance(event, TextDelta)]
        logprobs = chain.from_iterable(event.logprobs for event in texts)
        text = "".join([event.text for event in texts])
        joined.append(replace(first, text=text, logprobs=tuple(logprobs)))
    return joined


def _channel_of(event: ChoiceEvent) -> Channel | None:
    return event.channel if isinstance(event, TextDelta) else None
