"""The committed weights are what the record says, small, and hard enough to test gates with."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.small_model import train


@pytest.fixture(scope="module")
def record():
    return json.loads(train.RECORD.read_text("utf-8"))


@pytest.fixture(scope="module")
def model():
    return AutoModelForCausalLM.from_pretrained(train.WEIGHTS, dtype=torch.float32).eval()


def test_the_files_are_those_of_the_record(record):
    assert train.digests(train.WEIGHTS) == record["files"]


def test_they_are_at_most_a_mebibyte():
    assert sum(path.stat().st_size for path in train.WEIGHTS.iterdir()) <= 1 << 20


def test_it_knows_what_it_read_and_is_unsure(model):
    tokenizer = AutoTokenizer.from_pretrained(train.WEIGHTS)
    text = (train.HERE / "train.py").read_text("utf-8")
    ids = torch.tensor(tokenizer(text).input_ids)
    bits_per_byte = train.bits_per_token(model, ids) * len(ids) / len(text.encode())
    assert 1 < bits_per_byte < 3


def test_spreading_changes_no_number(model, record):
    """Powers of two: taken back, the model says exactly the same."""
    plain = AutoModelForCausalLM.from_pretrained(train.WEIGHTS, dtype=torch.float32).eval()
    train.spread(plain, 1 / train.LARGE)
    layers = zip(model.model.layers, plain.model.layers, strict=True)
    for spread, narrow in layers:
        assert not torch.equal(spread.input_layernorm.weight, narrow.input_layernorm.weight)
    ids = torch.arange(64)[None] * 7
    with torch.inference_mode():
        assert torch.allclose(model(ids).logits, plain(ids).logits, atol=1e-5, rtol=0)


def test_it_is_stored_in_bfloat16(record):
    weights = load_file(train.WEIGHTS / "model.safetensors")
    assert {weight.dtype for weight in weights.values()} == {torch.bfloat16}
    assert sum(weight.numel() for weight in weights.values()) == record["parameters"]


def test_a_few_steps_of_the_script_learn_something():
    fresh = train.untrained()
    ids = torch.arange(5000) % 37
    before = train.bits_per_token(fresh, ids[:512])
    train.train(fresh, ids, 12)
    assert train.bits_per_token(fresh, ids[:512]) < 0.8 * before
