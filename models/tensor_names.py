"""The names that checkpoints have for a model's embedding and for its output head."""

from __future__ import annotations

from collections.abc import Iterable

EMBEDDINGS = ("embed_tokens", "wte", "word_embeddings", "tok_embeddings", "embed_in")
HEADS = ("lm_head", "embed_out")


def weight_of(modules: Iterable[str], names: Iterable[str]) -> str | None:
    """The first of these tensors that is the weight, stored in full, of one of these modules."""
    ends = tuple(f"{module}.weight" for module in modules)
    inner = tuple(f".{end}" for end in ends)
    return next((name for name in names if name in ends or name.endswith(inner)), None)
