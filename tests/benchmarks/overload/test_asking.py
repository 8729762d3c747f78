"""The load's requests against a real server: what it counts is what came."""

from __future__ import annotations

from benchmarks.overload.asking import Question, ask, at_times, in_turn
from tests.serve.api.house import house, pipeline_of, running


def question(url: str, **fields: int) -> Question:
    return Question(url=url, key="none", max_tokens=fields.get("max_tokens", 8))


async def test_an_answer_is_whole_and_has_a_first_token() -> None:
    home = house(served_model_name=("measured",))
    async with running(home) as (_, url):
        (one,) = await at_times(question(url), [0.0])
        assert (one.status, one.is_whole) == (200, True)
        assert one.ttft_s is not None
        assert one.ttft_s <= one.e2e_s
        assert await in_turn(question(url), 0.0) == []


async def test_a_refusal_and_nothing_at_all_are_told_apart() -> None:
    home = house(pipeline_of(max_waiting=0), served_model_name=("measured",))
    home.pipeline.admission._capacity = 0
    async with running(home) as (_, url):
        refused = await ask(question(url))
    assert (refused.status, refused.ttft_s, refused.is_whole) == (503, None, False)
    assert (await ask(question(url))).status == 0
