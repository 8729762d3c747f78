"""The names that checkpoints have for a model's embedding and for its output head."""

from __future__ import annotations

from collections.abc import Iterable

EMBEDDINGS = ("embed_tokens", "wte", "word_embeddings", "tok_embeddings", "embed_in")
HEADS = ("lm_head", "embed_out")
_PARTS = ("weight", "qweight", "SCB")
"""What names of a matrix's parts begin with."""


def weight_of(modules: Iterable[str], names: Iterable[str]) -> str | None:
    """The first of these tensors that is the weight, stored in full, of one of these modules."""
    ends = tuple(f".{module}.weight" for module in modules)
    return next((name for name in names if f".{name}".endswith(ends)), None)


def parts_of(modules: Iterable[str], names: Iterable[str]) -> dict[str, str]:
    """Tensors of these modules' weights by what they are: ``weight``, or ``weight_packed``.

    A head of several layers (``lm_head.dense.weight``) has no such parts.
    """
    marks = tuple(f".{module}." for module in modules)
    parts: dict[str, str] = {}
    for name in names:
        for mark in marks:
            part = f".{name}".rpartition(mark)[2]
            if mark in f".{name}" and part.startswith(_PARTS):
                parts[part] = name
    return parts
