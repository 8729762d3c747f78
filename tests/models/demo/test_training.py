"""The trainer on a tiny network: it learns, it resumes exactly, it packs without leaks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from models.demo import checkpoint, corpus, network, optimizer, packing, schedule, train
from models.demo import tokenizer as words
from models.trust.verify import verify

TINY = train.Recipe(
    length=192,
    rows=4,
    vocabulary=512,
    shape=network.Shape(hidden=64, layers=1, heads=1, kv_heads=1, intermediate=128),
    shard_size=150,
    compiled=False,
    half=False,
)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return train.learn_tokenizer(tmp_path_factory.mktemp("tokenizer"), TINY)


def weights(run: train.Run) -> torch.Tensor:
    return torch.cat([w.detach().flatten() for w in run.model.parameters()])


def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(
    tokenizer: Tokenizer, tmp_path: Path
) -> None:
    whole = train.Run(TINY, tokenizer, tmp_path / "whole")
    train.fit(whole, schedule.Budget(minutes=1, steps=12))
    first = train.Run(TINY, tokenizer, tmp_path / "parts")
    for _ in range(5):  # the first five of the same twelve steps
        done = first.progress.step / 12
        first.step(first.next_batch(done), schedule.rate(first.progress.step, done))
        first.progress.step += 1
    first.save()
    second = train.Run(TINY, tokenizer, tmp_path / "parts")
    second.resume()
    train.fit(second, schedule.Budget(minutes=1, steps=12))
    assert torch.equal(weights(whole), weights(second))
    assert (whole.progress.shard, whole.progress.batch) == (
        second.progress.shard,
        second.progress.batch,
    )


def test_a_few_steps_lower_the_loss(tokenizer: Tokenizer, tmp_path: Path) -> None:
    run = train.Run(TINY, tokenizer, tmp_path)
    batch = run.next_batch(0.0)
    losses = [run.step(batch, 0.5) for _ in range(20)]
    assert losses[-1] < 0.8 * losses[0]


def test_the_export_is_small_and_loads(tokenizer: Tokenizer, tmp_path: Path) -> None:
    run = train.Run(TINY, tokenizer, tmp_path)
    run.save()
    saved = checkpoint.read(tmp_path)
    assert saved.recipe["shape"]["hidden"] == 64
    checkpoint.export(run.model, tokenizer, tmp_path / "weights")
    names = {p.name for p in (tmp_path / "weights").iterdir()}
    assert {"config.json", "generation_config.json", "model.safetensors"} <= names
    assert {"tokenizer.json", "tokenizer_config.json", "chat_template.jinja"} <= names
    verify(tmp_path / "weights").require_ok()


def test_documents_in_a_row_do_not_see_each_other(tokenizer: Tokenizer) -> None:
    model = network.build(TINY.shape, tokenizer.get_vocab_size(), 2, 0, seed=1)
    rows = packing.pack(corpus.shard(0, "main", 60), tokenizer, 192, "s")
    batch = train.batch_at(rows, 0, TINY)
    row, second = 0, int(np.flatnonzero(rows.documents[0] == 1)[0])
    changed = batch.ids.clone()
    changed[row, :second] = 5
    flat = [i for i in batch.picked.tolist() if second <= i < TINY.length]
    picked = torch.tensor([i for i in flat if rows.documents[0][i] == 1])
    targets = batch.ids.reshape(-1)[picked + 1]
    before = network.packed_loss(model, batch._replace(picked=picked, targets=targets))
    after = network.packed_loss(model, batch._replace(ids=changed, picked=picked, targets=targets))
    assert len(picked) > 0
    assert torch.equal(before, after)


def test_only_the_assistants_tokens_are_learned(tokenizer: Tokenizer) -> None:
    text = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nYo<|im_end|>"
    ids = tokenizer.encode(text).ids
    start = tuple(tokenizer.encode("<|im_start|>assistant\n").ids)
    vocabulary = tokenizer.get_vocab()
    marks = packing.predicts(ids, start, vocabulary[words.END])
    said = [ids[i + 1] for i, marked in enumerate(marks) if marked]
    assert tokenizer.decode(said, skip_special_tokens=False) == "Yo<|im_end|>"


def test_packing_loses_only_what_is_too_long(tokenizer: Tokenizer) -> None:
    made = corpus.shard(0, "main", 80)
    rows = packing.pack(made, tokenizer, 192, "s")
    short = [t for t in (tokenizer.encode(words.render(c)).ids for c in made) if len(t) <= 193]
    assert (rows.positions[rows.documents >= 0] == 0).sum() == len(short)


def test_the_update_is_orthogonal() -> None:
    made = optimizer.orthogonalise(torch.randn(2, 24, 8, generator=torch.manual_seed(0)))
    values = torch.linalg.svdvals(made)
    assert values.min() > 0.5
    assert values.max() < 1.5


def test_the_rate_warms_up_holds_and_ends_at_zero() -> None:
    assert schedule.rate(0, 0.0) < 0.05
    assert schedule.rate(500, 0.2) == 1.0
    assert schedule.rate(500, 0.9) < schedule.rate(500, 0.8) < 1.0
    assert schedule.rate(500, 1.0) == 0.0


def test_the_budget_counts_training_time_or_steps() -> None:
    assert schedule.Budget(minutes=2).progress(0, 60.0) == 0.5
    assert schedule.Budget(minutes=2).progress(0, 600.0) == 1.0
    assert schedule.Budget(minutes=2, steps=10).progress(5, 0.0) == 0.5
