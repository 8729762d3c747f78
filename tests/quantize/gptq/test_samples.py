"""The windows of tokens that a model is calibrated on."""

import json

import pytest
import torch

from quantize.errors import OptionError, QuantizeError
from quantize.gptq import samples
from quantize.measuring.texts import built_in
from tests.small_model import train
from tests.tiny_models import write_tokenizer

CODE = [text for text in built_in() if text.name == "code"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_tokenizer(tmp_path_factory.mktemp("tokenizer"))


def test_what_is_measured_with_is_nothing_to_calibrate_on(tmp_path):
    file = tmp_path / "mine.txt"
    file.write_text("Some lines.\n" + CODE[0].content)
    with pytest.raises(OptionError, match="'code'"):
        samples.take(train.WEIGHTS, str(file))


def test_long_texts_are_cut_into_windows_of_one_length(model, tmp_path, monkeypatch):
    monkeypatch.setattr(samples, "WINDOW_TOKENS", 16)
    monkeypatch.setattr(samples, "NUM_WINDOWS", 3)
    file = tmp_path / "long.txt"
    file.write_text("import json\n" * 100)
    text = samples.take(model, str(file))
    assert text.name == "long.txt"
    assert text.tokens.dtype is torch.int64
    assert tuple(text.tokens.shape) == (3, 16)


def test_a_short_text_is_one_window_and_one_of_a_token_none(model, tmp_path):
    file = tmp_path / "short.txt"
    file.write_text("import json")
    tokens = samples.take(model, str(file)).tokens
    assert len(tokens) == 1
    assert tokens.shape[1] >= 2
    file.write_text("i")
    with pytest.raises(OptionError, match="has 1 tokens, and a sample has 2"):
        samples.take(model, str(file))


def test_messages_are_rendered_by_the_models_own_template(model, tmp_path):
    line = {"messages": [{"role": "user", "content": "import json"}]}
    (tmp_path / "chat.jsonl").write_text(json.dumps(line))
    (tmp_path / "plain.txt").write_text("<|im_start|>user\nimport json<|im_end|>\n")
    chat, plain = (
        samples.take(model, str(tmp_path / name)) for name in ("chat.jsonl", "plain.txt")
    )
    assert torch.equal(chat.tokens, plain.tokens)
    assert chat.sha256 == plain.sha256


def test_a_folder_without_a_tokenizer_is_named(tmp_path):
    with pytest.raises(QuantizeError, match=f"the tokenizer of {tmp_path.name}"):
        samples.take(tmp_path, "self")


def test_short_lines_of_a_measuring_text_are_nobodys(model, tmp_path):
    short = [line for line in CODE[0].content.splitlines() if 0 < len(line) <= 60]
    (tmp_path / "mine.txt").write_text("\n".join(short))
    assert samples.take(model, str(tmp_path / "mine.txt")).tokens.numel()
