"""What a model is calibrated on."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import store
from models.demo.conversation import normalise
from models.refs import Artifact
from quantize.calibrate import texts
from quantize.errors import OptionError

EVALUATION = Path(store.DEMO_WEIGHTS).parent / "eval.jsonl"


def render(messages: list[dict], tools: list[dict] | None) -> str:
    return "|".join(message["content"] for message in messages) + ("+tools" if tools else "")


def parts(tmp_path: Path, name: str, content: str) -> tuple[str, ...]:
    (tmp_path / name).write_text(content)
    return texts.text_of(tmp_path / name, store.demo(), render).parts


def test_files_of_both_kinds(tmp_path: Path) -> None:
    assert parts(tmp_path, "a.txt", "one\ntwo\n") == ("one\ntwo\n",)
    lines = [
        {"text": "plain"},
        {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]},
        {"messages": [{"role": "user", "content": "c"}], "tools": [{"type": "function"}]},
    ]
    found = parts(tmp_path, "b.jsonl", "\n".join(map(json.dumps, lines)) + "\n\n")
    assert found == ("plain", "a|b", "c+tools")


@pytest.mark.parametrize("line", ["no json", "[]", '{"other": 1}', '{"text": 5}'])
def test_lines_that_are_neither_are_named(tmp_path: Path, line: str) -> None:
    with pytest.raises(OptionError, match=r"c\.jsonl, line 2 is no JSON object"):
        parts(tmp_path, "c.jsonl", '{"text": "fine"}\n' + line)


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.txt", tmp_path):
        with pytest.raises(OptionError, match="cannot be read"):
            texts.text_of(path, store.demo(), render)
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(OptionError, match="cannot be read: is not UTF-8"):
        texts.text_of(tmp_path / "bytes.txt", store.demo(), render)


def test_another_model_needs_a_text(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="--text FILE"):
        texts.text_of(None, Artifact(name="x", path=tmp_path), render)


def test_the_built_in_model_is_not_calibrated_on_its_evaluation() -> None:
    made = normalise("\n".join(texts.text_of(None, store.demo(), render).parts))
    assert "what is" in made
    items = [json.loads(line) for line in EVALUATION.read_text("utf-8").splitlines()]
    # Shorter ones are parts of others: "Hi" stands in half of all texts.
    asked = {normalise(item["messages"][-1]["content"]) for item in items}
    seen = {question for question in asked if len(question) > 20 and question in made}
    assert seen == set()


def test_the_hash_is_of_the_parts_and_their_bounds() -> None:
    hashes = {texts.Text(name="n", parts=p).sha256 for p in (("ab",), ("a", "b"), ("a", "c"))}
    assert len(hashes) == 3
    assert texts.Text(name="other", parts=("ab",)).sha256 in hashes


@given(st.integers(0, 500), st.integers(1, 40), st.integers(1, 20))
def test_windows_are_whole_and_do_not_overlap(num: int, length: int, count: int) -> None:
    if num < length:
        with pytest.raises(OptionError, match=f"has {num} tokens, and a sample has {length}"):
            texts.windows(range(num), length, count)
        return
    found = texts.windows(range(num), length, count)
    assert len(found) == min(count, num // length)
    assert all(window == list(range(window[0], window[0] + length)) for window in found)
    assert all(a[-1] < b[0] for a, b in itertools.pairwise(found))
