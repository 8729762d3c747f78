"""One async generator is one request: admission, render, engine, text, finish.

::

    generate() ── slots ── render ── Started ──┬── choice 0 ── TextDelta… Finished
                                               └── choice k ── TextDelta… Finished

Closing the generator, at any point, frees everything: slots, engine streams, tasks. There is no
other clean-up path. Refusals are raised before Started; after it, errors travel in-band.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing

from serve import timeline
from serve.engine.protocol import Engine
from serve.pipeline.admission import Admission
from serve.pipeline.answer_plan import Checker, plan_answer
from serve.pipeline.answer_size import check_answer_size
from serve.pipeline.best_of import best_of
from serve.pipeline.cache_salt import CacheSalts
from serve.pipeline.checks import check_generation
from serve.pipeline.engine_requests import RenderedPrompt, num_candidates, truncated
from serve.pipeline.events import Event, GenerateRequest, Generation, Prompt, Started
from serve.pipeline.large_prompts import LargePrompts
from serve.pipeline.merge import merged
from serve.pipeline.model_dialects.bound import UNBOUND, BoundDialect
from serve.pipeline.prefix.watch import CacheWatcher, Watch
from serve.pipeline.render import Renderer
from serve.pipeline.run import Run


class Pipeline:
    """Everything between the wire and the engine, for one model.

    Args:
        salts: of the prefix cache; made here unless given.
        dialect: of the model; it has none unless it is given.
        checker: of grammars; None where the engine holds an answer to none.
        clock: monotonic seconds, the one that stamped the request's ``arrived_at``.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        renderer: Renderer,
        admission: Admission,
        salts: CacheSalts | None = None,
        dialect: BoundDialect = UNBOUND,
        checker: Checker | None = None,
        clock: Callable[[], float] = timeline.now,
    ) -> None:
        self.engine = engine
        self.renderer = renderer
        self.admission = admission
        self._salts = salts or CacheSalts()
        self._watcher = CacheWatcher(renderer, self._salts)
        self.dialect = dialect
        self._checker = checker
        self._prompts = LargePrompts()
        self._clock = clock

    @property
    def num_admitted(self) -> int:
        return self.admission.num_admitted

    async def encode(self, prompt: Prompt) -> list[int]:
        """Token ids of a prompt, as generate() would send them to the engine."""
        return await self._prompts.render(self.renderer, prompt)

    def decode(self, token_ids: Sequence[int]) -> str:
        """Text of token ids, special tokens shown. Raises InvalidRequest out of vocabulary."""
        self.renderer.tokenizer.check_ids(token_ids, param="tokens")
        return self.renderer.tokenizer.decode_raw(token_ids)

    def token_text(self, token_id: int) -> str:
        """One token as text; broken bytes become U+FFFD."""
        return self.renderer.tokenizer.token_text(token_id)

    def check(self, generation: Generation) -> None:
        """Refuse what this model can never run, before anything is held for it.

        Raises:
            InvalidRequest, UnsupportedField, ContextLengthExceeded: see ``check_generation``.
        """
        check_generation(self.engine.info, generation)

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
        per_prompt = num_candidates(request)
        num_choices = len(request.prompts) * per_prompt
        width = self.admission.width(num_choices)
        with self.admission.slots(width):
            request.timeline.admitted_at = self._clock()
            watch = self._watcher.watch(request, self.engine.info)
            prompts = await self._rendered(request, watch)
            run = await self._run(request, prompts, watch)
            num_tokens = sum(len(prompt.token_ids) for prompt in prompts)
            request.timeline.usage.prompt_tokens = num_tokens
            yield Started(
                prompt_tokens=num_tokens,
                max_completion_tokens=run.max_completion_tokens,
                num_sequences=num_choices,
                width=width,
            )
            request.timeline.submitted_at = self._clock()  # whoever asked may have waited
            events = run.choice(0) if num_choices == 1 else merged(run.choice, num_choices, width)
            async with aclosing(events):
                told = events
                if per_prompt > request.n:
                    told = best_of(events, n=request.n, num_candidates=per_prompt, score=run.score)
                async with aclosing(told):
                    async for event in told:
                        yield event
            explained = await watch.explanations()
            for explanation in explained if request.explains_cache else ():
                yield explanation

    async def _rendered(self, request: GenerateRequest, watch: Watch) -> list[RenderedPrompt]:
        """Token ids of each prompt; others have their turn between, for each takes milliseconds.

        Raises:
            InvalidRequest: a prompt that cannot be rendered, or too much would be told of them.
        """
        info = self.engine.info
        owner = self._salts.of(request.tenant, request.cache_salt)
        rendered: list[RenderedPrompt] = []
        for prompt in request.prompts:
            if rendered:
                await asyncio.sleep(0)
            token_ids = await self._prompts.render(self.renderer, prompt, owner)
            rendered.append(truncated(token_ids, request, info.max_model_len))
            watch.look_up(rendered[-1].token_ids)
        check_answer_size(info, request, sum(len(prompt.token_ids) for prompt in rendered))
        return rendered

    async def _run(
        self, request: GenerateRequest, prompts: Sequence[RenderedPrompt], watch: Watch
    ) -> Run:
        def prompt_end(num_tokens: int) -> str:
            return self.renderer.tokenizer.decode_raw(prompts[0].token_ids[-num_tokens:])

        plan = await plan_answer(request, self.dialect, self._checker, prompt_end)
        has_cache = "prefix_cache" in self.engine.info.capabilities
        return Run(
            engine=self.engine,
            renderer=self.renderer,
            request=request,
            prompts=prompts,
            plan=plan,
            salt=self._salts.of(request.tenant, request.cache_salt) if has_cache else None,
            watch=watch,
            clock=self._clock,
        )
