"""Any chunking of the same ids gives the text that decoding them at once gives."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import decoders

from serve.pipeline.detokenize import ByteDetokenizer, WindowDetokenizer
from serve.pipeline.tokenizer import ModelTokenizer
from tests.serve.pipeline.conftest import (
    byte_level_tokenizer,
    gemma_like_tokenizer,
    metaspace_tokenizer,
    sentencepiece_tokenizer,
    suffixed_tokenizer,
    wordpiece_tokenizer,
)

BYTE_LEVEL = byte_level_tokenizer()
SENTENCEPIECE = sentencepiece_tokenizer()
SUFFIXED = suffixed_tokenizer()
ALL = {
    "byte-level": BYTE_LEVEL,
    "SentencePiece": SENTENCEPIECE,
    "no leading space": gemma_like_tokenizer(),
    "Metaspace": metaspace_tokenizer(),
    "WordPiece": wordpiece_tokenizer(),
    "suffixes": SUFFIXED,
}
BROKEN = "\N{REPLACEMENT CHARACTER}"
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


def text_of(tokenizer: ModelTokenizer, chunks: list[list[int]], prompt: Sequence[int] = ()) -> str:
    detokenizer = tokenizer.detokenizer(prompt)
    return "".join(detokenizer.feed(chunk) for chunk in chunks) + detokenizer.finish()


def test_the_decoder_decides() -> None:
    assert isinstance(BYTE_LEVEL.detokenizer(), ByteDetokenizer)
    assert isinstance(SENTENCEPIECE.detokenizer(), ByteDetokenizer)
    assert isinstance(SUFFIXED.detokenizer(), WindowDetokenizer)


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
    detokenizer = WindowDetokenizer(SENTENCEPIECE.decode)
    text = "".join(detokenizer.feed([token]) for _ in range(200)) + detokenizer.finish()
    assert set(text) == {"\N{REPLACEMENT CHARACTER}"}
    assert len(detokenizer._window) <= 16


def every(function: Callable[..., None]) -> Callable[..., None]:
    return pytest.mark.parametrize("tokenizer", ALL.values(), ids=ALL)(function)


@every
@given(
    text=st.text(alphabet="The audit log is prefill(don't). 你好🙂é", max_size=40),
    cuts=st.lists(st.integers(0, 60), max_size=5),
    at=st.integers(0, 60),
)
def test_prompt_and_answer_together_are_the_decoding_of_all_ids(
    tokenizer: ModelTokenizer, text: str, cuts: list[int], at: int
) -> None:
    ids = tokenizer.encode(text, add_special_tokens=False)
    prompt, rest = ids[: at % (len(ids) + 1)], ids[at % (len(ids) + 1) :]
    assert text_of(tokenizer, chunked(rest, cuts)) == tokenizer.decode(rest), "a text of its own"
    whole = tokenizer.decode(ids)
    continued = text_of(tokenizer, chunked(rest, cuts), prompt)
    before = tokenizer.decode(prompt)
    if not whole.startswith(before):  # the prompt ends in a part of a character
        before = before.rstrip(BROKEN)
    assert before + continued == whole


@given(
    ids=st.lists(st.integers(0, SENTENCEPIECE.vocab_size - 1), max_size=30),
    cuts=st.lists(st.integers(0, 60), max_size=5),
    at=st.integers(0, 30),
)
@every
def test_any_ids_in_any_chunks_give_the_same_text(
    tokenizer: ModelTokenizer, ids: list[int], cuts: list[int], at: int
) -> None:
    prompt, rest = ids[: at % (len(ids) + 1)], ids[at % (len(ids) + 1) :]
    one_by_one = text_of(tokenizer, [[token_id] for token_id in rest], prompt)
    assert text_of(tokenizer, chunked(rest, cuts), prompt) == one_by_one
    if BROKEN not in (whole := tokenizer.decode(ids)):
        assert text_of(tokenizer, [prompt]).rstrip(BROKEN) + one_by_one == whole


@every
def test_special_tokens_at_the_end_of_a_prompt_are_no_context(tokenizer: ModelTokenizer) -> None:
    ids = tokenizer.encode("the audit log", add_special_tokens=False)
    special = [*tokenizer.special_ids.values()] * 40
    for prompt in ([ids[0], *special], ids[:1]):
        assert (
            text_of(tokenizer, [ids[1:]], prompt)
            == tokenizer.decode(ids)[len(tokenizer.decode(ids[:1])) :]
        )
    assert text_of(tokenizer, [ids], special) == tokenizer.decode(ids)


def token(tokenizer: ModelTokenizer, *names: str) -> list[int]:
    return [tokenizer._tokenizer.token_to_id(name) for name in names]


@pytest.mark.parametrize("split", [1, 2, 3])
@pytest.mark.parametrize("tokenizer", [BYTE_LEVEL, SENTENCEPIECE], ids=["byte", "fallback"])
def test_a_character_that_the_prompt_began_is_whole_in_the_answer(
    tokenizer: ModelTokenizer, split: int
) -> None:
    emoji = (
        token(tokenizer, "<0xF0>", "<0x9F>", "<0xA6>", "<0x99>")
        if tokenizer is SENTENCEPIECE
        else token(tokenizer, *"ðŁ¦Ļ")
    )
    letter = tokenizer.encode("x", add_special_tokens=False)[-1:]
    prompt = letter + emoji[:split]
    assert text_of(tokenizer, [[i] for i in emoji[split:]], prompt) == "🦙"
    # Nobody finishes it: the broken character is the prompt's, once, and the answer has none.
    assert text_of(tokenizer, [letter], prompt) == "x"
    assert text_of(tokenizer, [[]], prompt) == ""
    assert text_of(tokenizer, [emoji[split : split + 1], letter], prompt) in {"x", "🦙x"}
    assert text_of(tokenizer, [emoji], prompt) == "🦙"


@every
def test_ids_of_no_token_have_no_text_and_break_nothing(tokenizer: ModelTokenizer) -> None:
    odd = [-1, 2**31, 2**32, 2**63, 10**30, tokenizer.vocab_size, -(2**40)]
    ids = tokenizer.encode("audit", add_special_tokens=False)
    mixed = [part for pair in zip(ids, odd, strict=False) for part in pair] + ids[len(odd) :] + odd
    assert text_of(tokenizer, [mixed], odd) == tokenizer.decode(ids)
    assert [tokenizer.token_bytes(i) for i in odd] == [b""] * len(odd)
    assert tokenizer.decode(odd) == tokenizer.decode_raw(odd) == ""
    assert tokenizer.token_text(-1) == ""


def test_a_decoder_that_panics_gives_no_text_and_no_error() -> None:
    """A step of a folder's own decoder can be such that the library cannot run it."""
    tokenizer = sentencepiece_tokenizer()._tokenizer
    tokenizer.decoder = decoders.Strip(content="▁", left=3, right=3)
    panicking = ModelTokenizer(tokenizer, {}, tokenizer.get_vocab_size())
    ids = SENTENCEPIECE.encode("a log", add_special_tokens=False)
    assert isinstance(text_of(panicking, [ids]), str)
    assert isinstance(panicking.token_bytes(ids[0]), bytes)


def test_special_tokens_and_ids_beyond_the_tokenizer_have_no_text() -> None:
    eos = BYTE_LEVEL._tokenizer.token_to_id("<|im_end|>")
    beyond = BYTE_LEVEL.vocab_size - 1
    assert text_of(BYTE_LEVEL, [[eos, beyond]]) == ""
