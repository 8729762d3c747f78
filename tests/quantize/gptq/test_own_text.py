"""Text that a model writes itself."""

import pytest
import torch
from transformers import AutoTokenizer

from quantize.errors import QuantizeError
from quantize.gptq import own_text, samples
from tests.small_model import train
from tests.tiny_models import write_tiny_model


def test_the_model_writes_its_own_text(monkeypatch):
    monkeypatch.setattr(own_text, "OPENINGS", own_text.OPENINGS[2:6])
    monkeypatch.setattr(own_text, "NEW_TOKENS", 8)
    taken = samples.take(train.WEIGHTS, "self")
    assert "itself" in taken.name
    assert taken.tokens.dtype is torch.int64
    assert samples.take(train.WEIGHTS, "self").sha256 == taken.sha256


def test_each_opening_is_gone_on_with_and_the_callers_numbers_stay(tmp_path, monkeypatch):
    model = write_tiny_model(tmp_path / "tiny", num_hidden_layers=1)
    tokenizer = AutoTokenizer.from_pretrained(model)
    monkeypatch.setattr(own_text, "OPENINGS", own_text.OPENINGS[:3])
    monkeypatch.setattr(own_text, "_BATCH", 2)
    monkeypatch.setattr(own_text, "NEW_TOKENS", 4)
    torch.manual_seed(7)
    wanted = torch.rand(1)
    torch.manual_seed(7)
    texts = own_text.written(model, tokenizer)
    assert torch.equal(torch.rand(1), wanted)
    assert len(texts) == 3
    for text, opening in zip(texts, own_text.OPENINGS, strict=False):
        assert text.startswith(opening[:5])
        assert len(text) > len(opening)
    assert own_text.written(model, tokenizer) == texts


def test_openings_are_of_three_kinds_and_none_comes_twice():
    assert len(set(own_text.OPENINGS)) == len(own_text.OPENINGS)
    assert sum("\u4e00" <= opening[0] <= "\u9fff" for opening in own_text.OPENINGS) >= 12
    assert sum("def " in opening or "import " in opening for opening in own_text.OPENINGS) >= 6


def test_a_model_that_cannot_be_loaded_is_named(tmp_path):
    with pytest.raises(QuantizeError, match=f"{tmp_path.name} cannot be loaded to write a text"):
        own_text.written(tmp_path, None)
