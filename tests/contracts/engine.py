"""The Engine contract as tests: every line of serve/engine/protocol.py's docstring.

Subclass ``EngineContract`` per engine and give it two fixtures:

- ``engine``: one that is up, of at most 8 running sequences and at least 512 tokens of context,
  whose model can give many tokens without an end-of-sequence token when ``ignore_eos`` is set;
- ``kill``: a function that makes a running engine die at its next step.

One of the capability ``grammar`` also gives ``text_of``.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import replace

import pytest

from serve.engine.grammars.grammar import Grammar
from serve.engine.protocol import Engine
from serve.errors import (
    ContextLengthExceeded,
    EngineDeadError,
    InvalidRequest,
    UnsupportedField,
)
from tests.contracts.engine_requests import collect, idle, prompt_of, request, tokens
from tests.contracts.engine_rules import RulesContract

Kill = Callable[[Engine], None]


class EngineContract(RulesContract):
    """Every engine passes all of it."""

    @pytest.fixture
    def engine(self) -> AsyncIterator[Engine]:
        raise NotImplementedError

    @pytest.fixture
    def kill(self) -> Kill:
        raise NotImplementedError

    async def test_an_adapter_that_is_not_there_is_refused(self, engine: Engine) -> None:
        with pytest.raises(InvalidRequest, match='no adapter "nobody"'):
            await collect(engine, replace(request(), adapter="nobody"))

    # Shape of a stream

    async def test_chunks_carry_tokens_and_the_last_one_the_reason(self, engine: Engine) -> None:
        chunks = await collect(engine, request(max_tokens=20))
        assert all(chunk.token_ids for chunk in chunks)
        assert [chunk.finish_reason for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
        assert chunks[-1].finish_reason == "length"

    @pytest.mark.parametrize("max_tokens", [1, 2, 3, 50])
    async def test_length_means_exactly_max_tokens(self, engine: Engine, max_tokens: int) -> None:
        assert len(await tokens(engine, request(max_tokens=max_tokens))) == max_tokens

    async def test_token_ids_are_of_the_vocabulary(self, engine: Engine) -> None:
        token_ids = await tokens(engine, request(max_tokens=50, temperature=2.0))
        assert all(0 <= token < engine.info.vocab_size for token in token_ids)

    async def test_cached_tokens_stay_the_same(self, engine: Engine) -> None:
        assert len({c.cached_tokens for c in await collect(engine, request(max_tokens=20))}) == 1

    # Stopping

    async def test_stop_token_ends_the_stream_and_is_counted(self, engine: Engine) -> None:
        free = await tokens(engine, request(max_tokens=12))
        stop = free[5]
        chunks = await collect(engine, request(max_tokens=12, stop_token_ids=frozenset({stop})))
        assert chunks[-1].finish_reason == "stop"
        token_ids = [token for chunk in chunks for token in chunk.token_ids]
        assert token_ids == free[: free.index(stop) + 1]

    async def test_stop_on_the_last_token_is_stop(self, engine: Engine) -> None:
        free = await tokens(engine, request(max_tokens=6))
        position = free.index(free[-1]) + 1
        engine_request = request(max_tokens=position, stop_token_ids=frozenset({free[-1]}))
        assert (await collect(engine, engine_request))[-1].finish_reason == "stop"

    async def test_end_of_sequence_stops_unless_ignored(self, engine: Engine) -> None:
        eos = min(engine.info.eos_token_ids)
        bias = {eos: 100.0}
        heeded = await collect(engine, request(ignore_eos=False, logit_bias=bias, max_tokens=200))
        ignored = await collect(engine, request(ignore_eos=True, logit_bias=bias, max_tokens=200))
        assert sum(len(chunk.token_ids) for chunk in ignored) == 200
        assert ignored[-1].finish_reason == "length"
        token_ids = [token for chunk in heeded for token in chunk.token_ids]
        if heeded[-1].finish_reason == "stop":
            assert token_ids.count(eos) == 1
            assert token_ids[-1] == eos
        else:  # an engine that does not model bias just never says eos
            assert eos not in token_ids

    # Repeatability

    async def test_temperature_zero_repeats(self, engine: Engine) -> None:
        requests = [request(prompt_of(17), max_tokens=20) for _ in range(3)]
        first, *rest = [await tokens(engine, one) for one in requests]
        assert rest == [first, first]

    async def test_a_seed_repeats(self, engine: Engine) -> None:
        requests = [request(temperature=1.0, seed=7, max_tokens=20) for _ in range(3)]
        first, *rest = [await tokens(engine, one) for one in requests]
        assert rest == [first, first]

    async def test_no_seed_is_fresh(self, engine: Engine) -> None:
        requests = [request(temperature=2.0, max_tokens=30) for _ in range(4)]
        assert len({tuple(await tokens(engine, one)) for one in requests}) > 1

    async def test_other_seeds_differ(self, engine: Engine) -> None:
        requests = [request(temperature=2.0, seed=seed, max_tokens=30) for seed in range(4)]
        assert len({tuple(await tokens(engine, one)) for one in requests}) > 1

    # Together

    async def test_concurrent_streams_do_not_mix(self, engine: Engine) -> None:
        prompts = [prompt_of(3 + 7 * index, seed=index) for index in range(8)]
        alone = [await tokens(engine, request(prompt, max_tokens=15)) for prompt in prompts]
        both = await asyncio.gather(
            *(tokens(engine, request(prompt, max_tokens=15)) for prompt in prompts)
        )
        assert both == alone

    async def test_seeds_hold_in_a_crowd(self, engine: Engine) -> None:
        requests = [
            [request(prompt_of(9, s), temperature=1.0, seed=s, top_p=0.9) for s in range(6)]
            for _ in range(2)
        ]
        alone = [await tokens(engine, one) for one in requests[0]]
        assert await asyncio.gather(*(tokens(engine, one) for one in requests[1])) == alone

    async def test_more_streams_than_slots(self, engine: Engine) -> None:
        async with asyncio.TaskGroup() as group:
            requests = [request(prompt_of(4, n), max_tokens=1 + n % 9) for n in range(64)]
            tasks = [group.create_task(tokens(engine, one)) for one in requests]
            watched = group.create_task(self._most_running(engine, tasks))
        assert [len(task.result()) for task in tasks] == [1 + n % 9 for n in range(64)]
        assert watched.result() <= engine.info.max_num_seqs
        await idle(engine)
        assert engine.load().kv_cache_usage == 0

    @staticmethod
    async def _most_running(engine: Engine, tasks: list[asyncio.Task[list[int]]]) -> int:
        most = 0
        while not all(task.done() for task in tasks):
            load = engine.load()
            most = max(most, load.num_running)
            assert 0 <= load.kv_cache_usage <= 1
            await asyncio.sleep(0.001)  # the engine's thread needs the interpreter, too
        return most

    # Refusals

    @pytest.mark.parametrize("excess", [1, 1000])
    async def test_what_does_not_fit_is_refused_first(self, engine: Engine, excess: int) -> None:
        engine_request = request(prompt_of(10), max_tokens=engine.info.max_model_len - 10 + excess)
        with pytest.raises(ContextLengthExceeded):
            await anext(engine.stream(engine_request))
        with pytest.raises(ContextLengthExceeded):
            await anext(engine.stream(request(prompt_of(engine.info.max_model_len), max_tokens=1)))
        assert engine.load().num_running == 0

    async def test_what_just_fits_is_served(self, engine: Engine) -> None:
        size = engine.info.max_model_len - 4
        assert len(await tokens(engine, request(prompt_of(size), max_tokens=4))) == 4

    async def test_empty_prompts_and_unknown_tokens_are_refused(self, engine: Engine) -> None:
        for prompt in ([], [1, engine.info.vocab_size], [-1]):
            with pytest.raises(InvalidRequest):
                await anext(engine.stream(request(prompt)))
        with pytest.raises(InvalidRequest):
            await anext(engine.stream(request(logit_bias={engine.info.vocab_size: 1.0})))

    async def test_a_grammar_needs_the_capability(self, engine: Engine) -> None:
        if "grammar" in engine.info.capabilities:
            pytest.skip("the engine can hold a completion to a grammar")
        engine_request = request(grammar=Grammar(kind="regex", text="[ab]+"))
        with pytest.raises(UnsupportedField, match=r"grammar \(regex\)\. Leave it out"):
            await anext(engine.stream(engine_request))
        assert engine.load().num_running + engine.load().num_waiting == 0

    # A prompt is computed once for those of one salt

    async def test_what_is_cached_is_told_and_is_of_one_salt_alone(self, engine: Engine) -> None:
        if "prefix_cache" not in engine.info.capabilities:
            pytest.skip("the engine keeps no prefixes")
        salt, prompt = secrets.token_hex(8), prompt_of(300, seed=77)
        cached, answers = [], []
        for name, asked in (
            (salt, prompt),
            (salt, prompt),
            (salt, [*prompt[:-20], *prompt_of(20, seed=78)]),
            (f"{salt} of another", prompt),
            (salt, [prompt[0] + 1, *prompt[1:]]),
        ):
            chunks = await collect(engine, replace(request(asked), cache_salt=name))
            answers.append([token for chunk in chunks for token in chunk.token_ids])
            [told] = {chunk.cached_tokens for chunk in chunks}
            cached.append(told)
        assert 0 < cached[2] <= cached[1] < len(prompt)
        assert [cached[index] for index in (0, 3, 4)] == [0, 0, 0]
        assert answers[0] == answers[1] == answers[3]

    # Closing is the abort

    async def test_a_stream_that_never_began_holds_nothing(self, engine: Engine) -> None:
        stream = engine.stream(request())
        assert engine.load().num_running + engine.load().num_waiting == 0
        await stream.aclose()

    @pytest.mark.parametrize("num_chunks", [1, 2, 5])
    async def test_closing_frees_the_slot(self, engine: Engine, num_chunks: int) -> None:
        async with aclosing(engine.stream(request(max_tokens=400))) as stream:
            for _ in range(num_chunks):
                await anext(stream)
        await idle(engine)
        assert engine.load().kv_cache_usage == 0

    async def test_cancelling_before_the_first_chunk(self, engine: Engine) -> None:
        task = asyncio.create_task(collect(engine, request(prompt_of(300), max_tokens=100)))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await idle(engine)

    async def test_cancelling_while_waiting(self, engine: Engine) -> None:
        slots = engine.info.max_num_seqs
        runners = [engine.stream(request(prompt_of(3, n), max_tokens=450)) for n in range(slots)]
        for stream in runners:
            await anext(stream)
        late = asyncio.create_task(collect(engine, request(max_tokens=5)))
        await asyncio.sleep(0.01)
        late.cancel()
        with pytest.raises(asyncio.CancelledError):
            await late
        for stream in runners:
            await stream.aclose()
        await idle(engine)
        assert len(await tokens(engine, request(max_tokens=5))) == 5

    async def test_closing_at_random_points(self, engine: Engine) -> None:
        source = random.Random(3)

        async def one(index: int) -> None:
            engine_request = request(prompt_of(source.randrange(1, 80), index), max_tokens=40)
            task = asyncio.create_task(collect(engine, engine_request))
            await asyncio.sleep(source.random() * 0.05)
            task.cancel()
            try:
                token_ids = [token for chunk in await task for token in chunk.token_ids]
            except asyncio.CancelledError:
                return
            assert len(token_ids) == 40

        await asyncio.gather(*(one(index) for index in range(60)))
        await idle(engine)
        assert engine.load().kv_cache_usage == 0
        await engine.check_health()

    # Logprobs

    @pytest.mark.parametrize("count", [0, 1, 5, 20])
    async def test_logprobs_come_one_per_token(self, engine: Engine, count: int) -> None:
        if "logprobs" not in engine.info.capabilities:
            pytest.skip("the engine offers no logprobs")
        chunks = await collect(engine, request(num_logprobs=count, max_tokens=6))
        for chunk in chunks:
            assert chunk.logprobs is not None
            assert [one.token_id for one in chunk.logprobs] == list(chunk.token_ids)
            for one in chunk.logprobs:
                assert one.logprob <= 0
                values = [value for _, value in one.top]
                assert len(values) == count
                assert values == sorted(values, reverse=True)
                if count:  # greedy takes the best
                    assert one.top[0] == (one.token_id, one.logprob)

    async def test_no_logprobs_unless_asked(self, engine: Engine) -> None:
        assert all(chunk.logprobs is None for chunk in await collect(engine, request()))

    # Health, death and the end

    async def test_steps_only_grow(self, engine: Engine) -> None:
        seen = [engine.load().num_steps]
        for _ in range(3):
            await tokens(engine, request())
            seen.append(engine.load().num_steps)
        assert seen == sorted(set(seen))
        await engine.check_health()

    async def test_death_reaches_every_open_stream(self, engine: Engine, kill: Kill) -> None:
        streams = [
            engine.stream(request(prompt_of(4, n), max_tokens=400))
            for n in range(engine.info.max_num_seqs)
        ]
        for stream in streams:
            await anext(stream)
        late = asyncio.create_task(collect(engine, request(max_tokens=400)))
        await asyncio.sleep(0)
        kill(engine)
        for stream in streams:
            with pytest.raises(EngineDeadError):
                async for _ in stream:
                    pass
        with pytest.raises(EngineDeadError):
            await late
        with pytest.raises(EngineDeadError):
            await engine.check_health()
        with pytest.raises(EngineDeadError):
            await anext(engine.stream(request()))
        await idle(engine)

    async def test_close_ends_open_streams_and_repeats(self, engine: Engine) -> None:
        stream = engine.stream(request(max_tokens=400))
        await anext(stream)
        await engine.close()
        with pytest.raises(EngineDeadError):
            async for _ in stream:
                pass
        await engine.close()
        assert engine.load().num_running == 0
        with pytest.raises(EngineDeadError):
            await engine.check_health()
