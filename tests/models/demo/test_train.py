"""The trainer on a tiny network: it learns, and a run that was stopped goes on exactly."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import torch

from models.demo import corpus, packing, schedule, train
from models.demo import tokenizer as words
from tests.models.demo.tiny import RECIPE, run_in, tokenizer, weights


def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    whole = run_in(tmp_path / "whole")
    train.fit(whole, schedule.Budget(minutes=1, steps=12))
    first = run_in(tmp_path / "parts")
    for _ in range(5):  # the first five of the same twelve steps
        done = first.state.step / 12
        first.step(first.next_batch(done), schedule.rate(first.state.step, done))
        first.state.step += 1
    first.save()
    second = run_in(tmp_path / "parts")
    second.resume()
    train.fit(second, schedule.Budget(minutes=1, steps=12))
    assert torch.equal(weights(whole), weights(second))
    assert (whole.state.shard, whole.state.batch) == (
        second.state.shard,
        second.state.batch,
    )


def test_a_few_steps_lower_the_loss(tmp_path: Path) -> None:
    run = run_in(tmp_path)
    batch = run.next_batch(0.0)
    losses = [run.step(batch, 0.5) for _ in range(20)]
    assert losses[-1] < 0.8 * losses[0]


def rows_of(num_tokens: int, num_predicting: int) -> packing.Rows:
    """One row of the tokens 0, 1, 2, …, of which the first few predict their successor."""
    ids = np.arange(num_tokens)[None]
    return packing.Rows(ids, np.zeros_like(ids), ids, ids < num_predicting)


def test_a_batch_pads_its_targets_and_asks_for_the_tokens_that_follow() -> None:
    recipe = dataclasses.replace(RECIPE, rows=1, length=10, picked_share=0.5)
    batch = train.batch_at(rows_of(10, 3), 0, recipe)
    assert batch.targets.tolist() == [1, 2, 3, -100, -100]
    assert batch.picked[:3].tolist() == [0, 1, 2]
    assert batch.ids.shape == (1, 10)


def test_a_batch_predicts_no_more_places_than_it_has_room_for() -> None:
    recipe = dataclasses.replace(RECIPE, rows=1, length=10, picked_share=0.2)
    batch = train.batch_at(rows_of(10, 7), 0, recipe)
    assert (batch.picked.tolist(), batch.targets.tolist()) == ([0, 1], [1, 2])


def test_rows_of_another_length_begin_a_new_shard(tmp_path: Path) -> None:
    first = run_in(tmp_path)
    first.next_batch(0.0)
    first.next_batch(0.0)
    first.save()
    same = run_in(tmp_path)
    same.resume()
    assert (same.state.shard, same.state.batch) == (0, 2)
    longer = train.Run(dataclasses.replace(RECIPE, length=256), tokenizer(), tmp_path)
    longer.resume()
    longer.next_batch(0.0)
    assert (longer.state.shard, longer.state.batch) == (1, 1)


def test_a_change_of_the_mix_is_recorded_once(tmp_path: Path) -> None:
    run = run_in(tmp_path)
    for _ in range(3):
        run.state.batch = -1  # the next shard
        run.next_batch(0.0)
    run.state.batch = -1
    run.next_batch(0.99)
    assert [phase["mix"] for phase in run.state.phases] == ["start", "last"]
    assert run.state.phases[1]["shard"] == 3
    assert run.state.phases[0]["weights"] == corpus.MIXES["start"]


def test_a_budget_that_is_used_up_trains_no_more(tmp_path: Path) -> None:
    run = run_in(tmp_path)
    run.state.step = 4
    before = weights(run)
    train.fit(run, schedule.Budget(minutes=1, steps=4))
    assert torch.equal(weights(run), before)
    assert run.state.tokens == 0


def test_the_tokenizer_of_a_stopped_run_is_not_learned_again(tmp_path: Path) -> None:
    words.train(["abc"], 300).save(str(tmp_path / "tokenizer.json"))
    kept = (tmp_path / "tokenizer.json").read_bytes()
    train.learn_tokenizer(tmp_path, RECIPE)
    assert (tmp_path / "tokenizer.json").read_bytes() == kept


def test_the_tokenizer_is_learned_and_kept_where_there_is_none(tmp_path: Path) -> None:
    learned = train.learn_tokenizer(tmp_path / "new", dataclasses.replace(RECIPE, shard_size=20))
    assert learned.get_vocab_size() == 512
    assert (tmp_path / "new" / "tokenizer.json").is_file()


def test_the_record_of_a_run_without_losses_is_complete(tmp_path: Path) -> None:
    train.record(run_in(tmp_path), 5.0, tmp_path / "training.json")
    facts = json.loads((tmp_path / "training.json").read_text())
    assert (facts["steps"], facts["shards"], facts["final_loss"]) == (0, 0, None)
    assert facts["recipe"]["shape"]["hidden"] == 64


def test_options_default_to_the_recipe() -> None:
    options = train.arguments([])
    assert (options.rows, options.length, options.seed) == (12, 384, train.Recipe.seed)
    assert train.arguments(["--steps", "3", "--no-compile"]).steps == 3
