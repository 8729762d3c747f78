"""Requests on an engine leave traces; what is no whole answer is an error."""

from __future__ import annotations

import pytest

from benchmarks.engine import running
from serve.engine.fake import FakeEngine
from serve.engine.protocol import TokenChunk
from serve.engine.settings import EngineSettings, FakeSettings


class Chunked(FakeEngine):
    """Answers in the chunks that it is given, and keeps the requests."""

    def __init__(self, *chunks: TokenChunk) -> None:
        super().__init__(EngineSettings(fake=FakeSettings(vocab_size=50)))
        self.chunks, self.requests = chunks, []

    async def stream(self, request):
        self.requests.append(request)
        for chunk in self.chunks:
            yield chunk


async def test_a_trace_has_the_tokens_of_each_chunk_and_the_engines_last_word() -> None:
    engine = Chunked(
        TokenChunk(token_ids=[1], cached_tokens=3),
        TokenChunk(token_ids=[2, 3], cached_tokens=3, finish_reason="length"),
    )
    trace = await running.ask(engine, "one", [5, 6, 7, 8], 3)
    assert list(trace.chunk_tokens) == [1, 2]
    assert (trace.prompt_tokens, trace.completion_tokens, trace.cached_tokens) == (4, 3, 3)
    assert trace.finish_reason == "length"
    stamps = [trace.sent_at, *trace.arrivals_at, trace.finished_at]
    assert stamps == sorted(stamps)


async def test_requests_are_greedy_without_an_early_end_and_have_names_of_their_own() -> None:
    engine = Chunked(TokenChunk(token_ids=[1], finish_reason="length"))
    await running.ask_all(engine, "case", [[1], [2]], 9)
    assert len({request.request_id for request in engine.requests}) == 2
    for request in engine.requests:
        sampling = request.sampling
        assert (sampling.max_tokens, sampling.temperature, sampling.ignore_eos) == (9, 0, True)


async def test_an_answer_without_a_token_is_no_measurement() -> None:
    with pytest.raises(RuntimeError, match="no whole answer"):
        await running.ask_all(Chunked(), "case", [[1]], 4)


async def test_speed_asks_that_many_rounds_of_prompts_that_differ() -> None:
    engine = Chunked(TokenChunk(token_ids=[1, 2, 3, 4], finish_reason="length"))
    figures = await running.speed(engine, streams=3, max_tokens=4, rounds=2)
    prompts = {tuple(request.prompt_token_ids) for request in engine.requests}
    assert len(prompts) == len(engine.requests) == 6
    assert all(0 <= token < 50 for prompt in prompts for token in prompt)
    assert figures["tokens_s"] == pytest.approx(4 * figures["chunks_s"])
    assert figures["ttft_ms"] >= 0
