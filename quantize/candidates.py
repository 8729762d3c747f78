"""Which matrices are linear layers, by their names.

Only names that we know for a linear layer's count: in some families (GPT-2) a matrix of two
dimensions is stored the other way round, and to guess would ruin it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from quantize import dtypes
from quantize.errors import OptionError
from quantize.protocol import Linear, Skip
from quantize.source import SourceTensor

FUSED = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))
COLUMN = frozenset({"q_proj", "k_proj", "v_proj", "gate_proj", "up_proj", "qkv_proj"})
COLUMN |= {"gate_up_proj"}
ROW = frozenset({"o_proj", "down_proj"})
"""Devices share the columns' products by rows of the matrix, and the rows' by its columns."""
EMBEDDINGS = ("embed_tokens", "wte", "word_embeddings", "tok_embeddings")
HEAD = "lm_head"


def candidates(
    tensors: Sequence[SourceTensor],
    config: Mapping[str, Any],
    *,
    ignore: str | None,
    has_head: bool,
) -> tuple[list[Linear], list[Skip]]:
    """Linear layers that may be quantised, and matrices that stay, before a scheme is asked.

    Args:
        ignore: a regular expression; modules in whose names it is found stay.
        has_head: the output head counts too.

    Raises:
        OptionError: ``ignore`` is no regular expression, or there is no head.
    """
    try:
        ignored = re.compile(ignore) if ignore else None
    except re.error as error:
        raise OptionError(f"--ignore {ignore!r} is no regular expression: {error}") from None
    linears, skipped = [], []
    for tensor in _with_tied_head(tensors, config) if has_head else tensors:
        name = tensor.name.removesuffix(".weight")
        if len(tensor.shape) != 2 or name == tensor.name:
            continue
        reason = _reason(name, tensor, has_head=has_head)
        if reason is None and ignored is not None and ignored.search(name):
            reason = "--ignore"
        if reason is None:
            out, num_in = tensor.shape
            linears.append(Linear(name=name, num_out=out, num_in=num_in, dtype=tensor.dtype))
        else:
            skipped.append(Skip(name=name, reason=reason))
    if is_tied(tensors) and not has_head:
        skipped.append(Skip(name=HEAD, reason="it is the embedding; --lm-head unties it"))
    return linears, skipped


def _reason(name: str, tensor: SourceTensor, *, has_head: bool) -> str | None:
    """Why this matrix stays, before any scheme is asked."""
    last = name.rpartition(".")[2]
    if last in EMBEDDINGS:
        return "an embedding is looked up, not multiplied with"
    if last == HEAD:
        return None if has_head else "the output head; --lm-head takes it too"
    if last not in COLUMN | ROW:
        return "not known as a linear layer"
    if "visual" in name or "vision" in name:
        return "part of the vision tower"
    if tensor.dtype not in dtypes.FLOATS:
        return f"its numbers are {tensor.dtype}"
    return None


def is_tied(tensors: Sequence[SourceTensor]) -> bool:
    """Whether the head is stored as the embedding only."""
    return not any(tensor.name == f"{HEAD}.weight" for tensor in tensors)


def embedding(tensors: Sequence[SourceTensor]) -> SourceTensor | None:
    names = tuple(f"{name}.weight" for name in EMBEDDINGS)
    return next((tensor for tensor in tensors if tensor.name.endswith(names)), None)


def _with_tied_head(
    tensors: Sequence[SourceTensor], config: Mapping[str, Any]
) -> Sequence[SourceTensor]:
    """With a head of its own, made from the embedding where it has none."""
    if not is_tied(tensors):
        return tensors
    table = embedding(tensors)
    if table is None or not config.get("tie_word_embeddings", False):
        raise OptionError("--lm-head: this model has no output head that can be found.")
    head = SourceTensor(
        name=f"{HEAD}.weight",
        file=table.file,
        dtype=table.dtype,
        shape=table.shape,
        begin=table.begin,
        num_bytes=table.num_bytes,
    )
    return [*tensors, head]
