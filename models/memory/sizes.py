"""Bytes of weights and of the KV cache: the one home of these formulas, for `fit` and the server.

All functions are pure. What an engine does with the bytes (which share of the memory it takes, how
it rounds to blocks) is the caller's business; what `fit` assumes stands in models/memory/fit.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from models.memory.attention_shapes import AttentionLayer
from models.memory.families import READS_EMBEDDING
from models.memory.shapes import Linear, ModelShape
from models.refs import QuantScheme

DTYPE_BYTES: Mapping[str, int] = MappingProxyType({"float32": 4, "bfloat16": 2, "float16": 2})
GROUP = 32
"""Weights that share a scale in int8 and int4; a matrix that it does not divide stays as it is."""
_TABLE_GROUPS = (128, 64, 32)
"""The same of an embedding and an output head: the largest that divides."""
_NF4_BLOCK = 64
"""Weights that share a float32 in nf4; without double quantisation, as quantize/ writes it."""


def weights_bytes(
    shape: ModelShape,
    scheme: QuantScheme = QuantScheme.NONE,
    *,
    item_bytes: int = 2,
    num_gpus: int = 1,
    by_vllm: bool = True,
) -> int:
    """Bytes of the weights on one device.

    Norms, biases and routers keep their type, and but for int8 and int4 embedding and output head
    do; scales are counted.

    Args:
        shape: of the model.
        scheme: of the layers' matrices.
        item_bytes: of a number that is not quantised.
        num_gpus: devices that share each matrix; the embedding is shared too, the rest copied.
        by_vllm: vLLM holds a tied head that is quantised beside the embedding; our own batching
            holds the two as one, and int4's zero points in bytes.
    """
    tables = _tables_bytes(shape, scheme, item_bytes, by_vllm=by_vllm)
    matrices = sum(
        linear_bytes(linear, scheme, item_bytes, by_vllm=by_vllm) for linear in shape.linears
    )
    return -(-(tables + matrices) // num_gpus) + shape.rest * item_bytes


def linear_bytes(
    linear: Linear, scheme: QuantScheme, item_bytes: int, *, by_vllm: bool = True
) -> int:
    """Bytes of equal matrices with their scales."""
    num_weights = linear.num_out * linear.num_in
    match scheme:
        case QuantScheme.NONE:
            size = num_weights * item_bytes
        case QuantScheme.INT8_W8A8 | QuantScheme.INT8_WEIGHT_ONLY | QuantScheme.FP8:
            size = num_weights + linear.num_out * item_bytes
        case QuantScheme.INT8 | QuantScheme.INT4 if linear.num_in % GROUP:
            size = num_weights * item_bytes
        case QuantScheme.INT4 if not linear.is_sensitive:
            groups = num_weights // GROUP
            zero_points = groups // 2 if by_vllm else groups  # half a byte each, or a byte
            size = num_weights // 2 + groups * item_bytes + zero_points
        case QuantScheme.INT8 | QuantScheme.INT4:
            size = num_weights + num_weights // GROUP * item_bytes
        case QuantScheme.NF4:
            size = math.ceil(num_weights / 2) + 4 * math.ceil(num_weights / _NF4_BLOCK)
        case QuantScheme.BNB_INT8:
            size = num_weights + 4 * linear.num_out
    return size * linear.count


def _tables_bytes(shape: ModelShape, scheme: QuantScheme, item_bytes: int, *, by_vllm: bool) -> int:
    """Bytes of embedding and output head; a tied head is stored too once both are quantised.

    int4 has 4 bits for an embedding that is not the head too.
    """
    full = (shape.embedding + shape.head) * item_bytes
    groups = [size for size in _TABLE_GROUPS if shape.hidden_size % size == 0]
    if scheme not in (QuantScheme.INT8, QuantScheme.INT4) or not groups:
        return full
    small = shape.embedding + shape.embedding // groups[0] * item_bytes  # the head's too
    if shape.family in READS_EMBEDDING:
        if shape.is_tied and not by_vllm:
            return small
        if shape.is_tied or scheme is QuantScheme.INT8:
            return 2 * small
        return small + shape.embedding // 2 + shape.embedding // GROUP * item_bytes
    return full if shape.is_tied else shape.embedding * item_bytes + small


def kv_bytes_per_token(
    layers: Iterable[AttentionLayer],
    *,
    item_bytes: int,
    has_latents: bool = True,
    num_gpus: int = 1,
) -> int:
    """Bytes that one more token costs on one device, where no window is full yet.

    Args:
        layers: of the model.
        item_bytes: of a number in the cache.
        has_latents: whether the engine keeps MLA's latents (vLLM), or every head's keys and values.
        num_gpus: devices that share the heads. Fewer heads than devices are copied; so are latents.
    """
    return sum(_layer_bytes(layer, item_bytes, has_latents, num_gpus) for layer in layers)


def kv_bytes_per_sequence(
    layers: Iterable[AttentionLayer],
    num_tokens: int,
    *,
    item_bytes: int,
    has_windows: bool = True,
    has_latents: bool = True,
    num_gpus: int = 1,
) -> int:
    """Bytes of a sequence of ``num_tokens`` on one device.

    ``has_windows``: whether the engine frees what a sliding window has passed (vLLM on a GPU), or
    keeps all (our own batching). The others are those of ``kv_bytes_per_token``.
    """
    total = 0
    for layer in layers:
        kept = min(num_tokens, layer.window or num_tokens) if has_windows else num_tokens
        total += kept * _layer_bytes(layer, item_bytes, has_latents, num_gpus)
    return total


def _layer_bytes(layer: AttentionLayer, item_bytes: int, has_latents: bool, num_gpus: int) -> int:
    if has_latents and layer.latent_dim is not None:
        return layer.latent_dim * item_bytes
    heads = max(1, -(-layer.num_kv_heads // num_gpus))
    return heads * (layer.key_dim + layer.value_dim) * item_bytes
