"""The part of the engine contract that needs a capability: grammars, rules for tokens, logprobs of
the prompt. ``EngineContract`` has it.
"""

from __future__ import annotations

import asyncio
import re
from itertools import pairwise

import pytest

from serve.engine.grammars.grammar import Grammar
from serve.engine.protocol import Capability, Engine
from serve.errors import InvalidRequest
from tests.contracts.engine_requests import collect, held, prompt_of, request, tokens


class RulesContract:
    """Tests that an engine without the capability skips."""

    # Rules for tokens

    async def test_min_tokens_put_the_end_off(self, engine: Engine) -> None:
        self._needs(engine, "token_rules")
        free = await tokens(engine, request(max_tokens=12))
        stops = frozenset(free)
        early = await collect(engine, request(max_tokens=12, stop_token_ids=stops))
        assert sum(len(chunk.token_ids) for chunk in early) == 1
        late = await tokens(engine, request(max_tokens=12, stop_token_ids=stops, min_tokens=7))
        assert not stops.intersection(late[:7])

    async def test_only_allowed_tokens_come(self, engine: Engine) -> None:
        self._needs(engine, "token_rules")
        allowed = frozenset({5, 17, 400})
        for temperature in (0.0, 1.5):
            came = await tokens(
                engine,
                request(max_tokens=20, allowed_token_ids=allowed, temperature=temperature),
            )
            assert set(came) <= allowed

    async def test_bad_words_are_not_completed(self, engine: Engine) -> None:
        self._needs(engine, "token_rules")
        free = await tokens(engine, request(max_tokens=6))
        words = ((free[0],), (free[1], free[2]))
        came = await tokens(engine, request(max_tokens=30, bad_words=words))
        assert free[0] not in came
        assert (free[1], free[2]) not in set(pairwise(came))

    async def test_rules_name_tokens_that_are_there(self, engine: Engine) -> None:
        self._needs(engine, "token_rules")
        beyond = engine.info.vocab_size
        for rules in (
            {"allowed_token_ids": frozenset({beyond})},
            {"allowed_token_ids": frozenset()},
            {"bad_words": ((1, beyond),)},
            {"bad_words": ((),)},
            {"min_tokens": 9},
        ):
            with pytest.raises(InvalidRequest):
                await anext(engine.stream(request(**rules)))

    # Logprobs of the prompt

    @pytest.mark.parametrize("size", [1, 2, 70, 300])
    async def test_prompt_logprobs_come_first_and_once(self, engine: Engine, size: int) -> None:
        self._needs(engine, "prompt_logprobs")
        prompt = prompt_of(size)
        chunks = await collect(engine, request(prompt, num_prompt_logprobs=2, max_tokens=5))
        assert all(chunk.prompt_logprobs is None for chunk in chunks[1:])
        told = chunks[0].prompt_logprobs
        assert told is not None
        assert told[0] is None
        assert [one.token_id for one in told[1:] if one] == prompt[1:]
        for one in told[1:]:
            assert one is not None
            assert one.rank is not None
            assert len(one.top) == 2
            assert one.logprob <= one.top[0][1] <= 0
            assert (one.rank == 1) == (one.logprob == one.top[0][1])

    # Grammars

    async def test_completions_are_of_the_grammar(self, engine: Engine) -> None:
        self._needs(engine, "grammar")
        for temperature in (0.0, 1.0, 2.0):
            for text in (r"[0-9]{3}-[a-f]{2}", "(yes|no)"):
                chunks = await collect(engine, held(text, temperature=temperature))
                assert chunks[-1].finish_reason == "stop"
                token_ids = [token for chunk in chunks for token in chunk.token_ids]
                assert token_ids[-1] in engine.info.eos_token_ids
                assert re.fullmatch(text, self.text_of(engine, token_ids[:-1]))

    async def test_grammars_do_not_mix(self, engine: Engine) -> None:
        self._needs(engine, "grammar")
        patterns = ["[ab]{9}", "[cd]{9}", "[0-9]{5}", "x{12}"]
        requests = [held(text, temperature=1.5) for text in patterns * 2] + [request(max_tokens=20)]
        *answers, free = await asyncio.gather(*(tokens(engine, one) for one in requests))
        for text, answer in zip(patterns * 2, answers, strict=True):
            assert re.fullmatch(text, self.text_of(engine, answer[:-1]))
        assert len(free) == 20

    async def test_max_tokens_cut_a_grammar_short(self, engine: Engine) -> None:
        self._needs(engine, "grammar")
        chunks = await collect(engine, held("[0-9]{60}", max_tokens=4))
        assert chunks[-1].finish_reason == "length"
        token_ids = [token for chunk in chunks for token in chunk.token_ids]
        assert len(token_ids) == 4
        assert re.fullmatch("[0-9]{4,60}", self.text_of(engine, token_ids))

    async def test_a_seed_repeats_within_a_grammar(self, engine: Engine) -> None:
        self._needs(engine, "grammar")
        requests = [held("[a-z ]{30}", temperature=1.0, seed=3) for _ in range(3)]
        first, *rest = [await tokens(engine, one) for one in requests]
        assert rest == [first, first]

    async def test_logprobs_come_within_a_grammar(self, engine: Engine) -> None:
        self._needs(engine, "grammar")
        chunks = await collect(engine, held("id-[0-9]{4}-end", num_logprobs=1))
        for chunk in chunks:
            assert chunk.logprobs is not None
            assert [one.token_id for one in chunk.logprobs] == list(chunk.token_ids)

    async def test_what_is_no_grammar_is_refused_first(self, engine: Engine) -> None:
        self._needs(engine, "grammar")
        for grammar in (
            Grammar(kind="regex", text="(a"),
            Grammar(kind="regex", text=r"[^\s\S]"),
            Grammar(kind="json_schema", text="false"),
            Grammar(kind="json_schema", text='{"not": {}}'),
            Grammar(kind="lark", text="start: ("),
        ):
            with pytest.raises(InvalidRequest):
                await anext(engine.stream(request(grammar=grammar, ignore_eos=False)))
        with pytest.raises(InvalidRequest, match="ignore_eos"):
            await anext(engine.stream(held("a", ignore_eos=True)))
        assert engine.load().num_running + engine.load().num_waiting == 0

    @staticmethod
    def _needs(engine: Engine, capability: Capability) -> None:
        if capability not in engine.info.capabilities:
            pytest.skip(f"the engine does not offer {capability}")

    def text_of(self, engine: Engine, token_ids: list[int]) -> str:
        """The text of tokens. For engines with grammars."""
        raise NotImplementedError
