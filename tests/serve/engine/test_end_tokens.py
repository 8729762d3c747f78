"""All files that name an end-of-sequence token are heard, and odd values break nothing."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from serve.engine import end_tokens
from serve.engine.transformers.loader import loading
from tests.serve.engine.checkpoints import edit, refuse
from tests.tiny_models import CHAT_TEMPLATE, END_OF_TEXT, IM_END, IM_START

END, START, IM = 0, 1, 2  # ids of END_OF_TEXT, IM_START and IM_END


def write(folder: Path, **files: Any) -> None:
    """Change JSON files: by their names less the suffix. None removes one."""
    for name, content in files.items():
        file = folder / f"{name}.json"
        if content is None:
            file.unlink(missing_ok=True)
        else:
            file.write_text(json.dumps(content))


@pytest.fixture
def bare(folder: Path) -> Path:
    """A folder in which no file names an end, and whose template is not ChatML."""
    write(folder, generation_config=None, tokenizer_config={})
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    edit(folder, eos_token_id=None)
    return folder


def ends(folder: Path) -> set[int]:
    config = loading.read_config(loading.read_checkpoint(folder))
    return set(end_tokens.eos_token_ids(folder, config))


@pytest.mark.parametrize(
    ("generation", "config", "tokenizer", "expected"),
    [
        (7, IM, None, {7, IM}),
        ([7, 8], 3, None, {3, 7, 8}),
        (None, 3, None, {3}),
        (None, [3, 4], None, {3, 4}),
        (None, [], None, set()),
        (None, None, None, set()),
        (None, END, IM_END, {END, IM}),
        (END, None, IM_END, {END, IM}),
        (END, 3, IM_END, {END, 3, IM}),
        (None, None, {"content": IM_END, "special": True, "__type": "AddedToken"}, {IM}),
        (None, None, [IM_END, {"content": END_OF_TEXT}], {END, IM}),
        (None, END, "no such token", {END}),
        (None, END, {"text": IM_END}, {END}),
        (None, END, 5, {END}),
        (None, END, "", {END}),
        ([END, None, "2", [3], {"id": 4}, 5.0, True, -1, 1024, 2**70, 7], None, None, {END, 5, 7}),
        ({"a": 1}, END, None, {END}),
        ("2", END, None, {END}),
        (True, END, None, {END}),
        (None, 1023, None, {1023}),
        (None, [1024, -1, 9], None, {9}),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_all_files_are_heard(
    bare: Path, generation: Any, config: Any, tokenizer: Any, expected: set[int]
) -> None:
    write(
        bare,
        generation_config={"eos_token_id": generation},
        tokenizer_config={"eos_token": tokenizer},
    )
    edit(bare, eos_token_id=config)
    assert ends(bare) == expected


def test_special_tokens_map_is_heard_and_plain_tokens_of_the_vocabulary_are_known(
    bare: Path,
) -> None:
    write(bare, special_tokens_map={"eos_token": {"content": IM_START}})
    assert ends(bare) == {START}
    plain = json.loads((bare / "tokenizer.json").read_text())["model"]["vocab"]
    write(bare, special_tokens_map={"eos_token": "e"})
    assert ends(bare) == {plain["e"]}


def test_a_turn_end_of_the_chat_template_is_an_end(bare: Path) -> None:
    (bare / "chat_template.jinja").write_text(CHAT_TEMPLATE)
    assert ends(bare) == {IM}
    (bare / "chat_template.jinja").unlink()
    assert ends(bare) == set()
    write(bare, tokenizer_config={"chat_template": [{"name": "x", "template": CHAT_TEMPLATE}]})
    assert ends(bare) == {IM}


def test_a_name_that_only_ends_a_part_of_a_turn_is_no_end(bare: Path) -> None:
    tokenizer = json.loads((bare / "tokenizer.json").read_text())
    names = ("<|end|>", "<|return|>", "<|call|>")
    added = [{"id": 50 + at, "content": name} for at, name in enumerate(names)]
    (bare / "chat_template.jinja").write_text("{{ messages }}<|end|><|return|>")
    write(bare, tokenizer=tokenizer | {"added_tokens": added})
    assert ends(bare) == set()
    write(bare, tokenizer=tokenizer | {"added_tokens": added[:1]})
    assert ends(bare) == {50}


@pytest.mark.parametrize(
    "tokenizer",
    [
        {},
        {"added_tokens": 5, "model": []},
        {"added_tokens": [5, {"id": "x", "content": IM_END}, {"content": IM_END}], "model": {}},
        {"model": {"vocab": [[IM_END], 5, [], ["x", 0.5]]}},
        {"model": {"vocab": {IM_END: "two"}}},
    ],
)
def test_a_strange_tokenizer_file_breaks_nothing(bare: Path, tokenizer: Any) -> None:
    write(bare, tokenizer=tokenizer, tokenizer_config={"eos_token": IM_END})
    edit(bare, eos_token_id=9)
    assert ends(bare) <= {END, 9}


def test_the_ids_of_a_unigram_model_are_those_of_its_list(bare: Path) -> None:
    vocabulary = [["<unk>", 0.0], ["x", -1.0], ["</s>", -2.0]]
    write(bare, tokenizer={"model": {"vocab": vocabulary}}, tokenizer_config={"eos_token": "</s>"})
    assert ends(bare) == {2}


def test_what_differs_is_said_in_one_line(bare: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "serve.engine.end_tokens"):
        write(bare, tokenizer_config={"eos_token": IM_END}, generation_config={"eos_token_id": IM})
        assert ends(bare) == {IM}
        assert not caplog.records, "where they agree nothing is said"
        edit(bare, eos_token_id=END)
        ends(bare)
    (record,) = caplog.records
    assert "end-of-sequence tokens differ" in record.message
    wanted = "config.json: 0; generation_config.json: 2; tokenizer_config.json: 2."
    assert vars(record)["reason"] == wanted
    assert vars(record)["model"] == bare.name


@pytest.mark.parametrize("odd", ["2", {"a": 1}, True, 2.0, [1, None], [[1]], ["</s>"]])
def test_a_config_that_names_no_ids_is_refused_in_words(folder: Path, odd: Any) -> None:
    edit(folder, eos_token_id=odd)
    refuse(folder, "eos_token_id is .* in its config.json, which is no token id")


def test_tokens_that_other_files_than_the_tokenizers_add_are_known(bare: Path) -> None:
    decoder = {"9": {"content": "<|done|>"}, "x": {"content": "a"}, "10": 5}
    write(bare, tokenizer_config={"eos_token": "<|done|>", "added_tokens_decoder": decoder})
    assert ends(bare) == {9}
    write(bare, tokenizer_config={"eos_token": "<|done|>"}, added_tokens={"<|done|>": 8})
    assert ends(bare) == {8}


def test_text_is_encoded_by_the_tokenizers_own_ids(bare: Path) -> None:
    decoder = {"9": {"content": IM_END}}
    write(bare, tokenizer_config={"eos_token": IM_END, "added_tokens_decoder": decoder})
    assert ends(bare) == {IM}


def test_that_nothing_ends_an_answer_is_said(bare: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "serve.engine.end_tokens"):
        assert ends(bare) == set()
    (record,) = caplog.records
    assert "no file names an end-of-sequence token" in record.message
