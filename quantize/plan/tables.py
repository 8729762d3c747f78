"""The output head and the embedding, half of a small model's bytes: what becomes of them.

int8 and int4 store both in 8 bits, where engines read them so. A head that is stored as the
embedding only is then written beside it, with the same numbers: vLLM reads each by its own name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from models.memory.families import READS_EMBEDDING
from models.refs import QuantScheme
from models.tensor_names import EMBEDDINGS, HEADS, weight_of
from quantize.errors import OptionError
from quantize.write.source import SourceTensor

HEAD = HEADS[0]
"""The name of the head that is written."""
READS_NO_HEAD = frozenset(
    {"bloom", "falcon_h1", "gpt_oss", "jamba", "mamba", "mamba2", "opt", "plamo3", "qwen3_next"}
    | {"step3_text", "zamba2"}
)
"""Values of ``model_type`` for which vLLM 0.32 gives the output head no quantisation."""
TAKES_BOTH = frozenset({QuantScheme.INT8, QuantScheme.INT4})
"""Schemes that have a form for an embedding, and take it and the head unless an option
says otherwise."""


class Width(StrEnum):
    """The bits of one of them; 4 are for the embedding of int4."""

    EIGHT = "8"
    FOUR = "4"
    FULL = "full"


_QUANTISED = (Width.EIGHT, Width.FOUR)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stays:
    """The reason why each stays as it is; None where it is quantised."""

    head: str | None
    embedding: str | None


def stays(
    tensors: Sequence[SourceTensor],
    config: Mapping[str, Any],
    scheme: QuantScheme,
    *,
    head: Width | None,
    embeddings: Width | None,
) -> Stays:
    """The decision for a model.

    Args:
        head: as the user asks; None takes the scheme's own way.
        embeddings: the same.

    Raises:
        OptionError: what is asked for cannot be.
    """
    kind = str(config.get("model_type"))
    embedding = _embedding(scheme, kind, embeddings)
    fault = _head_fault(tensors, config, kind)
    if fault is not None and head is Width.EIGHT:
        raise OptionError(f"--lm-head 8: {fault}.")
    if head is Width.FULL:
        fault = "--lm-head full"
    elif head is None and scheme not in TAKES_BOTH:
        fault = "the output head; --lm-head 8 takes it too"
    elif head is None and fault is None and embedding is not None and is_tied(tensors):
        fault = "it is the embedding, which stays; --lm-head 8 unties it"
    if fault is not None and embedding is None and is_tied(tensors):
        if embeddings in _QUANTISED:
            raise OptionError(
                f"--embeddings {embeddings}: the embedding is the output head too, and that stays "
                f"({fault}). Leave both options out, or give --lm-head 8."
            )
        embedding = f"it is the output head too, and that stays ({fault})"
    return Stays(head=fault, embedding=embedding)


def is_tied(tensors: Sequence[SourceTensor]) -> bool:
    """Whether the head is stored as the embedding only."""
    return weight_of(HEADS, (tensor.name for tensor in tensors)) is None


def table_of(tensors: Sequence[SourceTensor]) -> SourceTensor | None:
    """The embedding."""
    name = weight_of(EMBEDDINGS, (tensor.name for tensor in tensors))
    return next((tensor for tensor in tensors if tensor.name == name), None)


def with_tied_head(tensors: Sequence[SourceTensor]) -> Sequence[SourceTensor]:
    """The tensors with a head of its own, made from the embedding where there is none."""
    table = table_of(tensors)
    if not is_tied(tensors) or table is None:
        return tensors
    head = SourceTensor(
        name=f"{HEAD}.weight",
        file=table.file,
        dtype=table.dtype,
        shape=table.shape,
        begin=table.begin,
        num_bytes=table.num_bytes,
    )
    return [*tensors, head]


def _embedding(scheme: QuantScheme, kind: str, width: Width | None) -> str | None:
    if width is Width.FULL:
        return "--embeddings full"
    if width is Width.FOUR and scheme is not QuantScheme.INT4:
        raise OptionError(f"--embeddings 4 is for int4; with {scheme} take 8 or full.")
    if scheme not in TAKES_BOTH:
        fault = "an embedding is looked up, not multiplied with"
    elif kind not in READS_EMBEDDING:
        fault = f"vLLM reads no quantised embedding of model_type {kind}"
    else:
        return None
    if width in _QUANTISED:
        raise OptionError(f"--embeddings {width} with {scheme}: {fault}.")
    return fault


def _head_fault(
    tensors: Sequence[SourceTensor], config: Mapping[str, Any], kind: str
) -> str | None:
    if kind in READS_NO_HEAD:
        return f"vLLM reads no quantised head of model_type {kind}"
    # Where the configuration does not say, transformers ties them.
    has_table = table_of(tensors) is not None and config.get("tie_word_embeddings", True)
    if is_tied(tensors) and not has_table:
        return "this model has no output head that can be found"
    return None
