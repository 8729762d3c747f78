from __future__ import annotations

import json

import pytest

from models.cli.fit_report import Report
from models.memory import fit
from models.memory.fit import Place, Request
from models.refs import QuantScheme

CONFIG = {
    "model_type": "llama",
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "vocab_size": 32_000,
    "max_position_embeddings": 4096,
    "dtype": "bfloat16",
}
GB = 10**9


def report(*places: tuple[Place, int], schemes=(QuantScheme.NONE,), **request) -> Report:
    asked = Request(config=CONFIG, **request)
    return Report(
        name="m",
        request=asked,
        costs=[fit.weights(asked, scheme) for scheme in schemes],
        fits=[[fit.fit(asked, scheme, *place) for place in places] for scheme in schemes],
    )


def printed(made: Report, capsys) -> str:
    made.print()
    return " ".join(capsys.readouterr().out.split())


def test_json_has_the_figures_of_each_scheme_and_place():
    made = report((Place.GPU, 24 * GB), schemes=(QuantScheme.NONE, QuantScheme.INT4))
    document = json.loads(json.dumps(made.as_json()))
    assert (document["model"], document["num_gpus"]) == ("m", 1)
    full, small = document["schemes"]
    assert (full["scheme"], small["scheme"]) == ("none", "int4")
    assert full["fits"][0]["weights_bytes"] == full["weights_bytes"] > small["weights_bytes"]
    assert "weights" not in full["fits"][0]  # which would tell it twice
    assert full["fits"][0]["place"] == "gpu"


def test_without_a_memory_there_are_costs_alone(capsys):
    made = report()
    assert made.as_json()["schemes"][0]["fits"] == []
    assert "longest" not in printed(made, capsys)


def test_the_head_names_parameters_cache_and_length(capsys):
    said = printed(report(), capsys)
    cost = fit.weights(Request(config=CONFIG), QuantScheme.NONE)
    assert f"m: {cost.num_parameters:,} parameters, bfloat16" in said
    assert f"KV cache {cost.kv_bytes_per_token:,} bytes a token" in said
    assert "for 4,096 tokens" in said
    assert "on each of" not in said


def test_sizes_of_one_device_of_several_say_so(capsys):
    assert "on each of 2 GPUs" in printed(report(num_gpus=2), capsys)


@pytest.mark.parametrize(
    ("memory", "concurrency", "says"),
    [
        (1 * GB, 1, "does not fit -"),
        (1_590_600_000, 1, "no sequence fits -"),
        (24 * GB, 1, "4,096 614"),
    ],
)
def test_what_does_not_fit_has_no_number(capsys, memory, concurrency, says):
    assert says in printed(report((Place.GPU, memory), concurrency=concurrency), capsys)


def test_what_is_assumed_is_told_for_the_places_that_were_asked_for(capsys):
    on_gpu = printed(report((Place.GPU, 24 * GB)), capsys)
    assert "Assumed on a GPU: vLLM takes 92% of its memory" in on_gpu
    assert "on a CPU" not in on_gpu
    assert "40% of what is left" in printed(report((Place.CPU, 24 * GB)), capsys)


def test_a_column_is_named_after_its_memory(capsys):
    said = printed(report((Place.GPU, 24 << 30), concurrency=3), capsys)
    assert "25.77 GB GPU" in said
    assert "longest for 3" in said
