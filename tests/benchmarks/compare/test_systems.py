"""A system's label, the room that its cases need, and what a step of it costs."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.cases import Case
from benchmarks.compare.systems import Bench, System, Up
from models.refs import QuantScheme
from models.store import demo

NONE, INT8 = QuantScheme.NONE, QuantScheme.INT8
CASES = (
    Case(phase="prefill", batch=1, prompt_tokens=300, max_tokens=1),
    Case(phase="decode", batch=8, prompt_tokens=64, max_tokens=24),
)


class Nothing:
    """A system that is up and is asked nothing."""


def bench(dtype="auto") -> Bench:
    return Bench(full=demo(), cache_dir=Path(), dtype=dtype, cases=CASES, llama_python=None)


def test_a_label_names_the_scheme_only_where_there_is_one() -> None:
    full = System(name="x", scheme=NONE, via="library", start=None)
    assert full.label == "x"
    assert System(name="x", scheme=INT8, via="library", start=None).label == "x int8"


def test_a_bench_is_large_enough_for_every_case() -> None:
    assert bench().batch == 8
    assert bench().length >= 301


def test_what_a_step_reads_is_told_for_other_files_too() -> None:
    up = Up(running=Nothing(), weight_bytes=123, kv_dtype="float16")
    cost = up.cost(bench(), NONE)
    config = json.loads((demo().path / "config.json").read_bytes())
    assert cost is not None
    assert cost.weight_bytes == 123
    assert cost.kv_token_bytes == config["num_hidden_layers"] * 2 * 2 * 64 * 2


def test_without_files_of_its_own_a_step_reads_what_the_scheme_stores() -> None:
    up = Up(running=Nothing())
    full, small = up.cost(bench("float32"), NONE), up.cost(bench("float32"), INT8)
    assert full is not None
    assert small is not None
    assert small.weight_bytes < full.weight_bytes
    assert small.kv_token_bytes == full.kv_token_bytes
