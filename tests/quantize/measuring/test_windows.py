"""Texts cut into windows, and windows put together."""

import pytest
import torch

from quantize.errors import OptionError, QuantizeError
from quantize.measuring import windows
from quantize.measuring.texts import Text
from quantize.measuring.windows import Window
from tests.tiny_models import write_tokenizer


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_tokenizer(tmp_path_factory.mktemp("tokenizer"))


def text(content: str, most_tokens: int = 800) -> Text:
    return Text(name="t", content=content, most_tokens=most_tokens)


def window(length: int, first: int = 0) -> Window:
    return Window(text=0, tokens=tuple(range(length)), first=first)


def test_windows_are_of_nearly_one_length_and_lose_no_token(model):
    whole = windows.of_texts(model, [text("import json\n" * 20)], 4096)
    cut = windows.of_texts(model, [text("import json\n" * 20)], 7)
    (only,) = whole
    lengths = {len(part.tokens) for part in cut}
    assert max(lengths) <= 7
    assert max(lengths) - min(lengths) <= 1
    assert [token for part in cut for token in part.tokens] == [*only.tokens]


def test_no_more_tokens_are_taken_than_the_text_allows(model):
    (only,) = windows.of_texts(model, [text("import json\n" * 20, 5)], 4096)
    assert len(only.tokens) == 5
    assert only.num_predicted == 4


def test_windows_know_their_text(model):
    numbers = [part.text for part in windows.of_texts(model, [text("def a"), text("def b")], 4096)]
    assert numbers == [0, 1]


def test_a_text_of_one_token_has_nothing_to_predict(model):
    with pytest.raises(OptionError, match="the text t is 0 tokens, and 2 are needed"):
        windows.of_texts(model, [text("")], 4096)


def test_a_folder_without_a_tokenizer_is_named(tmp_path):
    with pytest.raises(QuantizeError, match=f"the tokenizer of {tmp_path.name}"):
        windows.of_texts(tmp_path, [text("a b c")], 4096)


def test_what_stands_before_the_text_is_read_and_not_predicted():
    assert window(5, first=0).num_predicted == 4
    assert window(5, first=2).num_predicted == 2


def test_a_batch_counts_what_its_windows_are_filled_up_to():
    lengths = [
        [len(part.tokens) for part in batch]
        for batch in windows.batches([window(3), window(3), window(4), window(9)], 9)
    ]
    assert lengths == [[3, 3], [4], [9]]
    assert [len(batch) for batch in windows.batches([window(50)], 9)] == [1]


def test_shorter_windows_are_filled_up_at_their_end():
    padded = windows.padded([window(4), window(2)])
    assert padded.dtype is torch.int64
    assert padded.tolist() == [[0, 1, 2, 3], [0, 1, 1, 1]]
