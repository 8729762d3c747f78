"""The demo network: a small Qwen2 and the one loss it is trained with.

The architecture is transformers' own `Qwen2ForCausalLM`, so every engine that serves Qwen2 serves
the demo. What is ours is the size, the initialisation and the forward pass over packed rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch.nn import functional
from transformers import Qwen2Config, Qwen2ForCausalLM


@dataclass(frozen=True)
class Shape:
    """Sizes of the network; the defaults give about 5.8 M parameters with 4,096 entries."""

    hidden: int = 256
    layers: int = 6
    heads: int = 4
    kv_heads: int = 2
    intermediate: int = 768
    max_positions: int = 2048


def build(shape: Shape, vocab_size: int, eos_id: int, pad_id: int, seed: int) -> Qwen2ForCausalLM:
    """Make an untrained network whose weights depend on `seed` alone."""
    torch.manual_seed(seed)
    config = Qwen2Config(
        vocab_size=vocab_size,
        hidden_size=shape.hidden,
        intermediate_size=shape.intermediate,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        max_position_embeddings=shape.max_positions,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        rms_norm_eps=1e-6,
        tie_word_embeddings=True,
        use_cache=True,
        initializer_range=0.02,
        bos_token_id=None,
        eos_token_id=eos_id,
        pad_token_id=pad_id,
        attn_implementation="sdpa",
    )
    model = Qwen2ForCausalLM(config)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim == 2 and "embed" not in name:
                weight.normal_(0.0, 1.0 / math.sqrt(weight.shape[1]))
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                weight.mul_(1.0 / math.sqrt(2 * shape.layers))
    return model


class Batch(NamedTuple):
    """A packed batch; B rows of T tokens, K places to predict at."""

    ids: torch.Tensor  # [B, T]
    documents: torch.Tensor  # [B, T] the document of its row that a token is in
    positions: torch.Tensor  # [B, T] a token's place in its document
    picked: torch.Tensor  # [K] flat indices into B*T of the tokens that predict
    targets: torch.Tensor  # [K] the token to predict for each; -100 is padding


def packed_loss(model: Qwen2ForCausalLM, batch: Batch) -> torch.Tensor:
    """Mean cross-entropy over the picked places; attention stays inside a document.

    Only assistant tokens are picked, so the output matrix is multiplied for them alone.
    """
    length = batch.ids.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool, device=batch.ids.device).tril()
    same = batch.documents[:, :, None] == batch.documents[:, None, :]
    mask = (same & causal)[:, None]  # [B, 1, T, T]
    states = model.model(
        input_ids=batch.ids, attention_mask=mask, position_ids=batch.positions, use_cache=False
    ).last_hidden_state
    rows = states.reshape(-1, states.shape[-1]).index_select(0, batch.picked)
    logits = functional.linear(rows, model.lm_head.weight)  # [K, V]
    return functional.cross_entropy(logits.float(), batch.targets, ignore_index=-100)
