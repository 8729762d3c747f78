"""One request's prompts in the prefix cache: what was known of them, what was taken, and why.

::

    looked_up ── the engine's first chunk ── its tokens ── the answer's end ── explained
      known.py     computed: now it is known   generated     answered            naming.py
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from serve.engine.protocol import EngineInfo
from serve.pipeline.answer import Answer, CollectedChoice
from serve.pipeline.cache_salt import CacheSalts
from serve.pipeline.events import (
    CacheExplained,
    ChatPrompt,
    ChoiceEvent,
    GenerateRequest,
    TextDelta,
    ToolCallDelta,
)
from serve.pipeline.prefix.known import KnownAnswer, KnownPrompt, KnownPrompts, Match, packed
from serve.pipeline.prefix.naming import Found, explain, explain_plainly
from serve.pipeline.prefix.parts import Parts, answer_of, parts_of
from serve.pipeline.prefix.placing import Places
from serve.pipeline.prompt_view import engine_prompt_logprobs
from serve.pipeline.render import Renderer
from serve.timeline import CacheCause

MAX_WATCHED: Final = 16
"""Most prompts of one request that are watched: those of a bulk job would push out all others."""


class CacheWatcher:
    """The watch over all requests of a model.

    Args:
        salts: of the prefix cache.
    """

    def __init__(self, renderer: Renderer, salts: CacheSalts) -> None:
        self._renderer = renderer
        self._salts = salts
        self._known = KnownPrompts()

    def watch(self, request: GenerateRequest, info: EngineInfo) -> Watch:
        """The watch over one request; it sees nothing where the engine has no prefix cache."""
        has_cache = "prefix_cache" in info.capabilities
        salt = self._salts.of(request.tenant, request.cache_salt)
        return Watch(
            request,
            known=self._known if has_cache else None,
            renderer=self._renderer,
            owner=f"{salt}/{request.adapter or ''}",
            info=info,
        )


@dataclass(slots=True)
class _Prompt:
    number: int
    token_ids: Sequence[int]
    ids: bytes
    parts: Parts
    match: Match | None
    cached_tokens: int | None = None
    known: KnownPrompt | None = None


@dataclass(slots=True)
class _Answer:
    token_ids: list[int] = field(default_factory=list)
    told: Answer = field(default_factory=Answer)


class Watch:
    """The watch over one request.

    Args:
        known: None where there is nothing to watch.
        owner: whose prompts its own are compared with, and nobody else's.
        info: of the engine.
    """

    def __init__(
        self,
        request: GenerateRequest,
        *,
        known: KnownPrompts | None,
        renderer: Renderer,
        owner: str,
        info: EngineInfo,
    ) -> None:
        self._request = request
        self._known = known
        self._renderer = renderer
        self._owner = owner
        self._info = info
        self._prompts: list[_Prompt] = []
        self._answers: dict[int, _Answer] = {}

    def look_up(self, token_ids: Sequence[int]) -> None:
        """Take the next one of the request's prompts, as it goes to the engine."""
        number = len(self._prompts)
        if self._known is None or number >= MAX_WATCHED:
            return
        ids = packed(token_ids)
        parts = parts_of(self._request.prompts[number])
        match = self._known.longest(self._owner, ids)
        self._prompts.append(_Prompt(number, token_ids, ids, parts, match))

    def computed(self, number: int, cached_tokens: int) -> None:
        """A prompt is computed: from now on it is known. Once for each candidate."""
        if self._known is None or number >= len(self._prompts):
            return
        prompt = self._prompts[number]
        if prompt.cached_tokens is None:
            prompt.known = self._known.add(
                self._request.tenant, self._owner, prompt.ids, prompt.parts
            )
        # The candidate that had to compute the most tells what was there before the request.
        before = cached_tokens if prompt.cached_tokens is None else prompt.cached_tokens
        prompt.cached_tokens = min(before, cached_tokens)

    def generated(
        self, index: int, number: int, token_ids: Sequence[int], events: Sequence[ChoiceEvent]
    ) -> None:
        """Tokens of a candidate, and what the client was told of them."""
        if number >= len(self._prompts):
            return
        answer = self._answers.setdefault(index, _Answer())
        answer.token_ids += token_ids
        for event in events:
            if isinstance(event, TextDelta | ToolCallDelta):
                answer.told.add(event)

    def ended(self, index: int, number: int) -> None:
        """A candidate is over, at its end or before: so far it is known behind its prompt."""
        answer = self._answers.pop(index, None)
        known = self._prompts[number].known if answer is not None else None
        if self._known is None or answer is None or known is None or len(answer.token_ids) < 2:
            return
        choice = next(iter(answer.told.choices), CollectedChoice(index))
        made = KnownAnswer(packed(answer.token_ids[:-1]), answer_of(choice))
        self._known.answered(self._request.tenant, known, made)

    async def explanations(self) -> list[CacheExplained]:
        """The fate of each prompt that was computed; their causes go into the record."""
        made: list[CacheExplained] = []
        causes: list[CacheCause] = self._request.timeline.cache_causes
        for prompt in self._prompts:
            if prompt.cached_tokens is None:
                continue
            found = self._found(prompt, prompt.cached_tokens)
            is_asked = self._request.explains_cache
            explained = None if is_asked else explain_plainly(found)
            if explained is None:
                explained = await asyncio.to_thread(explain, found, names_all=is_asked)
            made.append(explained)
            causes.append(made[-1].cause)
        return made

    def _found(self, prompt: _Prompt, cached_tokens: int) -> Found:
        request = self._request.prompts[prompt.number]
        is_chat = isinstance(request, ChatPrompt) and self._renderer.template is not None
        is_cut = self._request.truncates_to is not None
        return Found(
            number=prompt.number,
            parts=prompt.parts,
            ids=prompt.ids,
            num_tokens=len(prompt.token_ids),
            match=prompt.match,
            cached_tokens=cached_tokens,
            block_size=self._info.cache_block_size,
            places=Places(
                self._renderer.template, self._renderer.tokenizer, request, prompt.token_ids
            )
            if isinstance(request, ChatPrompt) and is_chat and not is_cut
            else None,
            is_bypassed=engine_prompt_logprobs(self._request) is not None,
            is_choosy=self._info.has_exact_prefixes and self._is_exact,
        )

    @property
    def _is_exact(self) -> bool:
        """Whether the answer's numbers are to be the same with the cache and without."""
        sampling = self._request.sampling
        has_logprobs = sampling.num_logprobs is not None or self._request.best_of is not None
        return sampling.seed is not None or has_logprobs
