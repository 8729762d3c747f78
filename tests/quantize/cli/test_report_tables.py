"""A plan and a report, for people and for programs."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from models.memory import fit
from models.memory.fit import Fit, Place, Request
from models.refs import QuantScheme
from quantize.cli import report_tables
from quantize.plan.choices import Choice
from quantize.plan.planning import plan
from quantize.plan.scheme_plan import QuantOptions, SchemePlan
from quantize.protocol import Method
from quantize.write.result import QuantReport
from quantize.write.row_chunks import LayerError
from tests.models.test_quality import QUALITY
from tests.quantize.source_tensors import layer, model


def planned(**options: object) -> SchemePlan:
    three = [*model(), *layer(1), *layer(2)]
    return plan(three, {"model_type": "llama"}, QuantOptions(**options))[0]


def shown(show: object, *given: object, **more: object) -> str:
    stream = io.StringIO()
    show(*given, Console(file=stream, width=200, highlight=False), **more)
    return stream.getvalue()


def fitting(memory_bytes: int) -> Fit:
    config = {
        "model_type": "llama",
        "hidden_size": 256,
        "intermediate_size": 512,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "vocab_size": 1000,
        "max_position_embeddings": 2048,
        "torch_dtype": "bfloat16",
    }
    return fit.fit(Request(config=config), QuantScheme.INT8, Place.GPU, memory_bytes)


def report(*errors: tuple[str, float, float]) -> QuantReport:
    return QuantReport(
        plan=planned(scheme=QuantScheme.INT8),
        digest="sha256:1",
        source_digest="sha256:2",
        layers=tuple(
            LayerError(name=name, error=error, rtn_error=rtn_error, energy=1.0)
            for name, error, rtn_error in errors
        ),
        num_resumed_bytes=0,
        seconds=61.23456,
        peak_memory_bytes=10**9,
    )


def test_the_facts_of_a_plan_are_json_with_sizes_by_part() -> None:
    facts = report_tables.plan_facts(planned(scheme=QuantScheme.INT4), [fitting(24 * 10**9)])
    assert json.loads(json.dumps(facts)) == facts
    assert (facts["scheme"], facts["method"], facts["num_bits"]) == ("int4", "search", 4)
    assert facts["parts"]["head"]["bits_per_weight"] == 8.126
    assert facts["num_layers"] == 23
    assert facts["fits"][0]["memory_bytes"] == 24 * 10**9
    assert "config" not in facts


def test_what_stays_is_a_fact_with_its_reason() -> None:
    facts = report_tables.plan_facts(planned(scheme=QuantScheme.INT8, ignore="down_proj"), [])
    assert facts["num_skipped"] == 3
    assert facts["skipped"][0] == {"name": "model.layers.0.mlp.down_proj", "reason": "--ignore"}


def test_a_plan_names_two_of_many_that_stay() -> None:
    text = shown(report_tables.print_plan, planned(scheme=QuantScheme.INT8, ignore="down_proj"), [])
    assert "model.layers.0.mlp.down_proj, model.layers.1.mlp.down_proj and 1 more: --ignore" in text
    assert "int8 (rtn, groups of 32)" in text
    assert "whatever the model's size" in text


def test_a_plan_says_its_variant_rows_and_calibration() -> None:
    by_row = planned(scheme=QuantScheme.INT8_W8A8)
    assert "int8-w8a8 (rtn, a scale for each row)" in shown(report_tables.print_plan, by_row, [])
    four = replace(planned(scheme=QuantScheme.INT4), method=Method.GPTQ)
    text = shown(report_tables.print_plan, four, [], choice=Choice.parse("int4-down"))
    assert "int4-down (gptq" in text
    assert "the whole model" in text


def test_a_plan_says_what_fits_and_what_stands_against_sharing() -> None:
    shared = replace(
        planned(scheme=QuantScheme.INT8),
        tensor_parallel=2,
        tensor_parallel_faults=("a: 3 rows", "b", "c", "d"),
    )
    text = shown(report_tables.print_plan, shared, [fitting(24 * 10**9), fitting(10**9)])
    assert "a: 3 rows; b; c" in text
    assert "c; d" not in text
    assert "24 GB GPU" in text
    assert "does not fit" in text


def test_a_report_shows_the_five_that_lost_most() -> None:
    errors = [(f"layer{number}", number / 100, number / 100) for number in range(7)]
    text = shown(report_tables.print_report, report(*errors))
    lines = [line.split() for line in text.splitlines()[1:]]
    assert lines == [[f"{number / 100:.3g}", f"layer{number}"] for number in (6, 5, 4, 3, 2)]
    assert "plain rounding" not in text


def test_a_report_names_plain_rounding_where_it_was_not_used() -> None:
    text = shown(report_tables.print_report, report(("m", 0.01, 0.02)))
    assert "relative error 0.01 (plain rounding: 0.02)" in text


def test_the_facts_of_a_report_are_json_with_each_layers_error() -> None:
    facts = report_tables.report_facts(report(("m", 0.01, 0.02)))
    assert json.loads(json.dumps(facts)) == facts
    assert facts["layers"][0]["relative_mse"] == pytest.approx(0.01)
    assert (facts["seconds"], facts["relative_mse"]) == (61.235, pytest.approx(0.01))


def test_quality_is_shown_with_a_complaint_where_it_is_too_low() -> None:
    low = shown(report_tables.print_quality, QUALITY, QuantScheme.INT8)
    assert low.startswith(f"lost: {QUALITY.line}")
    assert "TOO MUCH for int8" in low
    assert "TOO MUCH" not in shown(report_tables.print_quality, QUALITY, QuantScheme.INT4)
