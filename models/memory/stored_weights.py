"""Bytes of weights as they are stored, and as our own engine holds them."""

from __future__ import annotations

from models.tensor_names import EMBEDDINGS, HEADS, parts_of
from models.weight_headers import Tensors

_ZERO_POINT = ".weight_zero_point"


def total_bytes(tensors: Tensors) -> int:
    """Bytes of all tensors."""
    return sum(tensor.entry.num_bytes for tensor in tensors.values())


def own_bytes(tensors: Tensors) -> int:
    """Bytes that our own engine holds: a copied head once, and zero points of 4 bits in bytes.

    Raises:
        OSError: a weight file cannot be read.
    """
    zero_points = sum(
        tensor.entry.num_bytes for name, tensor in tensors.items() if name.endswith(_ZERO_POINT)
    )
    return total_bytes(tensors) - _head_copy_bytes(tensors) + zero_points


def _head_copy_bytes(tensors: Tensors) -> int:
    """Bytes of an output head that is the embedding once more, as int8 and int4 store a tied one.

    vLLM reads and holds each; our own engine holds the two as one. Reads both, up to the first
    difference.
    """
    head, embedding = parts_of(HEADS, tensors), parts_of(EMBEDDINGS, tensors)
    if not head or set(head) != set(embedding):
        return 0
    if not all(tensors[name].equals(tensors[embedding[part]]) for part, name in head.items()):
        return 0
    return sum(tensors[name].entry.num_bytes for name in head.values())
