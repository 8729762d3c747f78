"""Bytes and operations of a forward, against counts by hand and by transformers' own model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmarks import roofline
from benchmarks.metrics.batch import Batch
from benchmarks.roofline import Roofline
from models.errors import UnknownShapeError
from models.memory.shapes import published
from models.refs import QuantScheme
from models.store import DEMO_WEIGHTS
from tests.benchmarks.traces import trace

HALF_B = published()["qwen2-0.5b"]


def test_the_hand_calculation_of_the_docs() -> None:
    """docs/benchmarks.md has these numbers; here the code computes the same."""
    config = json.loads((DEMO_WEIGHTS / "config.json").read_bytes())
    cost = roofline.step_cost(config, QuantScheme.NONE, "float32")
    assert (cost.weight_bytes, cost.kv_token_bytes) == (23_094_272, 6_144)
    arrivals = [number / 135.6355 for number in range(1, 25)]
    limits = Roofline(
        device="cpu", threads=2, bytes_s=17.8617e9, kernel="sum", flops_s_by_dtype={"float32": 1.0}
    )
    batch = Batch([trace(0.0, *arrivals, prompt_tokens=64)], cost, limits)
    assert batch.decode_context == 76
    assert batch.mbu == pytest.approx(0.179, abs=0.0005)
    page = (Path(__file__).parents[2] / "docs/benchmarks.md").read_text("utf-8")
    for number in ("23,094,272", "6,144", "23,561,216", "135.6355", "17.8617", "17.9 %"):
        assert number in page


def test_a_step_of_the_half_billion_by_hand() -> None:
    cost = roofline.step_cost(HALF_B, QuantScheme.NONE, "float32")
    # Each layer: q and o 896 x 896, k and v 128 x 896, three of 4864 x 896.
    layer = 2 * 896 * 896 + 2 * 128 * 896 + 3 * 4864 * 896
    assert cost.matrix_parameters == 24 * layer
    assert cost.head_parameters == 151_936 * 896
    rest = 24 * (896 + 128 + 128 + 2 * 896) + 896
    assert cost.weight_bytes == 4 * (24 * layer + 151_936 * 896 + rest) == 1_976_131_072
    assert cost.kv_token_bytes == 24 * 2 * 2 * 64 * 4 == 24_576
    assert cost.decode_bytes(8, 100) == cost.weight_bytes + 8 * 100 * 24_576


def test_a_step_reads_all_that_a_tied_model_has() -> None:
    config = json.loads((DEMO_WEIGHTS / "config.json").read_bytes())
    cost = roofline.step_cost(config, QuantScheme.NONE)
    file = next(DEMO_WEIGHTS.glob("*.safetensors"))
    assert 0 <= file.stat().st_size - cost.weight_bytes < 20_000  # the file's own header


def test_smaller_weights_are_read_faster() -> None:
    sizes = [
        roofline.step_cost(HALF_B, scheme).weight_bytes
        for scheme in (QuantScheme.NONE, QuantScheme.INT8, QuantScheme.INT4)
    ]
    assert sizes == sorted(sizes, reverse=True)


def test_operations_of_a_prefill() -> None:
    cost = roofline.step_cost(HALF_B, QuantScheme.NONE)
    one, two = cost.prefill_flops(1), cost.prefill_flops(2)
    assert one == pytest.approx(cost.decode_flops(1, 1))
    assert two - one == 2 * cost.matrix_parameters + 2 * cost.attention_flops
    assert cost.attention_flops == 24 * 4 * 14 * 64


@pytest.mark.parametrize("model_type", ["mixtral", "deepseek_v3", "no-such-model"])
def test_what_is_not_known_has_no_cost(model_type: str, tmp_path: Path) -> None:
    mixture = dict(HALF_B) | {"model_type": model_type}
    (tmp_path / "config.json").write_text(json.dumps(mixture))
    assert roofline.cost_of(tmp_path, QuantScheme.NONE) is None
    with pytest.raises(UnknownShapeError):
        roofline.step_cost(mixture, QuantScheme.NONE)


def test_this_machine_has_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small and short: the figures are of no use, the ways are the real ones."""
    monkeypatch.setattr(roofline, "_READ_BYTES", 1 << 20)
    monkeypatch.setattr(roofline, "_MATRIX", 256)
    monkeypatch.setattr(roofline, "_SECONDS", 0.001)
    limits = roofline.measure()
    assert limits.bytes_s > 0
    assert {"float32", "bfloat16"} <= set(limits.flops_s_by_dtype)
    assert limits.flops_s == max(limits.flops_s_by_dtype.values())


@pytest.mark.parametrize(
    ("rates", "dtype"),
    [
        ({"bfloat16": 1.0, "float32": 60.0, "int8": 999.0}, "float32"),
        ({"bfloat16": 9.0, "float16": 10.0, "float32": 1.0}, "bfloat16"),
        ({"float16": 10.0, "float32": 1.0}, "float16"),
    ],
)
def test_the_fastest_type_is_a_floating_one(rates: dict[str, float], dtype: str) -> None:
    limits = Roofline(device="cpu", threads=2, bytes_s=1.0, kernel="sum", flops_s_by_dtype=rates)
    assert limits.dtype == dtype


class Gpu:
    """A stand-in for torch.cuda: a run takes 5 ms by its clock, and what is asked of it is kept."""

    def __init__(self, free_bytes: int) -> None:
        self.asked: list[str] = []
        self._free_bytes = free_bytes

    def Event(self, *, enable_timing: bool) -> Gpu:  # noqa: N802 - torch's name
        assert enable_timing
        return self

    def record(self) -> None:
        self.asked.append("record")

    def synchronize(self) -> None:
        self.asked.append("synchronize")

    def elapsed_time(self, end: Gpu) -> float:
        return 5.0 if end is self else 0.0

    def mem_get_info(self) -> tuple[int, int]:
        return self._free_bytes, 80 << 30


def test_a_gpu_is_timed_by_its_own_clock_once_it_is_warm(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = Gpu(80 << 30)
    monkeypatch.setattr(torch, "cuda", gpu)
    monkeypatch.setattr(roofline, "_SECONDS", 0.001)
    seconds = roofline._best_s(lambda: gpu.asked.append("run"), "cuda")
    assert seconds == 0.005
    a_run = ["synchronize", "record", "run", "record", "synchronize"]
    assert gpu.asked == ["run"] * 3 + a_run * 2


@pytest.mark.parametrize(
    ("free_bytes", "operand"), [(80 << 30, 1 << 30), (1 << 30, 1 << 28), (0, 1 << 20)]
)
def test_a_gpus_operands_are_of_a_gibibyte_where_there_is_room(
    free_bytes: int, operand: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "cuda", Gpu(free_bytes))
    assert roofline._operand_bytes("cuda") == operand
    assert roofline._operand_bytes("cpu") == roofline._READ_BYTES
