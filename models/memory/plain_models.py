"""Whether a folder is plainly the model that its config.json describes.

For the families whose sizes are known here (families.py): the stored numbers are as many as
config.json describes, in as many layers and matrices of these shapes, under the usual names, and
each of its keys is known and has a value of its usual type. Then there is nothing to ask
transformers for, which takes seconds and 200 MB to import. False says only that it has to be asked
(quantize/described_model.py).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from types import NoneType
from typing import Any

from models import rope
from models.errors import UnknownShapeError
from models.memory import shapes
from models.memory.families import FAMILIES
from models.memory.shapes import ModelShape
from models.weight_headers import Tensors

_TYPES: Mapping[str, tuple[type, ...]] = {
    **dict.fromkeys(("_name_or_path", "dtype", "model_type", "torch_dtype"), (str,)),
    **dict.fromkeys(("architectures", "layer_types"), (list, NoneType)),
    "eos_token_id": (int, list, NoneType),
    **dict.fromkeys(("bos_token_id", "pad_token_id", "sliding_window"), (int, NoneType)),
    **dict.fromkeys(("head_dim", "num_key_value_heads"), (int, NoneType)),
    **dict.fromkeys(("rope_parameters", "rope_scaling"), (dict, NoneType)),
    **dict.fromkeys(("attn_logit_softcapping", "final_logit_softcapping"), (float, NoneType)),
    **dict.fromkeys(("attention_dropout", "initializer_range", "rms_norm_eps"), (float,)),
    **dict.fromkeys(("rope_theta", "rope_local_base_freq"), (float, int)),
    **dict.fromkeys(("attention_bias", "mlp_bias", "tie_word_embeddings", "use_cache"), (bool,)),
    **dict.fromkeys(("hidden_act", "hidden_activation", "transformers_version"), (str,)),
    **dict.fromkeys(("embd_pdrop", "resid_pdrop"), (float,)),
    "use_bidirectional_attention": (bool, NoneType),
    "use_sliding_window": (bool,),
    **dict.fromkeys(
        (
            *("hidden_size", "intermediate_size", "max_position_embeddings", "vocab_size"),
            *("max_window_layers", "num_attention_heads", "num_hidden_layers", "pretraining_tp"),
            *("original_max_position_embeddings", "query_pre_attn_scalar"),
            *("_sliding_window_pattern", "sliding_window_pattern"),
        ),
        (int,),
    ),
}
_ACTIVATIONS = frozenset({"silu", "gelu", "gelu_pytorch_tanh"})
_LAYERS = frozenset({"full_attention", "sliding_attention"})
_ROPES = frozenset({"default", "linear", "llama3", "yarn"})
_STATED = frozenset({"num_key_value_heads", "num_attention_heads", "num_hidden_layers"})
"""What transformers has a number of its own for, in some families, where it is not stated."""
_WITHOUT_HEAD_DIM = frozenset({"llama", "mistral", "phi3", "qwen2"})
"""Families whose heads have their share of the hidden size where nothing is stated."""
_NAME = re.compile(
    r"(?:model\.(?:embed_tokens|norm|layers\.(\d+)\.(?:"
    r"self_attn\.(?:[qkvo]_proj|qkv_proj|[qk]_norm)|mlp\.(?:gate|up|down|gate_up)_proj|"
    r"(?:input|post_attention|pre_feedforward|post_feedforward)_layernorm))|lm_head)"
    r"\.(?:weight|bias)"
)


def is_plain(config: Mapping[str, Any], tensors: Tensors) -> bool:
    """Whether a settled config.json describes just these tensors, and nothing odd."""
    try:
        shape = shapes.read(config)
    except UnknownShapeError:
        return False
    names = [_NAME.fullmatch(name) for name in tensors]
    layers = {int(name[1]) for name in names if name is not None and name[1] is not None}
    family = FAMILIES[shape.family]
    return (
        not (family.experts or family.mla)
        and all(names)
        and layers == set(range(len(shape.layers)))
        and shape.num_parameters == sum(math.prod(one.entry.shape) for one in tensors.values())
        and all(map(_matrices(shape).__contains__, _stored_matrices(tensors)))
        and _has_plain_values(config)
    )


def _matrices(shape: ModelShape) -> frozenset[tuple[str, tuple[int, ...]]]:
    """Name and shape of each kind of matrix."""
    hidden, width, layer = shape.hidden_size, shape.intermediate_size, shape.layers[0]
    queries, keys = shape.num_heads * layer.key_dim, layer.num_kv_heads * layer.key_dim
    return frozenset(
        {
            ("embed_tokens", (shape.vocab_size, hidden)),
            ("lm_head", (shape.vocab_size, hidden)),
            ("q_proj", (queries, hidden)),
            ("k_proj", (keys, hidden)),
            ("v_proj", (keys, hidden)),
            ("o_proj", (hidden, queries)),
            ("qkv_proj", (queries + 2 * keys, hidden)),
            ("gate_proj", (width, hidden)),
            ("up_proj", (width, hidden)),
            ("gate_up_proj", (2 * width, hidden)),
            ("down_proj", (hidden, width)),
        }
    )


def _stored_matrices(tensors: Tensors) -> Iterator[tuple[str, tuple[int, ...]]]:
    for name, tensor in tensors.items():
        if len(tensor.entry.shape) != 1:
            yield name.split(".")[-2], tensor.entry.shape


def _has_plain_values(config: Mapping[str, Any]) -> bool:
    """Whether all that is stated is known, and of the type that it usually has."""
    computes_head_dim = config["model_type"] in _WITHOUT_HEAD_DIM
    if not config.keys() >= _STATED or not (computes_head_dim or config.get("head_dim")):
        return False
    for key, value in config.items():
        if not isinstance(value, _TYPES.get(key, ())) or (
            isinstance(value, bool) and bool not in _TYPES[key]
        ):
            return False
    kinds = config.get("layer_types")
    activations = {config.get(key, "silu") for key in ("hidden_act", "hidden_activation")}
    padding = config.get("pad_token_id")
    return (
        activations <= _ACTIVATIONS
        and {rope.kind(one) for one in rope.parameters(config)} <= _ROPES
        and (kinds is None or (len(kinds) == config["num_hidden_layers"] and {*kinds} <= _LAYERS))
        and (padding is None or 0 <= padding < config["vocab_size"])
    )
