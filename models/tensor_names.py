"""The names that checkpoints have for a model's embedding and for its output head."""

from __future__ import annotations

from collections.abc import Iterable

EMBEDDINGS = ("embed_tokens", "wte", "word_embeddings", "tok_embeddings", "embed_in")
HEADS = ("lm_head", "embed_out")


def weight_of(modules: Iterable[str], names: Iterable[str]) -> str | None:
    """The first of these tensors that is the weight, stored in full, of one of these modules."""
    ends = tuple(f".{module}.weight" for module in modules)
    return next((name for name in names if f".{name}".endswith(ends)), None)


def parts_of(modules: Iterable[str], names: Iterable[str]) -> dict[str, str]:
    """Tensors of these modules by what they are: ``weight``, or parts as ``weight_packed``."""
    marks = tuple(f".{module}." for module in modules)
    return {
        f".{name}".rpartition(mark)[2]: name
        for name in names
        for mark in marks
        if mark in f".{name}"
    }
