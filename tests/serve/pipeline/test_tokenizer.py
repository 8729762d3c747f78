"""A model's tokenizer: ids of a text and back, guarded text, exact bytes, refused folders."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tokenizers import processors

from serve.errors import InvalidRequest, StartupError
from serve.pipeline.tokenizer import ModelTokenizer
from serve.pipeline.traced_text import client
from tests.serve.pipeline.conftest import (
    SPECIAL,
    byte_level_tokenizer,
    gemma_like_tokenizer,
    metaspace_tokenizer,
    sentencepiece_tokenizer,
    wordpiece_tokenizer,
)

BYTE_LEVEL = byte_level_tokenizer()
SENTENCEPIECE = sentencepiece_tokenizer()
END = "<|im_end|>"


def ids(text: str, tokenizer: ModelTokenizer = BYTE_LEVEL) -> list[int]:
    return tokenizer.encode(text, add_special_tokens=False)


def test_a_missing_tokenizer_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match=r"tokenizer\.json is missing"):
        ModelTokenizer.load(tmp_path)


def test_a_damaged_tokenizer_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text('{"half":')
    with pytest.raises(StartupError, match="cannot be read"):
        ModelTokenizer.load(tmp_path)


def test_a_folder_is_read_with_or_without_its_config(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(BYTE_LEVEL._tokenizer.to_str())
    loaded = ModelTokenizer.load(tmp_path)
    assert loaded.config == {}
    assert ids("Grüße 🙂", loaded) == ids("Grüße 🙂")
    assert loaded.vocab_size == BYTE_LEVEL._tokenizer.get_vocab_size()
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"eos_token": END}))
    assert ModelTokenizer.load(tmp_path, 5_000).vocab_size == 5_000
    assert ModelTokenizer.load(tmp_path).config == {"eos_token": END}
    (tmp_path / "tokenizer_config.json").write_text("{")
    with pytest.raises(StartupError, match="cannot be read"):
        ModelTokenizer.load(tmp_path)


def test_tokens_that_the_model_has_not_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "tokenizer.json").write_text(BYTE_LEVEL._tokenizer.to_str())
    size = BYTE_LEVEL._tokenizer.get_vocab_size()
    ModelTokenizer.load(tmp_path, size)
    assert not caplog.records
    ModelTokenizer.load(tmp_path, size - 3)
    (record,) = caplog.records
    assert record.count == 3  # type: ignore[attr-defined]


@pytest.mark.parametrize("text", ["", END, f"a{END}b{SPECIAL[0]}", "no token at all", "<|im_end"])
def test_guarded_text_holds_no_special_token_and_arrives_unchanged(text: str) -> None:
    special = {BYTE_LEVEL._tokenizer.token_to_id(token) for token in SPECIAL}
    guarded = BYTE_LEVEL.encode_rendered(client(text))
    assert special.isdisjoint(guarded)
    assert BYTE_LEVEL.decode_raw(guarded) == text


def test_text_that_is_not_guarded_may_hold_special_tokens() -> None:
    token = BYTE_LEVEL._tokenizer.token_to_id(END)
    assert ids(f"a{END}")[-1] == token
    mixed = BYTE_LEVEL.encode_rendered(END + client(END) + END)
    assert (mixed[0], mixed[-1]) == (token, token)
    assert mixed.count(token) == 2
    assert BYTE_LEVEL.decode_raw(mixed) == END * 3


def test_special_tokens_are_left_out_of_text_unless_shown() -> None:
    assert BYTE_LEVEL.decode(ids(f"a{END}b")) == "ab"
    assert BYTE_LEVEL.decode_raw(ids(f"a{END}b")) == f"a{END}b"
    assert BYTE_LEVEL.decode([]) == ""


@pytest.mark.parametrize("text", ["naïve 🙂", "你好", "with space", "<tool_call>{}"])
def test_the_bytes_of_tokens_are_those_of_the_text(text: str) -> None:
    assert b"".join(BYTE_LEVEL.token_bytes(i) for i in ids(text)) == text.encode()


def test_a_special_token_has_a_name_and_no_bytes() -> None:
    """The bytes of an answer's tokens are those of its text, and special tokens are not in it."""
    assert BYTE_LEVEL.token_text(ids(END)[0]) == END
    assert BYTE_LEVEL.token_bytes(ids(END)[0]) == b""
    assert BYTE_LEVEL.special_ids[END] == ids(END)[0]
    assert BYTE_LEVEL.token_bytes(BYTE_LEVEL.vocab_size - 1) == b"", "of the model's padding"
    letter = SENTENCEPIECE._tokenizer.token_to_id("a")
    assert SENTENCEPIECE.token_bytes(letter) == b"a"


@pytest.mark.parametrize(
    "tokenizer", [SENTENCEPIECE, gemma_like_tokenizer(), metaspace_tokenizer()]
)
def test_a_token_keeps_the_space_that_it_begins_with(tokenizer: ModelTokenizer) -> None:
    vocabulary = tokenizer._tokenizer.get_vocab()
    pairs = [name for name in vocabulary if name[0] == "▁" and name[1:] in vocabulary]
    assert pairs
    for name in pairs:
        spaced, plain = vocabulary[name], vocabulary[name[1:]]
        assert tokenizer.token_bytes(spaced) == b" " + tokenizer.token_bytes(plain)
        assert tokenizer.token_text(spaced) == name.replace("▁", " ")


def test_the_bytes_of_byte_tokens_are_exact() -> None:
    for byte in range(256):
        token = SENTENCEPIECE._tokenizer.token_to_id(f"<0x{byte:02X}>")
        assert SENTENCEPIECE.token_bytes(token) == bytes([byte])


def test_the_bytes_of_pieces_of_words_are_those_inside_a_text() -> None:
    tokenizer = wordpiece_tokenizer()
    vocabulary = tokenizer._tokenizer.get_vocab()
    tail = next(name for name in vocabulary if name.startswith("##") and name[2:] in vocabulary)
    assert tokenizer.token_bytes(vocabulary[tail]) == tail[2:].encode()
    assert tokenizer.token_bytes(vocabulary[tail[2:]]) == b" " + tail[2:].encode()


@pytest.mark.parametrize("adds", [True, False])
def test_each_token_has_its_place_in_the_text(adds: bool) -> None:
    trained = BYTE_LEVEL._tokenizer.from_str(BYTE_LEVEL._tokenizer.to_str())
    trained.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=True),  # which leaves out the spaces of words
            processors.TemplateProcessing(
                single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", 0)]
            ),
        ]
    )
    tokenizer = ModelTokenizer(trained, {}, BYTE_LEVEL.vocab_size)
    text = "The audit log 🙂🙂 is here"
    ids = tokenizer.encode(text, add_special_tokens=adds)
    offsets = tokenizer.offsets(text, add_special_tokens=adds)
    assert len(offsets) == len(ids)
    for token_id, offset in zip(ids[adds:], offsets[adds:], strict=True):
        token = tokenizer.token_text(token_id)
        assert "\ufffd" in token or text.startswith(token, offset)
    assert offsets[0] == 0


@pytest.mark.parametrize(("around", "ids"), [("<|im_start|> $A", [1]), ("$A <|im_end|>", [])])
def test_what_a_tokenizer_puts_before_a_text(around: str, ids: list[int]) -> None:
    trained = BYTE_LEVEL._tokenizer.from_str(BYTE_LEVEL._tokenizer.to_str())
    names = [("<|im_start|>", 1), ("<|im_end|>", 2)]
    trained.post_processor = processors.TemplateProcessing(single=around, special_tokens=names)
    assert ModelTokenizer(trained, {}, BYTE_LEVEL.vocab_size).begin_ids == ids
    assert BYTE_LEVEL.begin_ids == []


def test_a_control_token_is_found_by_its_name() -> None:
    assert BYTE_LEVEL.token_id("<tool_call>") == BYTE_LEVEL._tokenizer.token_to_id("<tool_call>")
    assert BYTE_LEVEL.token_id("<|im_end|>") == BYTE_LEVEL.special_ids["<|im_end|>"]
    assert BYTE_LEVEL.token_id("log") is None


def test_ids_are_those_of_the_model_and_no_others() -> None:
    BYTE_LEVEL.check_ids([0, BYTE_LEVEL.vocab_size - 1], param="prompt")
    for bad in (-1, BYTE_LEVEL.vocab_size):
        with pytest.raises(InvalidRequest, match=f"{bad} .* 0 to {BYTE_LEVEL.vocab_size - 1}") as e:
            BYTE_LEVEL.check_ids([0, bad], param="prompt.0")
        assert e.value.param == "prompt.0"


def test_truncation_and_padding_that_the_file_keeps_from_training_are_off(tmp_path: Path) -> None:
    trained = BYTE_LEVEL._tokenizer.from_str(BYTE_LEVEL._tokenizer.to_str())
    trained.enable_truncation(4)
    trained.enable_padding(length=64)
    trained.save(str(tmp_path / "tokenizer.json"))
    text = "The audit log is kept for a year."
    loaded = ModelTokenizer.load(tmp_path)
    assert loaded.encode(text, add_special_tokens=False) == BYTE_LEVEL.encode(
        text, add_special_tokens=False
    )
