"""Tensors of a small decoder by name and shape, for plans; there are no weights."""

from __future__ import annotations

from quantize.write.source import SourceTensor


def tensor(name: str, *shape: int, dtype: str = "BF16") -> SourceTensor:
    num_bytes = 2
    for size in shape:
        num_bytes *= size
    return SourceTensor(
        name=name, file="model.safetensors", dtype=dtype, shape=shape, begin=0, num_bytes=num_bytes
    )


def layer(number: int, hidden: int = 256, inner: int = 512) -> list[SourceTensor]:
    prefix = f"model.layers.{number}"
    return [
        *(tensor(f"{prefix}.self_attn.{n}_proj.weight", hidden, hidden) for n in "qkvo"),
        tensor(f"{prefix}.self_attn.q_proj.bias", hidden),
        tensor(f"{prefix}.mlp.gate_proj.weight", inner, hidden),
        tensor(f"{prefix}.mlp.up_proj.weight", inner, hidden),
        tensor(f"{prefix}.mlp.down_proj.weight", hidden, inner),
        tensor(f"{prefix}.input_layernorm.weight", hidden),
    ]


def model(*, hidden: int = 256, inner: int = 512, head: bool = True) -> list[SourceTensor]:
    made = [tensor("model.embed_tokens.weight", 1000, hidden), *layer(0, hidden, inner)]
    return made + ([tensor("lm_head.weight", 1000, hidden)] if head else [])
