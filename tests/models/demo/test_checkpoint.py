"""Checkpoints come back exactly, a killed save leaves the one before, and the export is a model."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from models.demo import checkpoint, network, train
from models.trust.verify import verify
from tests.models.demo.tiny import RECIPE, run_in, tokenizer, weights


def test_the_export_is_small_and_loads(tmp_path: Path) -> None:
    run = run_in(tmp_path)
    run.save()
    saved = checkpoint.read(tmp_path)
    assert saved.recipe["shape"]["hidden"] == 64
    checkpoint.export(run.model, tokenizer(), tmp_path / "weights")
    names = {p.name for p in (tmp_path / "weights").iterdir()}
    assert {"config.json", "generation_config.json", "model.safetensors"} <= names
    assert {"tokenizer.json", "tokenizer_config.json", "chat_template.jinja"} <= names
    verify(tmp_path / "weights").require_ok()


def test_progress_and_the_optimizers_state_come_back(tmp_path: Path) -> None:
    run = run_in(tmp_path)
    run.step(run.next_batch(0.0), 0.1)
    run.state.losses.append([1, 2.5])
    run.save()
    saved = checkpoint.read(tmp_path)
    assert saved.state == run.state
    other = run_in(tmp_path)
    saved.restore(other.model, other.optimizers)
    assert torch.equal(weights(other), weights(run))
    muon, adam = (each.state_dict()["state"] for each in other.optimizers)
    assert torch.equal(muon[0]["momentum"], run.optimizers[0].state_dict()["state"][0]["momentum"])
    assert adam[0]["step"] == 1


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    run_in(tmp_path).save()
    deeper = dataclasses.replace(RECIPE.shape, layers=2)
    model = checkpoint.untrained(deeper, tokenizer(), seed=1)
    with pytest.raises(KeyError, match=r"layers\.1"):
        checkpoint.read(tmp_path).restore(model)


def test_a_save_that_fails_leaves_the_checkpoint_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_in(tmp_path)
    run.save()

    def fill_the_disk(_: object, path: Path, __: object) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", fill_the_disk)
    run.state.step = 9
    with pytest.raises(OSError, match="No space"):
        run.save()
    assert checkpoint.read(tmp_path).state.step == 0


def test_an_untrained_network_takes_its_end_and_padding_from_the_tokenizer() -> None:
    model = checkpoint.untrained(network.Shape(hidden=32, layers=1, heads=1), tokenizer(), 1)
    vocabulary = tokenizer().get_vocab()
    assert model.config.eos_token_id == vocabulary["<|im_end|>"]
    assert model.config.pad_token_id == vocabulary["<|endoftext|>"]
    assert model.config.vocab_size == len(vocabulary)


def test_the_training_folder_is_in_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert checkpoint.default_folder() == Path("/somewhere/intramural/demo-train")
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert checkpoint.default_folder() == Path.home() / ".cache/intramural/demo-train"
    assert train.arguments([]).folder == checkpoint.default_folder()
