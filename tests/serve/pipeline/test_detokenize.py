"""Any chunking of the same ids gives the text that decoding them at once gives."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.pipeline.tokenizer import ByteDetokenizer, ModelTokenizer, WindowDetokenizer
from tests.serve.pipeline.conftest import byte_level_tokenizer, sentencepiece_tokenizer

BYTE_LEVEL = byte_level_tokenizer()
SENTENCEPIECE = sentencepiece_tokenizer()
SENTENCES = [
    "你好，世界。 Hello 🙂 café",
    "plain text, twice  spaced",
    "🙂",
    "",
    " lead",
    "<tool_call>{}",
]


def chunked(ids: list[int], cuts: list[int]) -> list[list[int]]:
    edges = sorted({0, len(ids), *(cut % (len(ids) + 1) for cut in cuts)})
    return [ids[a:b] for a, b in itertools.pairwise(edges)]


def text_of(tokenizer: ModelTokenizer, chunks: list[list[int]]) -> str:
    detokenizer = tokenizer.detokenizer()
    return "".join(detokenizer.feed(chunk) for chunk in chunks) + detokenizer.finish()


def test_the_decoder_decides() -> None:
    assert isinstance(BYTE_LEVEL.detokenizer(), ByteDetokenizer)
    assert isinstance(SENTENCEPIECE.detokenizer(), WindowDetokenizer)


@given(
    ids=st.lists(st.integers(0, BYTE_LEVEL.vocab_size - 9), max_size=40),
    cuts=st.lists(st.integers(0, 40), max_size=8),
)
def test_random_ids_byte_level(ids: list[int], cuts: list[int]) -> None:
    assert text_of(BYTE_LEVEL, chunked(ids, cuts)) == BYTE_LEVEL.decode(ids)


@given(text=st.text(max_size=60), cuts=st.lists(st.integers(0, 200), max_size=8))
@pytest.mark.parametrize("tokenizer", [BYTE_LEVEL, SENTENCEPIECE], ids=["byte", "window"])
def test_real_text(tokenizer: ModelTokenizer, text: str, cuts: list[int]) -> None:
    ids = tokenizer.encode(text, add_special_tokens=False)
    assert text_of(tokenizer, chunked(ids, cuts)) == tokenizer.decode(ids)


@pytest.mark.parametrize("text", SENTENCES)
@pytest.mark.parametrize("tokenizer", [BYTE_LEVEL, SENTENCEPIECE], ids=["byte", "window"])
def test_token_by_token_never_sends_a_broken_character(
    tokenizer: ModelTokenizer, text: str
) -> None:
    detokenizer = tokenizer.detokenizer()
    pieces = [detokenizer.feed([i]) for i in tokenizer.encode(text, add_special_tokens=False)]
    assert "\N{REPLACEMENT CHARACTER}" not in "".join(pieces)
    assert "".join(pieces) + detokenizer.finish() == text


def test_an_unfinished_character_is_shown_as_broken_at_the_end() -> None:
    ids = BYTE_LEVEL.encode("🙂", add_special_tokens=False)
    detokenizer = BYTE_LEVEL.detokenizer()
    assert len(ids) > 1
    assert detokenizer.feed(ids[:-1]) == ""
    assert detokenizer.finish() == "\N{REPLACEMENT CHARACTER}"


def test_the_window_stays_small_on_endless_broken_bytes() -> None:
    token = SENTENCEPIECE._tokenizer.token_to_id("<0x80>")
    detokenizer = SENTENCEPIECE.detokenizer()
    text = "".join(detokenizer.feed([token]) for _ in range(200)) + detokenizer.finish()
    assert set(text) == {"\N{REPLACEMENT CHARACTER}"}
    assert len(detokenizer._window) <= 16


def test_special_tokens_and_ids_beyond_the_tokenizer_have_no_text() -> None:
    eos = BYTE_LEVEL._tokenizer.token_to_id("<|im_end|>")
    beyond = BYTE_LEVEL.vocab_size - 1
    assert text_of(BYTE_LEVEL, [[eos, beyond]]) == ""
