"""One async generator is one request: admission, render, engine, text, finish.

::

    generate() ── slots ── render ── Started ──┬── choice 0 ── TextDelta… Finished
                                               └── choice k ── TextDelta… Finished

Closing the generator, at any point, frees everything: slots, engine streams, tasks. There is no
other clean-up path. Refusals are raised before Started; after it, errors travel in-band.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace

from serve import timeline
from serve.engine.protocol import Engine, EngineRequest, SamplingParams, TokenLogprob
from serve.engine.request_check import check_request, check_sampling, check_vocabulary
from serve.errors import ContextLengthExceeded, InternalError, RequestError
from serve.pipeline.admission import Admission
from serve.pipeline.answer_size import check_answer_size
from serve.pipeline.cache_salt import CacheSalts
from serve.pipeline.choice import Choice
from serve.pipeline.detokenize import Detokenizer
from serve.pipeline.events import (
    ChatPrompt,
    Event,
    Finished,
    GenerateRequest,
    Generation,
    Prompt,
    Started,
    TokensPrompt,
    TokenText,
)
from serve.pipeline.large_prompts import LargePrompts
from serve.pipeline.render import Renderer
from serve.pipeline.slices import next_turn, slices_of
from serve.pipeline.stages import Stage, StagesFor
from serve.pipeline.stop import StopPatterns, StopStrings, stop_patterns

log = logging.getLogger(__name__)

QUEUED_EVENTS = 64
"""Bound of events between the choices of one request and its reader, for n > 1."""


class Pipeline:
    """Everything between the wire and the engine, for one model.

    Args:
        salts: of the prefix cache; made here unless given.
        stages_for: the stages that follow the stop strings: masking, filters.
        clock: monotonic seconds, the one that stamped the request's ``arrived_at``.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        renderer: Renderer,
        admission: Admission,
        salts: CacheSalts | None = None,
        stages_for: StagesFor = lambda _request, _index: (),
        clock: Callable[[], float] = timeline.now,
    ) -> None:
        self.engine = engine
        self.renderer = renderer
        self.admission = admission
        self._salts = salts or CacheSalts()
        self._prompts = LargePrompts()
        self._stages_for = stages_for
        self._clock = clock

    @property
    def num_admitted(self) -> int:
        return self.admission.num_admitted

    async def encode(self, prompt: Prompt, *, add_special_tokens: bool = True) -> list[int]:
        """Token ids of a prompt, as generate() would send them to the engine."""
        return await self._prompts.render(
            self.renderer, prompt, add_special_tokens=add_special_tokens
        )

    def decode(self, token_ids: Sequence[int]) -> str:
        """Text of token ids, special tokens shown. Raises InvalidRequest out of vocabulary."""
        self.renderer.tokenizer.check_ids(token_ids, param="tokens")
        return self.renderer.tokenizer.decode_raw(token_ids)

    def token_text(self, token_id: int) -> str:
        """One token as text; broken bytes become U+FFFD."""
        return self.renderer.tokenizer.token_text(token_id)

    def check(self, generation: Generation) -> None:
        """Refuse what this model can never run, before anything is held for it.

        Token ids of all prompts together are bounded by the context: one request cannot bring more
        work than the longest single prompt.

        Raises:
            InvalidRequest, UnsupportedField: see ``check_sampling``; or a prompt's token id.
            ContextLengthExceeded: more token ids than one context holds.
        """
        info = self.engine.info
        check_sampling(info, generation.sampling)
        check_answer_size(info, generation)
        num_tokens = 0
        for prompt in generation.prompts:
            if isinstance(prompt, TokensPrompt):
                num_tokens += len(prompt.token_ids)
                if num_tokens > info.max_model_len:
                    raise ContextLengthExceeded(
                        f"prompt has {num_tokens} tokens or more, and this model's context is "
                        f"{info.max_model_len}. Send fewer at once.",
                        param="prompt",
                    )
                check_vocabulary(info, prompt.token_ids, "prompt")

    def drain(self) -> None:
        """Admit nobody from now on; what runs goes on to its end."""
        self.admission.close()

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[Event, None]:
        """Answer one request.

        Yields:
            Started, then for each choice TextDelta… and one Finished.

        Raises:
            RequestError: before Started only.
        """
        self.check(request)
        num_choices = len(request.prompts) * request.n
        with self.admission.slots(num_choices):
            request.timeline.admitted_at = self._clock()
            prompts = await self._rendered(request.prompts)
            engine_requests = self._engine_requests(request, prompts)
            request.timeline.usage.prompt_tokens = sum(map(len, prompts))
            request.timeline.submitted_at = self._clock()
            yield Started(prompt_tokens=request.timeline.usage.prompt_tokens)
            special_ids = self.renderer.tokenizer.special_ids
            stops = stop_patterns(request.stop, special_ids) if request.stop else None
            turn = asyncio.Lock()
            choices = [
                self._choice(request, index, engine_request, stops, turn)
                for index, engine_request in enumerate(engine_requests)
            ]
            merged = choices[0] if num_choices == 1 else _merge(choices)
            async with aclosing(merged) as events:
                async for event in events:
                    yield event

    async def _rendered(self, prompts: Sequence[Prompt]) -> list[list[int]]:
        """Token ids of each prompt; others have their turn between, for each takes milliseconds."""
        rendered: list[list[int]] = []
        for prompt in prompts:
            if rendered:
                await asyncio.sleep(0)
            rendered.append(await self._prompts.render(self.renderer, prompt))
        return rendered

    async def _choice(
        self,
        request: GenerateRequest,
        index: int,
        engine_request: EngineRequest,
        stops: StopPatterns | None,
        turn: asyncio.Lock,
    ) -> AsyncGenerator[Event, None]:
        """One choice: an engine stream turned into text. Errors come out as Finished("error").

        Args:
            turn: of the request's choices, taken for each slice of a large chunk.
        """
        record = request.timeline
        prompt, token_ids = request.prompts[index // request.n], engine_request.prompt_token_ids
        choice = Choice(
            index=index,
            detokenizer=self._detokenizer(prompt, token_ids),
            stages=self._stages(request, index, stops),
            describe=self._describe,
            prompt_tokens=len(token_ids),
            marks=stops.marks if stops else None,
        )
        usage = choice.usage
        previous_at: float | None = None
        try:
            async with aclosing(self.engine.stream(engine_request)) as chunks:
                async for chunk in chunks:
                    for part in slices_of(chunk):
                        if part is not chunk:
                            await next_turn(turn)
                        at = self._clock()
                        num_before = usage.completion_tokens
                        events = choice.feed(part)
                        num_consumed = usage.completion_tokens - num_before
                        record.tokens_arrived(num_consumed, at, previous_at)
                        if previous_at is None:
                            usage.cached_tokens = chunk.cached_tokens
                            record.usage.cached_tokens += chunk.cached_tokens
                        previous_at = at
                        record.usage.completion_tokens += num_consumed
                        for event in events:
                            if isinstance(event, Finished):
                                record.finish_reason = event.reason
                                yield event
                                return
                            yield event
            raise InternalError("The engine ended the stream without a finish reason.")
        except RequestError as error:
            record.finish_reason, record.error_code = "error", error.code
            yield Finished(index=index, reason="error", usage=usage, error=error)
        except Exception:  # the one place where a defect becomes an in-band error
            log.exception("choice failed", extra={"request_id": request.request_id})
            defect = InternalError(f"The server failed; request id {request.request_id}.")
            record.finish_reason, record.error_code = "error", defect.code
            yield Finished(index=index, reason="error", usage=usage, error=defect)

    def _stages(
        self, request: GenerateRequest, index: int, stops: StopPatterns | None
    ) -> list[Stage]:
        """The stages of one choice: stop strings first, for they are of the model's own text."""
        stop: list[Stage] = [StopStrings(stops.strings, stops.marks)] if stops else []
        return [*stop, *self._stages_for(request, index)]

    def _detokenizer(self, prompt: Prompt, token_ids: Sequence[int]) -> Detokenizer:
        """A detokenizer that continues a prompt's text. The answer in a chat begins one."""
        context = () if isinstance(prompt, ChatPrompt) else token_ids
        return self.renderer.tokenizer.detokenizer(context)

    def _describe(self, logprob: TokenLogprob) -> TokenText:
        top = tuple([self._token(token_id, value) for token_id, value in logprob.top])
        return replace(self._token(logprob.token_id, logprob.logprob), top=top)

    def _token(self, token_id: int, logprob: float) -> TokenText:
        tokenizer = self.renderer.tokenizer
        return TokenText(
            text=tokenizer.token_text(token_id),
            raw=tokenizer.token_bytes(token_id),
            logprob=logprob,
            token_id=token_id,
        )

    def _engine_requests(
        self, request: GenerateRequest, prompts: Sequence[Sequence[int]]
    ) -> list[EngineRequest]:
        """One for each choice, checked: what the engine would refuse is refused now."""
        requests = []
        info = self.engine.info
        has_cache = "prefix_cache" in info.capabilities
        salt = self._salts.of(request.tenant, request.cache_salt) if has_cache else None
        for index in range(len(prompts) * request.n):
            prompt = prompts[index // request.n]
            max_tokens = self._room(prompt, request)
            engine_request = EngineRequest(
                request_id=f"{request.request_id}-{index}",
                prompt_token_ids=prompt,
                sampling=_sampling_of(request.sampling, index % request.n, max_tokens),
                cache_salt=salt,
                adapter=request.adapter,
            )
            check_request(info, engine_request)
            requests.append(engine_request)
        return requests

    def _room(self, token_ids: Sequence[int], request: GenerateRequest) -> int:
        """Tokens that may be generated after this prompt: as many as asked for, or as fit.

        Agents ask for a fixed large number; vLLM cuts it to the room, too.

        Raises:
            ContextLengthExceeded: the prompt leaves no room.
        """
        limit = self.engine.info.max_model_len
        room = limit - len(token_ids)
        if room < 1:
            raise ContextLengthExceeded(
                f"The prompt has {len(token_ids)} tokens; this model's context is {limit} tokens, "
                "completion included. Shorten the prompt.",
                param="messages" if isinstance(request.prompts[0], ChatPrompt) else "prompt",
            )
        return min(request.sampling.max_tokens, room)


def _sampling_of(sampling: SamplingParams, sibling: int, max_tokens: int) -> SamplingParams:
    """Sampling of one choice: siblings of one seed draw different, repeatable tokens."""
    seed = None if sampling.seed is None else sampling.seed + sibling
    return replace(sampling, max_tokens=max_tokens, seed=seed)


async def _merge(choices: Sequence[AsyncGenerator[Event, None]]) -> AsyncGenerator[Event, None]:
    """Events of all choices as they come. Closing it closes them all."""
    queue: asyncio.Queue[Event | None] = asyncio.Queue(QUEUED_EVENTS)

    async def pump(choice: AsyncGenerator[Event, None]) -> None:
        async with aclosing(choice) as events:
            async for event in events:
                await queue.put(event)
        await queue.put(None)

    tasks = [asyncio.create_task(pump(choice)) for choice in choices]
    try:
        num_open = len(tasks)
        while num_open:
            event = await queue.get()
            if event is None:
                num_open -= 1
            else:
                yield event
    finally:
        for task in tasks:
            task.cancel()
        # Not gather: if this is cancelled, too, it would raise another CancelledError than the one
        # that it was sent, and who sent it (anyio, for one) would not know it again.
        await asyncio.wait(tasks)
