"""The shape of a model, from its config.json alone: parameters by kind, and its attention.

Two parts stand alone: ``attention_layers`` works for any decoder whose configuration uses the usual
keys, ``read`` only for the families of families.py. For those counts are exact: the tests compare
each with transformers' own model.
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from importlib import resources
from types import MappingProxyType
from typing import Any

from models.errors import UnknownShapeError
from models.memory.context import context_length
from models.memory.families import FAMILIES, Family

_MOST_LAYERS = 10_000  # each is gone through; the deepest model known has 126


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
class AttentionLayer:
    """The keys and values that one layer keeps of a token.

    Attributes:
        num_kv_heads: heads of keys and values; all heads in plain multi-head attention.
        key_dim: size of a key head.
        value_dim: size of a value head.
        latent_dim: MLA: numbers that stand for all heads' keys and values; None without it. An
            engine that knows no MLA keeps the heads.
        window: tokens that the layer looks back on; None sees all.
    """

    num_kv_heads: int
    key_dim: int
    value_dim: int
    latent_dim: int | None = None
    window: int | None = None


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


def text_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The part that describes the language model, in models that also see or hear."""
    text = config.get("text_config")
    return text if isinstance(text, Mapping) else config


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


def attention_layers(config: Mapping[str, Any]) -> tuple[AttentionLayer, ...]:
    """The keys and values that each decoder layer keeps of a token.

    Raises:
        UnknownShapeError: the usual keys are missing.
    """
    text = text_config(config)
    try:
        heads = _count(text["num_attention_heads"])
        head_dim = _head_dim(text)
        kv_heads = _count(text.get("num_key_value_heads") or heads)
        num_layers = _layers(text)
        latent = None
        key_dim = value_dim = head_dim
        if text.get("kv_lora_rank"):
            latent = _count(text["kv_lora_rank"]) + _count(text["qk_rope_head_dim"])
            key_dim = _count(text["qk_nope_head_dim"]) + _count(text["qk_rope_head_dim"])
            value_dim = _count(text["v_head_dim"])
            kv_heads = heads
        windows = list(_windows(text, num_layers))
    except (KeyError, TypeError, ValueError, ZeroDivisionError, AttributeError) as error:
        raise UnknownShapeError(f"config.json does not describe its attention: {error}.") from None
    return tuple(
        AttentionLayer(
            num_kv_heads=kv_heads,
            key_dim=key_dim,
            value_dim=value_dim,
            latent_dim=latent,
            window=window,
        )
        for window in windows
    )


def _shape(name: str, family: Family, text: Mapping[str, Any]) -> ModelShape:
    hidden, vocab = _count(text["hidden_size"]), _count(text["vocab_size"])
    heads, num_layers = _count(text["num_attention_heads"]), _layers(text)
    attention, rest = (_mla if family.mla else _attention)(family, text)
    linears = [replace(x, count=num_layers) for x in attention]
    rest = num_layers * (rest + family.norms * hidden) + hidden
    for layer in range(num_layers):
        added, router = _feed_forward(family, text, layer)
        linears += added
        rest += router
    is_tied = text.get("tie_word_embeddings", family.is_tied)
    return ModelShape(
        family=name,
        hidden_size=hidden,
        intermediate_size=_count(text["intermediate_size"]),
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
    hidden, dim = _count(text["hidden_size"]), _head_dim(text)
    heads = _count(text["num_attention_heads"])
    kv_heads = _count(text.get("num_key_value_heads") or heads)
    biased = "qkvo" if family.is_biased_on_request and text.get("attention_bias") else family.bias
    outputs = {"q": heads * dim, "k": kv_heads * dim, "v": kv_heads * dim, "o": hidden}
    rest = sum(outputs[which] for which in biased) + (2 * dim if family.head_norms else 0)
    linears = [Linear(outputs[which], hidden, is_sensitive=True) for which in "qkv"]
    return [*linears, Linear(hidden, heads * dim, is_sensitive=True)], rest


def _mla(_: Family, text: Mapping[str, Any]) -> tuple[list[Linear], int]:
    """Multi-head latent attention (DeepSeek-V2, arXiv:2405.04434, section 2.1)."""
    hidden, heads = _count(text["hidden_size"]), _count(text["num_attention_heads"])
    nope, rope = _count(text["qk_nope_head_dim"]), _count(text["qk_rope_head_dim"])
    value, rank = _count(text["v_head_dim"]), _count(text["kv_lora_rank"])
    query_rank = text.get("q_lora_rank")
    rest = rank
    if query_rank:
        rest += _count(query_rank)
        linears = [Linear(query_rank, hidden), Linear(heads * (nope + rope), query_rank)]
    else:
        linears = [Linear(heads * (nope + rope), hidden)]
    if text.get("attention_bias"):
        rest += (_count(query_rank) if query_rank else 0) + rank + rope + hidden
    linears += [
        Linear(rank + rope, hidden),
        Linear(heads * (nope + value), rank),
        Linear(hidden, heads * value),
    ]
    return linears, rest


def _feed_forward(family: Family, text: Mapping[str, Any], layer: int) -> tuple[list[Linear], int]:
    hidden = _count(text["hidden_size"])
    dense = _count(text["intermediate_size"])
    if not family.experts or not _has_experts(text, layer):
        bias = 2 * dense + hidden if text.get("mlp_bias") and family.bias == "" else 0
        return _gated(hidden, dense, 1), bias
    experts = _count(next((text[key] for key in family.experts if key in text), None))
    width = _count(text.get("moe_intermediate_size") or dense)
    linears = _gated(hidden, width, experts)
    router = experts * hidden
    if text.get("n_shared_experts"):
        linears += _gated(hidden, width * _count(text["n_shared_experts"]), 1)
    if text.get("shared_expert_intermediate_size"):
        linears += _gated(hidden, _count(text["shared_expert_intermediate_size"]), 1)
        router += hidden  # the shared expert's gate
    return linears, router


def _has_experts(text: Mapping[str, Any], layer: int) -> bool:
    if layer in (text.get("mlp_only_layers") or ()):
        return False
    if "first_k_dense_replace" in text:
        return layer >= _count(text["first_k_dense_replace"], least=0)
    return (layer + 1) % _count(text.get("decoder_sparse_step") or 1) == 0


def _gated(hidden: int, width: int, count: int) -> list[Linear]:
    return [Linear(width, hidden, 2 * count), Linear(hidden, width, count)]


def _windows(text: Mapping[str, Any], num_layers: int) -> Iterator[int | None]:
    """Each layer's sliding window: ``layer_types`` where it stands, else the family's own rule."""
    family = FAMILIES.get(str(text.get("model_type")), Family())
    window = text.get("sliding_window", family.default_window)
    if family.window == "on request" and not text.get("use_sliding_window"):
        window = None
    window = None if not window else _count(window)
    kinds = text.get("layer_types")
    for layer in range(num_layers):
        if isinstance(kinds, list) and len(kinds) == num_layers:
            slides = kinds[layer] == "sliding_attention"
        elif family.window == "on request":
            slides = layer >= _count(text.get("max_window_layers", 28), least=0)
        elif family.window.isdigit():
            every = text.get("sliding_window_pattern") or text.get("_sliding_window_pattern")
            slides = (layer + 1) % _count(every or int(family.window)) != 0
        else:
            slides = True
        yield window if slides else None


def _layers(text: Mapping[str, Any]) -> int:
    num_layers = _count(text["num_hidden_layers"])
    if num_layers > _MOST_LAYERS:
        raise ValueError(f"{num_layers:,} layers, and at most {_MOST_LAYERS:,} are counted")
    return num_layers


def _head_dim(text: Mapping[str, Any]) -> int:
    head_dim = text.get("head_dim")
    if head_dim is None and str(text.get("model_type")).startswith("gemma"):
        return 256
    return _count(head_dim or text["hidden_size"] // _count(text["num_attention_heads"]))


def _merged(linears: list[Linear]) -> tuple[Linear, ...]:
    """Equal matrices counted together, in the order of their first one."""
    counts: dict[Linear, int] = {}
    for linear in linears:
        one = replace(linear, count=1)
        counts[one] = counts.get(one, 0) + linear.count
    return tuple(replace(one, count=count) for one, count in counts.items())


def _count(value: Any, *, least: int = 1) -> int:
    if type(value) is not int or not least <= value < 1 << 40:
        raise ValueError(f"{value!r} is no size")
    return value
