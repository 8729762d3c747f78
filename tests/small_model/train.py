"""Train the small model of the gates' test: `python -m tests.small_model.train`.

The built-in demo model cannot test a gate. It is certain of its own text, so that a damaged weight
seldom moves a probability there; of any other text it knows less than a guess would, so that the
smallest damage looks like a great one. This model is as small as a test needs and as unsure as a
real one: code and prose of which it gives a byte one and a half bits. Its divergences are those of
a real model of half a billion weights: 0.001 with weights and activations in 8-bit blocks of 32,
0.05 with 4-bit weights in groups of 32.

Real models also have channels of very different sizes, which is what spoils a scale that a whole
token or row has to share. `spread` gives this model such channels: it multiplies some groups of 32
channels by a power of two and divides the weights that read them by the same, which changes no
number that the model computes in full. A scheme with scales for groups of 32 never notices, where
a real model's outliers are single channels and it notices a little; one scale for a row or a token
has to serve both sizes.

It is trained on the standard library's own source and this repository's documents: nothing is
downloaded, and another patch release of Python gives slightly other weights. `training.json` says
what these were made of. It takes some six minutes of one core.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.nn import functional
from transformers import GenerationConfig, Qwen2Config, Qwen2ForCausalLM

from models.demo import optimizer
from tests.tiny_models import CHAT_TEMPLATE, END_OF_TEXT, IM_END, IM_START

HERE = Path(__file__).parent
WEIGHTS = HERE / "weights"
RECORD = HERE / "training.json"
ROOT = HERE.parents[1]

VOCABULARY = 512
HIDDEN, INTERMEDIATE, LAYERS, HEADS, KV_HEADS = 128, 384, 2, 4, 2
LENGTH, ROWS, STEPS, SEED = 256, 8, 3500, 1
MATRIX_LR, OTHER_LR = 0.02, 4e-3
HELD_OUT = ("argparse.py", "textwrap.py", "statistics.py")
"""Modules that are not trained on."""

GROUP = 32
LARGE = 8.0
"""How much larger the large channels are; a power of two, so that nothing is rounded."""
LARGE_GROUPS = {HIDDEN: (2, 3), INTERMEDIATE: (4, 5)}
"""Which groups of 32 channels are large, by how many channels there are; two neighbours, for the
blocks of 64 that some formats have."""


def library() -> list[Path]:
    """The standard library's own modules and packages, without its tests."""
    root = Path(sysconfig.get_paths()["stdlib"])
    left_out = {"test", "tests", "idlelib", "lib2to3", "site-packages", "encodings", "pydoc_data"}
    return [
        path
        for path in sorted(root.rglob("*.py"))
        if not left_out & {*path.relative_to(root).parts} and path.stat().st_size > 2000
    ]


def texts() -> Iterator[str]:
    """What is trained on, in order."""
    for path in library():
        if path.name not in HELD_OUT:
            yield path.read_text("utf-8", "replace")
    documents = [
        *sorted((ROOT / "docs").glob("*.md")),
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
    ]
    for path in [*documents, *sorted((ROOT / "models/demo/data").glob("*.toml"))] * 2:
        yield path.read_text("utf-8")


def held_out() -> str:
    return "".join(path.read_text("utf-8") for path in library() if path.name in HELD_OUT)


def learn_tokenizer() -> Tokenizer:
    """A byte-level BPE of `VOCABULARY` entries."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END_OF_TEXT, IM_START, IM_END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts(), trainer)
    return tokenizer


def untrained() -> Qwen2ForCausalLM:
    torch.manual_seed(SEED)
    model = Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=VOCABULARY,
            hidden_size=HIDDEN,
            intermediate_size=INTERMEDIATE,
            num_hidden_layers=LAYERS,
            num_attention_heads=HEADS,
            num_key_value_heads=KV_HEADS,
            max_position_embeddings=1024,
            rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
            rms_norm_eps=1e-6,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=2,
            pad_token_id=0,
            attn_implementation="sdpa",
        )
    )
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim == 2 and "embed" not in name:
                weight.normal_(0.0, 1.0 / math.sqrt(weight.shape[1]))
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                weight.mul_(1.0 / math.sqrt(2 * LAYERS))
    return model


def train(model: Qwen2ForCausalLM, ids: torch.Tensor, steps: int) -> list[float]:
    """Next-token prediction over random cuts of `ids`; the mean loss of every 100 steps, nats."""
    made = optimizer.optimizers(model, MATRIX_LR, OTHER_LR)
    rates = [group["lr"] for each in made for group in each.param_groups]
    source = torch.Generator().manual_seed(SEED)
    losses: list[float] = []
    total, began = 0.0, time.monotonic()
    for step in range(steps):
        starts = torch.randint(len(ids) - LENGTH - 1, (ROWS,), generator=source)
        cut = torch.stack([ids[start : start + LENGTH + 1] for start in starts.tolist()])
        factor = min(1.0, (step + 1) / 50, 2.5 * (1 - step / steps))
        for group, rate in zip((g for e in made for g in e.param_groups), rates, strict=True):
            group["lr"] = rate * factor
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(cut[:, :-1], use_cache=False).logits
            loss = functional.cross_entropy(logits.float().flatten(0, 1), cut[:, 1:].flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for each in made:
            each.step()
        model.zero_grad()
        total += float(loss.detach())
        if (step + 1) % 100 == 0:
            losses.append(round(total / 100, 4))
            total = 0.0
            print(
                f"step {step + 1}: {losses[-1]} after {time.monotonic() - began:.0f} s", flush=True
            )
    return losses


@torch.no_grad()
def spread(model: Qwen2ForCausalLM, factor: float = LARGE) -> None:
    """Make some channels `factor` times as large as they were, and the weights that read them as
    much smaller: the model computes the same.
    """
    hidden, inner = _sizes(HIDDEN, factor), _sizes(INTERMEDIATE, factor)
    for layer in model.model.layers:
        for norm, readers in (
            (layer.input_layernorm, ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")),
            (layer.post_attention_layernorm, ("mlp.gate_proj", "mlp.up_proj")),
        ):
            norm.weight.mul_(hidden)
            for name in readers:
                layer.get_submodule(name).weight.div_(hidden)
        layer.mlp.up_proj.weight.mul_(inner[:, None])
        layer.mlp.down_proj.weight.div_(inner)


def _sizes(channels: int, factor: float) -> torch.Tensor:
    sizes = torch.ones(channels // GROUP, GROUP)
    sizes[list(LARGE_GROUPS[channels])] = factor
    return sizes.flatten()


@torch.no_grad()
def bits_per_token(model: Qwen2ForCausalLM, ids: torch.Tensor) -> float:
    """Mean loss in bits, over windows of `LENGTH`."""
    rows = ids[: len(ids) // LENGTH * LENGTH].view(-1, LENGTH)
    logits = model(rows).logits[:, :-1]
    loss = functional.cross_entropy(logits.float().flatten(0, 1), rows[:, 1:].flatten())
    return float(loss) / math.log(2)


def export(model: Qwen2ForCausalLM, tokenizer: Tokenizer, folder: Path) -> None:
    """Write the folder, in bfloat16."""
    folder.mkdir(parents=True, exist_ok=True)
    model.generation_config = GenerationConfig(do_sample=False, eos_token_id=2, pad_token_id=0)
    model.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE, "utf-8")
    facts = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": IM_END,
        "pad_token": END_OF_TEXT,
        "model_max_length": 1024,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(facts) + "\n", "utf-8")


def digests(folder: Path) -> dict[str, str]:
    """sha256 of every file of the folder."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.small_model.train", description=__doc__)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, default=WEIGHTS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    corpus = "".join(texts())
    tokenizer = learn_tokenizer()
    ids = torch.tensor([i for text in texts() for i in [*tokenizer.encode(text).ids, 0]])
    print(f"{len(corpus):,} characters, {len(ids):,} tokens", flush=True)
    model = untrained()
    losses = train(model, ids, options.steps)
    model = model.eval().to(torch.bfloat16)
    unseen = held_out()
    unseen_ids = torch.tensor(tokenizer.encode(unseen).ids)
    bits = bits_per_token(model, unseen_ids)
    spread(model)
    export(model, tokenizer, options.output)
    facts = {
        "steps": options.steps,
        "tokens": options.steps * ROWS * LENGTH,
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "corpus_sha256": hashlib.sha256(corpus.encode()).hexdigest(),
        "corpus_characters": len(corpus),
        "held_out": list(HELD_OUT),
        "held_out_bits_per_token": round(bits, 3),
        "held_out_bits_per_byte": round(bits * len(unseen_ids) / len(unseen.encode()), 3),
        "losses": losses,
        "torch": torch.__version__,
        "python": sysconfig.get_python_version(),
        "files": digests(options.output),
    }
    (options.output.parent / RECORD.name).write_text(json.dumps(facts, indent=1) + "\n", "utf-8")
    print(json.dumps(facts), flush=True)


if __name__ == "__main__":
    main()
