"""What fits where: against hand-made arithmetic, and the properties that people rely on."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import FitError, UnknownShapeError
from models.memory import fit, shapes, sizes
from models.memory.fit import Place, Request
from models.refs import QuantScheme

GB = 10**9
ALIASES = sorted(shapes.published())


def of(alias: str, **asked) -> Request:
    return Request(config=shapes.published()[alias], **asked)


def test_seven_billion_on_a_24_gb_gpu_by_hand():
    """Qwen2-7B: 57,344 bytes a token (2 x 28 layers x 4 heads x 128 x 2 bytes)."""
    made = fit.fit(of("qwen2-7b"), QuantScheme.NONE, Place.GPU, 24 * GB)
    overhead = (1 << 30) + 2048 * (3 * 18944 + 4 * 3584) * 2 + 8 * 256 * 152064
    assert made.overhead_bytes == overhead
    assert made.weights.weights_bytes == 2 * 7_615_616_512
    room = int(24 * GB * 0.92) - 2 * 7_615_616_512 - overhead
    assert made.kv_room_bytes == room
    assert made.weights.kv_bytes_per_token == 57_344
    assert made.weights.kv_bytes_per_sequence == 57_344 * 32_768
    assert made.sequences == room // (57_344 * 32_768)
    assert made.longest_context == 32_768
    eight = fit.fit(of("qwen2-7b", concurrency=8), QuantScheme.NONE, Place.GPU, 24 * GB)
    assert eight.longest_context == room // 8 // (57_344 * 16) * 16


def test_a_cpu_counts_a_tied_head_once_and_shares_what_is_left():
    made = fit.fit(of("qwen2-0.5b"), QuantScheme.NONE, Place.CPU, 8 * GB)
    assert made.weights.weights_bytes == 2 * 494_032_768
    left = 8 * GB - made.overhead_bytes - made.weights.weights_bytes
    assert made.kv_room_bytes == int(left * 0.4)


def test_windows_are_freed_on_a_gpu_only():
    """Gemma 3 1B: 22 of 26 layers see 512 tokens; one key-value head of 256."""
    a_layer = 2 * 256 * 2
    gpu = fit.weights(of("gemma3-1b"), QuantScheme.NONE, Place.GPU)
    assert gpu.kv_bytes_per_sequence == (22 * 512 + 4 * 32_768) * a_layer
    cpu = fit.weights(of("gemma3-1b"), QuantScheme.NONE, Place.CPU)
    assert cpu.kv_bytes_per_sequence == 26 * 32_768 * a_layer


def test_fewer_heads_than_gpus_are_copied():
    whole = fit.weights(of("qwen2.5-3b"), QuantScheme.NONE)
    for gpus, share in ((2, 2), (4, 2), (8, 2)):  # it has two heads for keys and values
        part = fit.weights(of("qwen2.5-3b", num_gpus=gpus), QuantScheme.NONE)
        assert part.kv_bytes_per_token == whole.kv_bytes_per_token // share
        assert part.weights_bytes * gpus >= whole.weights_bytes


@given(
    alias=st.sampled_from(ALIASES),
    scheme=st.sampled_from(QuantScheme),
    place=st.sampled_from(Place),
    memory=st.integers(1, 200 * GB),
    concurrency=st.integers(1, 300),
    kv_item=st.sampled_from([None, 1, 2]),
)
def test_what_is_said_to_fit_fits_and_no_more_would(
    *, alias, scheme, place, memory, concurrency, kv_item
):
    request = of(alias, concurrency=concurrency, kv_item_bytes=kv_item)
    made = fit.fit(request, scheme, place, memory)
    cost = fit._per_sequence(shapes.read(request.config), request, place)
    room = max(0, made.kv_room_bytes)
    longest = made.longest_context
    assert 0 <= longest <= made.weights.context
    assert longest == 0 or concurrency * cost(longest) <= room
    assert longest == made.weights.context or concurrency * cost(longest + 1) > room
    assert made.sequences * cost(made.weights.context) <= room
    total = made.weights.weights_bytes + made.overhead_bytes + room
    assert room == 0 or total <= made.usable_bytes <= memory


@given(
    alias=st.sampled_from(ALIASES),
    scheme=st.sampled_from(QuantScheme),
    place=st.sampled_from(Place),
    memory=st.integers(1, 100 * GB),
    more=st.integers(0, 100 * GB),
)
def test_more_memory_never_fits_less(alias, scheme, place, memory, more):
    small = fit.fit(of(alias), scheme, place, memory)
    large = fit.fit(of(alias), scheme, place, memory + more)
    assert small.longest_context <= large.longest_context
    assert small.sequences <= large.sequences


def test_context_is_the_models_or_less():
    assert fit.weights(of("phi4", context=100), QuantScheme.NONE).context == 100
    with pytest.raises(FitError, match="more than the model's own 16384"):
        fit.weights(of("phi4", context=16_385), QuantScheme.NONE)
    config = {k: v for k, v in of("phi4").config.items() if k != "max_position_embeddings"}
    with pytest.raises(FitError, match="--context"):
        fit.weights(Request(config=config), QuantScheme.NONE)


def test_heads_must_divide():
    with pytest.raises(FitError, match="--tp 3 does not divide this model's 28"):
        fit.weights(of("qwen2-7b", num_gpus=3), QuantScheme.NONE)


def test_what_is_stored_counts_where_it_is_quantised():
    made = fit.weights(of("qwen2-7b", weights_bytes=5 * GB, num_gpus=2), QuantScheme.INT4)
    assert made.weights_bytes == 5 * GB // 2


@pytest.mark.parametrize(
    ("config", "dtype"),
    [
        ({"dtype": "bfloat16"}, "bfloat16"),
        ({"torch_dtype": "torch.float16"}, "float16"),
        ({"text_config": {"dtype": "float16"}, "dtype": "float32"}, "float16"),
        ({"dtype": "float64"}, "float32"),
        ({}, "float32"),
    ],
)
def test_type_of_the_weights(config, dtype):
    assert fit.dtype_of(config) == dtype


def test_what_config_does_not_tell_is_said():
    with pytest.raises(UnknownShapeError, match="'mamba'"):
        fit.weights(Request(config={"model_type": "mamba"}), QuantScheme.NONE)


def test_every_figure_is_a_field():
    names = {field.name for field in dataclasses.fields(fit.Fit)}
    assert {"kv_room_bytes", "longest_context", "sequences", "overhead_bytes"} <= names
    assert sizes.GROUP == 32
