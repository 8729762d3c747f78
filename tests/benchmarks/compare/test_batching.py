"""transformers' continuous batching: every answer is a trace, and a failure is told."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from benchmarks.compare.batching import Batching


class Manager:
    """Stands in for transformers' own: answers last come first, each token half a second apart."""

    def __init__(self, error: str | None = None, *, is_silent: bool = False) -> None:
        self.error, self.is_silent = error, is_silent
        self.asked: list[tuple[str, list[int], int]] = []
        self.calls: list[str] = []
        self._partial = False

    def start(self) -> None:
        self.calls.append("start")

    def stop(self, *, block: bool) -> None:
        self.calls.append(f"stop, block={block}")

    def add_request(self, ids, *, request_id, max_new_tokens, record_timestamps) -> None:
        assert record_timestamps
        self.asked.append((request_id, ids, max_new_tokens))

    def get_result(self, timeout: float):
        if self.is_silent:
            return None
        self._partial = not self._partial
        name, ids, count = self.asked[-1]
        if not self._partial:
            self.asked.pop()
        return SimpleNamespace(
            error=self.error,
            is_finished=lambda is_over=not self._partial: is_over,
            request_id=name,
            prompt_ids=ids,
            generated_tokens=[7] * count,
            timestamps=[100 + 0.5 * step for step in range(count)],
        )


def batching(manager: Manager, batch: int = 2, length: int = 300) -> tuple[Batching, dict]:
    settings: dict = {}

    def init(**given):
        settings.update(given)
        return manager

    return Batching(SimpleNamespace(init_continuous_batching=init), batch, length), settings


async def test_every_answer_is_a_trace_with_the_managers_own_stamps() -> None:
    running, _ = batching(Manager())
    traces = await running.ask_all("case", [[1, 2, 3], [4]], 2)
    assert [trace.prompt_tokens for trace in traces] == [1, 3]
    for trace in traces:
        assert list(trace.arrivals_at) == [100.0, 100.5]
        assert (list(trace.chunk_tokens), trace.completion_tokens) == ([1, 1], 2)


def test_there_are_blocks_for_all_sequences_and_no_early_end() -> None:
    _, settings = batching(Manager(), batch=3, length=257)
    config = settings["continuous_batching_config"]
    assert config.num_blocks * config.page_size >= 3 * 257
    assert settings["generation_config"].eos_token_id == -1
    assert settings["generation_config"].do_sample is False


@pytest.mark.parametrize(
    ("manager", "message"),
    [(Manager("out of blocks"), "out of blocks"), (Manager(is_silent=True), "no result")],
)
async def test_an_answer_that_does_not_come_is_told(manager: Manager, message: str) -> None:
    running, _ = batching(manager)
    with pytest.raises(RuntimeError, match=message):
        await running.ask_all("case", [[1]], 2)


async def test_it_runs_until_it_is_closed() -> None:
    manager = Manager()
    running, _ = batching(manager)
    assert manager.calls == ["start"]
    await running.close()
    assert manager.calls == ["start", "stop, block=True"]
    assert torch.is_grad_enabled()
