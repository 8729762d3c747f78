"""One request that runs: its candidates, each an engine stream turned into events."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial

from serve.engine.protocol import Engine, SamplingParams, TokenChunk
from serve.errors import InternalError, RequestError
from serve.pipeline.answer_plan import AnswerPlan
from serve.pipeline.bad_words import bad_word_ids
from serve.pipeline.best_of import Score
from serve.pipeline.checks import check_bound
from serve.pipeline.choice import Choice
from serve.pipeline.engine_requests import EngineRequests, RenderedPrompt, num_candidates
from serve.pipeline.events import (
    ChatPrompt,
    Event,
    FillPrompt,
    Finished,
    GenerateRequest,
    Prompt,
)
from serve.pipeline.model_dialects.parsing import AnswerParser
from serve.pipeline.prefix.watch import Watch
from serve.pipeline.prompt_view import PromptView
from serve.pipeline.render import Renderer
from serve.pipeline.slices import next_turn, slices_of
from serve.pipeline.stages import Stage
from serve.pipeline.stop import StopPatterns, StopStrings, stop_patterns
from serve.pipeline.token_texts import TokenTexts

log = logging.getLogger(__name__)


class Run:
    """The candidates of one request.

    Args:
        prompts: the request's, rendered.
        plan: how its answers are held and read.
        salt: of the prefix cache.
        watch: over what becomes of the prompts in it.
        clock: monotonic seconds.

    Raises:
        InvalidRequest: what the engine would refuse is refused now.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        renderer: Renderer,
        request: GenerateRequest,
        prompts: Sequence[RenderedPrompt],
        plan: AnswerPlan,
        salt: str | None,
        watch: Watch,
        clock: Callable[[], float],
    ) -> None:
        self._engine = engine
        self._renderer = renderer
        self._request = request
        self._prompts = prompts
        self._plan = plan
        self._watch = watch
        self._clock = clock
        self._per_prompt = num_candidates(request)
        self._scores: dict[int, Score] = {}
        self._cached: dict[int, int] = {}  # tokens of each prompt
        self._turn = asyncio.Lock()  # of the candidates, taken for each slice of a large chunk
        self._texts = TokenTexts(renderer.tokenizer)
        self._stops = self._stop_patterns()
        self._requests = EngineRequests(
            info=engine.info,
            request=request,
            prompts=[prompt.token_ids for prompt in prompts],
            sampling=self._sampling(),
            salt=salt,
        )
        self._requests.check()

    @property
    def max_completion_tokens(self) -> int:
        """Most tokens that all candidates together may come to."""
        return self._requests.max_completion_tokens

    def score(self, index: int) -> Score:
        """The likelihood of a candidate so far."""
        return self._scores.setdefault(index, Score())

    async def choice(self, index: int) -> AsyncGenerator[Event, None]:
        """The events of one candidate. Errors come out as Finished("error")."""
        request = self._request
        choice = self._new_choice(index)
        try:
            async with aclosing(self._events(index, choice)) as events:
                async for event in events:
                    if isinstance(event, Finished):
                        request.timeline.finish_reason = event.reason
                        yield event
                        return
                    yield event
            raise InternalError("The engine ended the stream without a finish reason.")
        except RequestError as error:
            request.timeline.finish_reason, request.timeline.error_code = "error", error.code
            yield Finished(index=index, reason="error", usage=choice.usage, error=error)
        except Exception:  # the one place where a defect becomes an in-band error
            log.exception("choice failed", extra={"request_id": request.request_id})
            defect = InternalError(f"The server failed; request id {request.request_id}.")
            request.timeline.finish_reason, request.timeline.error_code = "error", defect.code
            yield Finished(index=index, reason="error", usage=choice.usage, error=defect)
        finally:
            self._watch.ended(index, index // self._per_prompt)

    async def _events(self, index: int, choice: Choice) -> AsyncGenerator[Event, None]:
        """Events of one candidate: what is told of its prompt, then of what the engine makes."""
        request, view = self._request, self._view(index)
        is_silent = request.sampling.max_tokens == 0  # nothing behind the prompt was asked for
        if is_silent and self._requests.of(index).sampling.num_prompt_logprobs is None:
            async for told in view.events(None, self._turn):
                yield told
            yield Finished(index=index, reason="length", usage=choice.usage)
            return
        is_first = True
        previous_at: float | None = None
        async with aclosing(self._engine.stream(self._requests.of(index))) as chunks:
            async for chunk in chunks:
                if is_first:
                    is_first = False
                    self._note_cached(index, choice, chunk.cached_tokens)
                    async for told in view.events(chunk.prompt_logprobs, self._turn):
                        yield told
                    choice.num_chars_before = view.num_chars
                    if is_silent:
                        yield Finished(index=index, reason="length", usage=choice.usage)
                        return
                for part in slices_of(chunk):
                    if part is not chunk:
                        await next_turn(self._turn)
                    at = self._clock()
                    for event in self._fed(index, choice, part, at, previous_at):
                        yield event
                    previous_at = at

    def _fed(
        self,
        index: int,
        choice: Choice,
        part: TokenChunk,
        at: float,
        previous_at: float | None,
    ) -> Sequence[Event]:
        """The events of a chunk; what is counted of it."""
        record, usage = self._request.timeline, choice.usage
        num_before, num_reasoned = usage.completion_tokens, usage.reasoning_tokens
        told = part
        if part.logprobs is not None and self._request.sampling.num_logprobs is None:
            told = replace(part, logprobs=None)  # they were for the score alone
        events = choice.feed(told)
        num_consumed = usage.completion_tokens - num_before
        if part.logprobs is not None and self._per_prompt > self._request.n:
            score = self.score(index)
            score.num_tokens += num_consumed
            score.total += sum(logprob.logprob for logprob in part.logprobs[:num_consumed])
        record.tokens_arrived(num_consumed, at, previous_at)
        record.usage.completion_tokens += num_consumed
        record.usage.reasoning_tokens += usage.reasoning_tokens - num_reasoned
        number = index // self._per_prompt
        self._watch.generated(index, number, part.token_ids[:num_consumed], events)
        return events

    def _note_cached(self, index: int, choice: Choice, num_tokens: int) -> None:
        """Count what a candidate took from the cache. Siblings take what the first one computed,
        so the prompt, which counts once, has the least of theirs.
        """
        number = index // self._per_prompt
        before = self._cached.get(number)
        now = self._cached[number] = num_tokens if before is None else min(before, num_tokens)
        choice.usage.cached_tokens = num_tokens
        self._request.timeline.usage.cached_tokens += now - (before or 0)
        self._watch.computed(number, num_tokens)

    def _new_choice(self, index: int) -> Choice:
        request, stops = self._request, self._stops
        number = index // self._per_prompt
        token_ids = self._prompts[number].token_ids
        has_logprobs = request.sampling.num_logprobs is not None
        parser = self._plan.parser(index) if self._plan.parser is not None else None
        return Choice(
            index=index,
            detokenizer=self._renderer.tokenizer.detokenizer(
                _context(request.prompts[number], token_ids), shows_special=request.shows_special
            ),
            stages=self._stages(index, parser),
            describe=self._texts.of,
            prompt_tokens=len(token_ids),
            marks={**(stops.marks if stops else {}), **self._plan.marks},
            parser=parser,
            keeps_end=request.keeps_stop,
            lists_end=request.echoes and has_logprobs,
            tells_ids=request.wants_token_ids,
        )

    def _view(self, index: int) -> PromptView:
        number, sibling = divmod(index, self._per_prompt)
        prompt = self._prompts[number]
        return PromptView(
            generation=self._request,
            tokenizer=self._renderer.tokenizer,
            index=index,
            number=number,
            token_ids=prompt.token_ids,
            is_first=sibling == 0,
            is_cut=prompt.is_cut,
        )

    def _stages(self, index: int, parser: AnswerParser | None) -> list[Stage]:
        """The stages of one choice: stop strings first, for they are of the model's own text."""
        stops, keeps = self._stops, self._request.keeps_stop
        own: list[Stage] = []
        if stops:
            own.append(
                StopStrings(
                    stops.strings,
                    stops.marks,
                    names=stops.names,
                    keeps_stop=keeps,
                    others="".join(self._plan.marks.values()),
                )
            )
        if parser is not None:
            own.append(parser)
        screened = self._request.stages
        return own if screened is None else [*own, *screened(index)]

    def _stop_patterns(self) -> StopPatterns | None:
        """None where there are no stop strings. Special tokens that are shown need no marks."""
        request = self._request
        if not request.stop:
            return None
        special_ids = self._renderer.tokenizer.special_ids
        shown = stop_patterns(request.stop, {} if request.shows_special else special_ids)
        return shown.sharing(self._plan.marks)

    def _sampling(self) -> SamplingParams:
        """The client's sampling with what the pipeline knows: words as ids, what ends a gap, and
        the grammar.
        """
        request, sampling = self._request, self._request.sampling
        if self._plan.grammar is not None:
            check_bound(sampling, "tools" if request.format is None else "a format")
            sampling = replace(sampling, grammar=self._plan.grammar)
        words = (*request.bad_words, *self._plan.banned)
        if words:
            encode = partial(self._renderer.tokenizer.encode, add_special_tokens=False)
            ids = bad_word_ids(words, encode)
            sampling = replace(sampling, bad_words=(*sampling.bad_words, *ids))
        fill = self._renderer.fill_tokens
        is_gap = any(isinstance(prompt, FillPrompt) for prompt in request.prompts)
        if is_gap and fill is not None and not sampling.ignore_eos:
            ends = sampling.stop_token_ids | fill.ends
            sampling = replace(sampling, stop_token_ids=ends)
        if self._per_prompt > request.n and sampling.num_logprobs is None:
            sampling = replace(sampling, num_logprobs=0)
        return sampling


def _context(prompt: Prompt, token_ids: Sequence[int]) -> Sequence[int]:
    """The ids that a choice's text continues. The answer in a chat begins one."""
    is_begun = isinstance(prompt, ChatPrompt) and not prompt.continues_last
    return () if is_begun else token_ids
