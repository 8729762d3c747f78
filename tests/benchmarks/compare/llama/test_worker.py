"""The worker continues prompts greedily, all in one batch, and stamps every token."""

from __future__ import annotations

import io
import json
import sys

import pytest

from tests.benchmarks.compare.llama.fakes import VOCAB, LlamaCpp, program


@pytest.fixture
def library() -> LlamaCpp:
    return LlamaCpp()


@pytest.fixture
def worker(library):
    with program("worker", llama_cpp=library) as module:
        yield module


def fed(library: LlamaCpp) -> list[tuple[int, int, int, bool]]:
    return [row for step in library.steps for row in step]


def test_each_sequence_continues_with_its_own_likeliest_token(library, worker) -> None:
    answer = worker.Model("m.gguf", 16, 2, 1).run([[3, 4], [5, 6, 7]], 3)
    assert [len(times) for times in answer["arrivals_at"]] == [3, 3]
    # The model says (token + position) % 11: after 4 at 1 comes 5, then 5 at 2 is followed by 7.
    assert [row[:3] for row in library.steps[2]] == [(5, 2, 0), (9, 3, 1)]
    assert [row[:3] for row in library.steps[3]] == [(7, 3, 0), (1, 4, 1)]
    times = [answer["sent_at"], *answer["arrivals_at"][0]]
    assert times == sorted(times)


def test_only_the_last_token_of_a_prompt_wants_logits(library, worker) -> None:
    worker.Model("m.gguf", 16, 1, 1).run([[1, 2, 3]], 1)
    assert [row[3] for row in fed(library)] == [False, False, True]


def test_a_prompt_longer_than_a_batch_goes_in_parts(library, worker) -> None:
    worker.Model("m.gguf", 600, 1, 1).run([[1] * 600], 1)
    assert [len(step) for step in library.steps] == [0, 512, 88]
    assert [row[1] for row in fed(library)] == list(range(600))


def test_every_sequence_has_room_for_its_length(library, worker) -> None:
    worker.Model("m.gguf", 257, 3, 2)
    assert library.settings.n_ctx >= 3 * 257
    assert (library.settings.n_seq_max, library.settings.n_threads) == (3, 2)


def test_it_says_that_it_is_ready_and_then_answers_line_by_line(
    worker, monkeypatch, capsys
) -> None:
    lines = [json.dumps({"prompts": [[1]], "max_tokens": count}) for count in (1, 2)]
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(lines)))
    worker.main(["m.gguf", "8", "1", "1"])
    ready, *answers = map(json.loads, capsys.readouterr().out.splitlines())
    assert "ready" in ready
    assert [len(answer["arrivals_at"][0]) for answer in answers] == [1, 2]


def test_what_llama_cpp_cannot_run_ends_it(library, worker) -> None:
    with pytest.raises(SystemExit, match="cannot run broken"):
        worker.Model("broken.gguf", 8, 1, 1)
    library.fails = True
    with pytest.raises(SystemExit, match="llama_decode failed"):
        worker.Model("m.gguf", 8, 1, 1).run([[VOCAB - 1]], 1)
