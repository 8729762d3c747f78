"""Checkpoints of a run, and the export of one to a weights folder that any engine can load."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from tokenizers import Tokenizer
from transformers import GenerationConfig, Qwen2ForCausalLM

from models import home
from models.demo import network
from models.demo import tokenizer as words
from models.trust.manifest import Manifest

NAME = "checkpoint.safetensors"
LICENCE = "Apache-2.0"
MADE_WITH = ("torch", "transformers", "tokenizers", "safetensors")


def default_folder() -> Path:
    """`$XDG_CACHE_HOME/intramural/demo-train`, or the same under `~/.cache`."""
    return home.xdg("XDG_CACHE_HOME", ".cache") / "demo-train"


@dataclass
class RunState:
    """The position of a run: with the weights, enough to go on as if it had never stopped."""

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    shard: int = -1
    batch: int = -1  # of the shard, the next one; -1 before the first shard
    mix: str = "start"
    losses: list[list[float]] = field(default_factory=list)
    phases: list[dict[str, Any]] = field(default_factory=list)


def save(
    folder: Path,
    model: Qwen2ForCausalLM,
    optimizers: tuple[torch.optim.Optimizer, ...],
    state: RunState,
    recipe: dict[str, Any],
) -> None:
    """Write `checkpoint.safetensors` by rename: a killed run leaves the one before."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {f"model.{k}": v.contiguous() for k, v in model.named_parameters()}
    for number, optimizer in enumerate(optimizers):
        for index, moments in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{index}.{k}": v for k, v in moments.items()}
    about = {"progress": json.dumps(asdict(state)), "recipe": json.dumps(recipe)}
    save_file({k: v.detach() for k, v in tensors.items()}, folder / "checkpoint.tmp", about)
    (folder / "checkpoint.tmp").replace(folder / NAME)


@dataclass(frozen=True)
class Saved:
    """A checkpoint that was read."""

    tensors: dict[str, torch.Tensor]
    state: RunState
    recipe: dict[str, Any]

    def restore(
        self, model: Qwen2ForCausalLM, optimizers: tuple[torch.optim.Optimizer, ...] = ()
    ) -> None:
        """Put the saved tensors into a model and its optimizers.

        Raises:
            KeyError: If the checkpoint is of another network.
        """
        with torch.no_grad():
            for name, weight in model.named_parameters():
                weight.copy_(self.tensors[f"model.{name}"])
        states: dict[int, dict[int, dict[str, torch.Tensor]]] = {}
        for key, value in self.tensors.items():
            if key.startswith("optimizer."):
                _, number, index, field_name = key.split(".")
                moments = states.setdefault(int(number), {}).setdefault(int(index), {})
                moments[field_name] = value.clone()
        for place, optimizer in enumerate(optimizers):
            state = {**optimizer.state_dict(), "state": states.get(place, {})}
            optimizer.load_state_dict(state)


def read(folder: Path) -> Saved:
    """Read the checkpoint of a folder."""
    with safe_open(folder / NAME, "pt") as file:
        about = file.metadata()
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dict
    state = RunState(**json.loads(about["progress"]))
    return Saved(tensors, state, json.loads(about["recipe"]))


def untrained(shape: network.Shape, tokenizer: Tokenizer, seed: int) -> Qwen2ForCausalLM:
    """An untrained network that fits a tokenizer."""
    vocabulary = tokenizer.get_vocab()
    end, pad = vocabulary[words.END], vocabulary[words.PAD]
    return network.build(shape, len(vocabulary), end, pad, seed)


def export(model: Qwen2ForCausalLM, tokenizer: Tokenizer, folder: Path) -> None:
    """Write a bfloat16 copy of the model, its tokenizer, its chat template and a manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    copy = Qwen2ForCausalLM(model.config)
    copy.load_state_dict(model.state_dict())
    copy = copy.to(torch.bfloat16)
    copy.generation_config = GenerationConfig(
        do_sample=False,
        eos_token_id=model.config.eos_token_id,
        pad_token_id=model.config.pad_token_id,
    )
    copy.save_pretrained(folder)
    words.save(tokenizer, folder, model.config.max_position_embeddings)
    tools = {name: importlib.metadata.version(name) for name in MADE_WITH}
    Manifest.build(folder, licence=LICENCE, tools=tools).write(folder)


def main() -> None:
    """Export the newest checkpoint while a run goes on, to look at it."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("output", type=Path, help="folder to write the weights to")
    parser.add_argument("--folder", type=Path, default=default_folder(), help="training folder")
    args = parser.parse_args()
    saved = read(args.folder)
    tokenizer = Tokenizer.from_file(str(args.folder / "tokenizer.json"))
    shape = network.Shape(**saved.recipe["shape"])
    model = untrained(shape, tokenizer, saved.recipe["seed"])
    saved.restore(model)
    export(model, tokenizer, args.output)
    print(f"step {saved.state.step}, {saved.state.tokens:,} tokens, to {args.output}")


if __name__ == "__main__":
    main()
