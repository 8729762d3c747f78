"""llama.cpp's files against its full one: the same figures as ours, token by token."""

from __future__ import annotations

import io
import json
import sys

import numpy as np
import pytest
import torch

from benchmarks.quality import formulas
from tests.benchmarks.compare.llama.fakes import LlamaCpp, program


@pytest.fixture
def library() -> LlamaCpp:
    return LlamaCpp()


@pytest.fixture
def worker(library):
    with program("quality_worker", llama_cpp=library) as module:
        yield module


def test_its_figures_are_those_of_our_formulas(worker) -> None:
    source = np.random.default_rng(5)
    base, other = (source.normal(size=(6, 9)).astype(np.float32) * 4 for _ in range(2))
    tokens = [0, 8, 3, 3, 1, 7]
    columns = worker.compare(base, other, tokens)
    wanted = formulas.compare(torch.tensor(base), torch.tensor(other), torch.tensor(tokens))
    for name, values in columns.items():
        assert values == pytest.approx(getattr(wanted, name).tolist())


def test_a_file_against_itself_has_lost_nothing(worker) -> None:
    logits = np.array([[1000.0, 0.0, -1000.0]], np.float32)
    columns = worker.compare(logits, logits, [2])
    assert columns["kl"] == [0.0]
    assert columns["same_top"] == [True]
    assert columns["base_nll"] == [2000.0]


def test_one_line_for_each_quantised_file_with_every_scored_token(
    worker, library, monkeypatch, capsys
) -> None:
    scored = list(range(10)) * 10
    asked = {"sequences": [{"given": [1, 2], "scored": scored}, {"given": [3], "scored": [4]}]}
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(asked) + "\n"))
    worker.main(["2", "base.gguf", "a.gguf", "b.gguf"])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [len(line["kl"]) for line in lines] == [101, 101]
    # Never more than 64 distributions at a time, and logits of scored tokens alone.
    wanted = [sum(row[3] for row in step) for step in library.steps]
    assert max(wanted) == 64
    assert sum(wanted) == 3 * 101


def test_positions_go_on_from_part_to_part_and_begin_anew_with_a_sequence(worker, library) -> None:
    model = worker.Model("m.gguf", 700, 1)
    model.begin([1] * 600)
    model.logits([2, 3])
    assert [row[1] for step in library.steps for row in step] == list(range(602))
    model.begin([4])
    assert library.steps[-1] == [(4, 0, 0, False)]


def test_what_llama_cpp_cannot_run_ends_it(worker, library) -> None:
    with pytest.raises(SystemExit, match="cannot run broken"):
        worker.Model("broken.gguf", 8, 1)
    library.fails = True
    with pytest.raises(SystemExit, match="llama_decode failed"):
        worker.Model("m.gguf", 8, 1).begin([1])
