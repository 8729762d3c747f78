"""A tiny network and the tokenizer that goes with it, for tests of the trainer's modules."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch
from tokenizers import Tokenizer

from models.demo import corpus, network, train
from models.demo import tokenizer as words

LENGTH = 192
RECIPE = train.Recipe(
    length=LENGTH,
    rows=4,
    vocabulary=512,
    shape=network.Shape(hidden=64, layers=1, heads=1, kv_heads=1, intermediate=128),
    shard_size=150,
    compiled=False,
    half=False,
)


@cache
def tokenizer() -> Tokenizer:
    """512 entries, learned from one shard."""
    return words.train(map(words.render, corpus.shard(0, "main", RECIPE.shard_size)), 512)


def run_in(folder: Path) -> train.Run:
    """A run that has not begun."""
    return train.Run(RECIPE, tokenizer(), folder)


def weights(run: train.Run) -> torch.Tensor:
    """Every parameter, one after the other."""
    return torch.cat([weight.detach().flatten() for weight in run.model.parameters()])
