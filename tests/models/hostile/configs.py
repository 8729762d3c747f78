"""Hostile configurations: sizes that no network has, and JSON that readers choke on."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

from models.rules.config_sizes import LIMITS
from tests.models.hostile.shape import Shape

WHOLE: dict[str, Any] = {
    "model_type": "qwen2",
    "architectures": ["Qwen2ForCausalLM"],
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 256,
    "max_position_embeddings": 512,
    "tie_word_embeddings": True,
}
BAD_SIZES: list[Any] = [
    *(10**8, 10**12, 1 << 63, 10**400, -1000, -(10**12)),
    *(1.5, 1e308, float("nan"), float("inf")),
    *("7", "", True, {}, {"a": 1}, [[1]], ["7"], [10**12]),
]


def config(folder: Path, **changes: Any) -> None:
    (folder / "config.json").write_text(json.dumps(WHOLE | changes))


def bad_size(random: Random) -> dict[str, Any]:
    key, value = random.choice(sorted(LIMITS)), random.choice(BAD_SIZES)
    return {key: LIMITS[key] + 1 if value == 10**8 else value}


def size(folder: Path, random: Random) -> None:
    config(folder, **bad_size(random))


def nested_size(folder: Path, random: Random) -> None:
    inner = bad_size(random)
    config(folder, **{random.choice(["text_config", "vision_config", "x"]): inner})


def raw_config(folder: Path, random: Random) -> None:
    """Bytes that are no JSON object that all readers read alike."""
    text = json.dumps(WHOLE)
    whole = text.encode()
    choices = [
        b"",
        b"\xef\xbb\xbf" + whole,
        text.encode("utf-16"),
        text.encode("utf-32"),
        whole[: random.randrange(1, len(whole) - 1)],
        whole[:-1] + b', "hidden_size": 64}',
        whole + b"\0",
        whole.replace(b"qwen2", b"qw\xffen2"),
        b"[" * random.choice([100, 10**4, 10**5]),
        b'{"a":' * 10**5 + b"1" + b"}" * 10**5,
        b"9" * random.choice([4000, 5000, 10**6]),
        b"null",
        b"[]",
        b'"text"',
        bytes(random.randrange(1, 4096)),
    ]
    (folder / "config.json").write_bytes(random.choice(choices))


def huge_config(folder: Path, random: Random) -> None:
    """More bytes or values than a configuration has; sparse where bytes do not count."""
    match random.randrange(4):
        case 0:
            with (folder / "config.json").open("wb") as file:
                file.truncate(random.choice([300 << 20, 1 << 40]))
        case 1:
            (folder / "config.json").write_bytes(b"[" + b"0," * 1_900_000 + b"0]")
        case 2:
            (folder / "tokenizer_config.json").write_bytes(b'{"a":[' + b"{}," * 900_000 + b"0]}")
        case _:
            with (folder / "tokenizer_config.json").open("wb") as file:
                file.truncate(500 << 20)


def quantisation(folder: Path, random: Random) -> None:
    """Within each other, so that each level could search all below again; or of odd types."""
    wide: Any = {f"k{number}": 0 for number in range(90_000)}
    deep: Any = wide
    for _ in range(random.choice([3, 50, 200])):
        deep = {random.choice(["quantization_config", "compression_config"]): deep}
    kernels: Any = wide
    for _ in range(50):
        kernels = {"attn_implementation": kernels}
    odd = random.choice([5, "awq", [], {"quant_method": ["x"]}, {"quant_method": 7}])
    choice = random.choice([{"x": deep}, {"x": kernels}, {"quantization_config": odd}])
    config(folder, **choice)


def odd_value(folder: Path, random: Random) -> None:
    key = random.choice(
        ["model_type", "architectures", "tokenizer_class", "text_config", "auto_map"]
    )
    config(
        folder, **{key: random.choice([["a/b"], {"a": "b/c"}, "../x", "a\nb", "\x1b[2J", 10**20])}
    )


def many_templates(folder: Path, random: Random) -> None:
    """Each within its bounds; together they would take minutes to parse."""
    if random.random() < 0.5:
        rows = [{"name": str(number), "template": "{{ a }}"} for number in range(20_000)]
        (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": rows}))
        return
    for number in range(20):
        (folder / f"t{number}.jinja").write_text("{{a}}" * 40_000)


def surrogates(folder: Path, random: Random) -> None:
    """A lone surrogate, which no encoder writes, where messages would quote it."""
    key = random.choice(["model_type", "quantization_config", "auto_map"])
    config(folder, **{key: random.choice(["\ud800", "x\udfff\x1b[31m"])})


SHAPES = [
    Shape("a size that no network has", size, weight=6),
    Shape("such a size further in", nested_size, weight=3),
    Shape("a config of other bytes", raw_config, weight=5),
    Shape("a config too large", huge_config, weight=2, is_heavy=True),
    Shape("quantisation", quantisation, weight=2, is_refused=False),
    Shape("a value of another kind", odd_value, weight=2, is_refused=False),
    Shape("many templates", many_templates, is_heavy=True),
    Shape("surrogates", surrogates),
]
