"""Bytes, against formulas written by hand and against tensors that are really made."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.memory import shapes, sizes
from models.memory.attention_shapes import AttentionLayer, attention_layers
from models.memory.shapes import Linear
from models.refs import QuantScheme

layer_kinds = st.builds(
    AttentionLayer,
    num_kv_heads=st.integers(1, 16),
    key_dim=st.integers(1, 192),
    value_dim=st.integers(1, 192),
    latent_dim=st.none() | st.integers(1, 600),
    window=st.none() | st.integers(1, 5000),
)
stacks = st.lists(layer_kinds, min_size=1, max_size=6)


def qwen2(**own):
    config = {
        "model_type": "qwen2",
        "hidden_size": 896,
        "intermediate_size": 4864,
        "num_hidden_layers": 24,
        "num_attention_heads": 14,
        "num_key_value_heads": 2,
        "vocab_size": 151936,
        "tie_word_embeddings": True,
    }
    return shapes.read(config | own)


def test_half_a_billion_by_hand():
    """Qwen2-0.5B: 494,032,768 parameters; 2 x 24 layers x 2 heads x 64 numbers for a token."""
    shape = qwen2()
    assert sizes.weights_bytes(shape) == 2 * 494_032_768
    assert sizes.weights_bytes(shape, item_bytes=4) == 4 * 494_032_768
    assert sizes.kv_bytes_per_token(shape.layers, item_bytes=2) == 2 * 24 * 2 * 64 * 2


def test_latents_by_hand():
    """DeepSeek-V3: 512 + 64 numbers for a token in each of 61 layers, 70 KB in bfloat16."""
    config = {
        "model_type": "deepseek_v3",
        "num_hidden_layers": 61,
        "num_attention_heads": 128,
        "num_key_value_heads": 128,
        "hidden_size": 7168,
        "kv_lora_rank": 512,
        "qk_nope_head_dim": 128,
        "qk_rope_head_dim": 64,
        "v_head_dim": 128,
    }
    layers = attention_layers(config)
    assert sizes.kv_bytes_per_token(layers, item_bytes=2) == 61 * 576 * 2
    assert sizes.kv_bytes_per_token(layers, item_bytes=2, num_gpus=8) == 61 * 576 * 2
    without = sizes.kv_bytes_per_token(layers, item_bytes=2, has_latents=False)
    assert without == 61 * 128 * (192 + 128) * 2


@given(layers=stacks, item=st.sampled_from([1, 2, 4]), tokens=st.integers(1, 20_000))
def test_a_sequence_is_its_tokens_as_far_as_windows_reach(layers, item, tokens):
    by_hand = 0
    for layer in layers:
        seen = tokens if layer.window is None else min(tokens, layer.window)
        numbers = layer.latent_dim or layer.num_kv_heads * (layer.key_dim + layer.value_dim)
        by_hand += seen * numbers * item
    assert sizes.kv_bytes_per_sequence(layers, tokens, item_bytes=item) == by_hand
    whole = sizes.kv_bytes_per_sequence(layers, tokens, item_bytes=item, has_windows=False)
    assert whole == tokens * sizes.kv_bytes_per_token(layers, item_bytes=item) >= by_hand


@given(layers=stacks, gpus=st.integers(1, 16))
def test_devices_share_heads_and_never_less_than_one(layers, gpus):
    alone = sizes.kv_bytes_per_token(layers, item_bytes=2, has_latents=False)
    shared = sizes.kv_bytes_per_token(layers, item_bytes=2, has_latents=False, num_gpus=gpus)
    assert alone <= shared * gpus
    if all(layer.num_kv_heads % gpus == 0 for layer in layers):
        assert alone == shared * gpus


@pytest.mark.parametrize(("num_out", "num_in"), [(96, 256), (5, 130), (64, 128)])
def test_schemes_against_tensors(num_out, num_in):
    """What compressed-tensors and bitsandbytes store for one matrix, made here."""
    linear = Linear(num_out, num_in)
    one = torch.zeros(num_out, num_in, dtype=torch.bfloat16)
    scale = torch.zeros(num_out, 1, dtype=torch.bfloat16)
    eight = torch.zeros(num_out, num_in, dtype=torch.int8).nbytes + scale.nbytes
    expected = {
        QuantScheme.NONE: one.nbytes,
        QuantScheme.INT8_W8A8: eight,
        QuantScheme.INT8_WEIGHT_ONLY: eight,
        QuantScheme.FP8: eight,
        QuantScheme.BNB_INT8: one.numel() + torch.zeros(num_out).nbytes,
        QuantScheme.NF4: -(-one.numel() // 2) + torch.zeros(-(-one.numel() // 64)).nbytes,
    }
    sensitive = replace(linear, is_sensitive=True)
    if num_in % sizes.GROUP:
        expected |= dict.fromkeys((QuantScheme.INT8, QuantScheme.INT4), one.nbytes)
        expected_sensitive = one.nbytes
    else:
        scales = torch.zeros(num_out, num_in // sizes.GROUP, dtype=torch.bfloat16)
        expected[QuantScheme.INT8] = expected_sensitive = one.numel() + scales.nbytes
        packed = torch.zeros(num_out, num_in // 8, dtype=torch.int32)
        zeros = torch.zeros(num_out // 8, num_in // sizes.GROUP, dtype=torch.int32)
        expected[QuantScheme.INT4] = packed.nbytes + scales.nbytes + zeros.nbytes
    for scheme, size in expected.items():
        assert sizes.linear_bytes(linear, scheme, 2) == size, scheme
    assert sizes.linear_bytes(sensitive, QuantScheme.INT4, 2) == expected_sensitive


@pytest.mark.parametrize("scheme", QuantScheme)
def test_quantised_is_smaller(scheme):
    shape = qwen2()
    size = sizes.weights_bytes(shape, scheme)
    if scheme is not QuantScheme.NONE:
        assert size < sizes.weights_bytes(shape)
    matrices = sum(x.num_parameters for x in shape.linears)
    tables = shape.embedding * 2
    if scheme in (QuantScheme.INT8, QuantScheme.INT4):  # 8 bits and scales of 128, twice
        tables = 2 * shape.embedding * (1 + 2 / 128)
    per_weight = (size - tables - shape.rest * 2) * 8 / matrices
    bits = {"none": 16, "int8": 8.5, "int4": 5.10, "nf4": 4.5}.get(str(scheme), 8.01)
    assert per_weight == pytest.approx(bits, abs=0.03)


def test_tables_are_quantised_where_an_engine_reads_them_so():
    embedding, head = 151936 * 896, 151936 * 896
    small = embedding * (1 + 2 / 128)
    full = qwen2(model_type="gemma2", head_dim=64)
    assert full.is_tied
    rest = sizes.weights_bytes(full, QuantScheme.INT8) - 2 * embedding
    own = qwen2(model_type="gemma2", head_dim=64, tie_word_embeddings=False)
    assert sizes.weights_bytes(own, QuantScheme.INT8) == rest + 2 * embedding + small
    assert sizes.weights_bytes(own, QuantScheme.FP8) > 2 * (embedding + head)
    four = embedding / 2 + embedding / 32 * 2
    saved = sizes.weights_bytes(qwen2(), QuantScheme.INT4) - sizes.weights_bytes(
        qwen2(tie_word_embeddings=False), QuantScheme.INT4
    )
    assert saved == small - four


@given(gpus=st.integers(1, 16), scheme=st.sampled_from(QuantScheme))
def test_devices_hold_everything_between_them(gpus, scheme):
    shape = qwen2()
    assert sizes.weights_bytes(shape, scheme, num_gpus=gpus) * gpus >= sizes.weights_bytes(
        shape, scheme
    )
