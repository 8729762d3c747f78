"""Control tokens, told from ordinary text, and a copy of a tokenizer that no text makes them in."""

from __future__ import annotations

import json

import pytest
from tokenizers import AddedToken, Tokenizer
from tokenizers.models import BPE, WordLevel

from serve.pipeline.control_tokens import ids_of_text, is_byte, is_control, renamed

MODEL = {"byte_fallback": True, "unk_token": "<unk>"}


@pytest.mark.parametrize(
    ("content", "is_special", "is_one"),
    [
        ("<|im_end|>", True, True),
        ("</think>", False, True),
        ("▁▁", False, False),
        ("  ", True, True),
    ],
)
def test_runs_of_white_space_are_ordinary_text(
    content: str, is_special: bool, is_one: bool
) -> None:
    assert is_control(AddedToken(content, special=is_special)) is is_one


def test_bytes_and_unknown_characters_may_come_of_text() -> None:
    tokens = {i: AddedToken(text) for i, text in enumerate(("<0x0A>", "<unk>", "<|end|>"))}
    assert is_byte(tokens[0], MODEL)
    assert not is_byte(tokens[0], {})
    assert ids_of_text(MODEL, tokens) == {0, 1}


def test_the_copy_knows_the_token_by_its_new_name_alone() -> None:
    tokenizer = Tokenizer(WordLevel({"a": 0, "<unk>": 1, "<|end|>": 2}, unk_token="<unk>"))
    tokenizer.add_special_tokens([AddedToken("<|end|>")])
    stored = json.loads(tokenizer.to_str())
    copy = renamed(stored, {2: AddedToken("<|end|>")}, {2: "qxz"})
    assert copy.encode("<|end|>").ids == [1]
    assert copy.encode("qxz").ids == [2]


def test_merges_that_would_make_an_old_name_go() -> None:
    vocab = {"a": 0, "b": 1, "ab": 2, "c": 3, "bc": 4}
    tokenizer = Tokenizer(BPE(vocab, [("a", "b"), ("b", "c")]))
    stored = json.loads(tokenizer.to_str())
    copy = renamed(stored, {2: AddedToken("ab")}, {2: "xyz"})
    assert copy.encode("ab").ids == [0, 1]
    assert copy.encode("bc").ids == [4]
