"""The shape of a model, from its config.json alone: parameters by kind.

It is known for the families of families.py alone. For those counts are exact: the tests compare
each with transformers' own model.
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import resources
from types import MappingProxyType
from typing import Any

from models.errors import UnknownShapeError
from models.memory.attention_shapes import (
    AttentionLayer,
    attention_layers,
    count,
    head_dim_of,
    num_layers_of,
    text_config,
)
from models.memory.context import context_length
from models.memory.families import FAMILIES, Family


@dataclass(frozen=True, slots=True)
class Linear:
    """``count`` matrices of ``[num_out, num_in]``, which a quantisation makes smaller.

    ``is_sensitive``: of plain attention, which int4 keeps in 8 bits.
    """

    num_out: int
    num_in: int
    count: int = 1
    is_sensitive: bool = False

    @property
    def num_parameters(self) -> int:
        return self.num_out * self.num_in * self.count


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """Numbers of parameters, by how they are stored.

    Attributes:
        embedding: of the table of tokens.
        head: of the output head; 0 where it is tied to the embedding.
        linears: the layers' matrices.
        rest: norms, biases and routers; never quantised.
        layers: one for each decoder layer.
        context_length: most positions (models/memory/context.py); None where none is stated.
    """

    family: str
    hidden_size: int
    intermediate_size: int
    vocab_size: int
    num_heads: int
    embedding: int
    head: int
    linears: tuple[Linear, ...]
    rest: int
    layers: tuple[AttentionLayer, ...]
    context_length: int | None

    @property
    def num_parameters(self) -> int:
        return self.embedding + self.head + self.rest + sum(x.num_parameters for x in self.linears)

    @property
    def is_tied(self) -> bool:
        return self.head == 0


@functools.cache
def published() -> Mapping[str, Mapping[str, Any]]:
    """Configurations of the catalogue's models by alias, as far as they are known for certain."""
    text = resources.files("models.memory").joinpath("shapes.toml").read_text("utf-8")
    return MappingProxyType(tomllib.loads(text))


def read(config: Mapping[str, Any]) -> ModelShape:
    """The shape that a config.json describes.

    Raises:
        UnknownShapeError: a family that is not known here, or keys that are missing or odd.
    """
    text = text_config(config)
    name = str(text.get("model_type"))
    family = FAMILIES.get(name)
    if family is None or text is not config:
        raise UnknownShapeError(
            f"how large a model of the kind {str(config.get('model_type'))!r} is cannot be told "
            f"from its config.json. Known: {', '.join(FAMILIES)}."
        )
    try:
        return _shape(name, family, text)
    except (KeyError, TypeError, ValueError, ZeroDivisionError, AttributeError) as error:
        raise UnknownShapeError(
            f"config.json of this {name} model lacks or misstates a size: {error}."
        ) from None


def _shape(name: str, family: Family, text: Mapping[str, Any]) -> ModelShape:
    hidden, vocab = count(text["hidden_size"]), count(text["vocab_size"])
    heads, num_layers = count(text["num_attention_heads"]), num_layers_of(text)
    attention, rest = (_mla if family.mla else _attention)(family, text)
    linears = [replace(x, count=num_layers) for x in attention]
    rest = num_layers * (rest + family.norms * hidden) + hidden
    dense_layers = frozenset(text.get("mlp_only_layers") or ())
    for layer in range(num_layers):
        has_experts = layer not in dense_layers and _has_experts(text, layer)
        added, router = _feed_forward(family, text, has_experts=has_experts)
        linears += added
        rest += router
    is_tied = text.get("tie_word_embeddings", family.is_tied)
    return ModelShape(
        family=name,
        hidden_size=hidden,
        intermediate_size=count(text["intermediate_size"]),
        vocab_size=vocab,
        num_heads=heads,
        embedding=vocab * hidden,
        head=0 if is_tied else vocab * hidden,
        linears=_merged(linears),
        rest=rest,
        layers=attention_layers(text),
        context_length=context_length(text),
    )


def _attention(family: Family, text: Mapping[str, Any]) -> tuple[list[Linear], int]:
    """Matrices of one layer's attention, and its other parameters."""
    hidden, dim = count(text["hidden_size"]), head_dim_of(text)
    heads = count(text["num_attention_heads"])
    kv_heads = count(text.get("num_key_value_heads") or heads)
    biased = "qkvo" if family.is_biased_on_request and text.get("attention_bias") else family.bias
    outputs = {"q": heads * dim, "k": kv_heads * dim, "v": kv_heads * dim, "o": hidden}
    rest = sum(outputs[which] for which in biased) + (2 * dim if family.head_norms else 0)
    linears = [Linear(outputs[which], hidden, is_sensitive=True) for which in "qkv"]
    return [*linears, Linear(hidden, heads * dim, is_sensitive=True)], rest


def _mla(_: Family, text: Mapping[str, Any]) -> tuple[list[Linear], int]:
    """Multi-head latent attention (DeepSeek-V2, arXiv:2405.04434, section 2.1)."""
    hidden, heads = count(text["hidden_size"]), count(text["num_attention_heads"])
    nope, rope = count(text["qk_nope_head_dim"]), count(text["qk_rope_head_dim"])
    value, rank = count(text["v_head_dim"]), count(text["kv_lora_rank"])
    query_rank = text.get("q_lora_rank")
    rest = rank
    if query_rank:
        rest += count(query_rank)
        linears = [Linear(query_rank, hidden), Linear(heads * (nope + rope), query_rank)]
    else:
        linears = [Linear(heads * (nope + rope), hidden)]
    if text.get("attention_bias"):
        rest += (count(query_rank) if query_rank else 0) + rank + rope + hidden
    linears += [
        Linear(rank + rope, hidden),
        Linear(heads * (nope + value), rank),
        Linear(hidden, heads * value),
    ]
    return linears, rest


def _feed_forward(
    family: Family, text: Mapping[str, Any], *, has_experts: bool
) -> tuple[list[Linear], int]:
    hidden = count(text["hidden_size"])
    dense = count(text["intermediate_size"])
    if not family.experts or not has_experts:
        bias = 2 * dense + hidden if text.get("mlp_bias") and family.bias == "" else 0
        return _gated(hidden, dense, 1), bias
    experts = count(next((text[key] for key in family.experts if key in text), None))
    width = count(text.get("moe_intermediate_size") or dense)
    linears = _gated(hidden, width, experts)
    router = experts * hidden
    if text.get("n_shared_experts"):
        linears += _gated(hidden, width * count(text["n_shared_experts"]), 1)
    if text.get("shared_expert_intermediate_size"):
        linears += _gated(hidden, count(text["shared_expert_intermediate_size"]), 1)
        router += hidden  # the shared expert's gate
    return linears, router


def _has_experts(text: Mapping[str, Any], layer: int) -> bool:
    if "first_k_dense_replace" in text:
        return layer >= count(text["first_k_dense_replace"], least=0)
    return (layer + 1) % count(text.get("decoder_sparse_step") or 1) == 0


def _gated(hidden: int, width: int, count: int) -> list[Linear]:
    return [Linear(width, hidden, 2 * count), Linear(hidden, width, count)]


def _merged(linears: list[Linear]) -> tuple[Linear, ...]:
    """Equal matrices counted together, in the order of their first one."""
    counts: dict[Linear, int] = {}
    for linear in linears:
        one = replace(linear, count=1)
        counts[one] = counts.get(one, 0) + linear.count
    return tuple(replace(one, count=count) for one, count in counts.items())
