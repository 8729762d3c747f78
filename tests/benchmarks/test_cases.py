"""Cases have the same prompts for every system, and figures of whole answers alone."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from benchmarks.cases import Case, decodes, figures, intensity, prefills
from benchmarks.roofline import StepCost
from tests.benchmarks.traces import trace

CASES = [*prefills([1], [16]), *decodes([2], [8], 10)]


def test_cases_have_the_same_prompts_for_everyone_and_others_each_round() -> None:
    case = CASES[1]
    assert case.prompts(4096, 1) == case.prompts(4096, 1)
    assert case.prompts(4096, 1) != case.prompts(4096, 2)
    every = list(itertools.chain.from_iterable(case.prompts(100, 3)))
    assert min(every) >= 16
    assert max(every) < 100
    assert len(case.prompts(4096, 0)) == case.batch


def test_an_answer_of_another_length_is_no_measurement() -> None:
    short = [trace(0.0, 1.0, 2.0, prompt_tokens=8)] * 2
    with pytest.raises(RuntimeError, match="2 out instead of 8 and 10"):
        figures(CASES[1], short, None, None)


def test_prefill_needs_more_operations_per_byte_than_decode() -> None:
    cost = StepCost(
        weight_bytes=2000,
        kv_token_bytes=8,
        matrix_parameters=900,
        head_parameters=100,
        attention_flops=16,
    )
    one = Case(phase="decode", batch=1, prompt_tokens=64, max_tokens=16)
    assert intensity(one, cost) < intensity(replace(one, batch=8), cost)
    assert intensity(replace(one, batch=8), cost) < intensity(replace(one, phase="prefill"), cost)
