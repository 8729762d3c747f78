"""Data sets ask for what their names say, and the same for the same seed."""

from __future__ import annotations

import json
import statistics
from itertools import islice
from pathlib import Path

import pytest

from benchmarks.serving.datasets import DATASETS, FROM_FILES, Shape, requests

SHAPE = Shape(model="m", input_tokens=108, output_tokens=20)
TALK = [
    {"from": "human", "value": "hello"},
    {"from": "gpt", "value": "hi"},
    {"from": "human", "value": "why"},
    {"from": "gpt", "value": "so"},
]


def bodies(name: str, count: int = 12, seed: int = 0, **facts: object) -> list[dict]:
    shape = Shape(**{"model": "m", "input_tokens": 108, "output_tokens": 20} | facts)
    return [asked.body for asked in islice(requests(name, shape, seed), count)]


def words(body: dict) -> int:
    return sum(len(message["content"].split()) for message in body["messages"])


@pytest.mark.parametrize("name", sorted(set(DATASETS) - FROM_FILES))
def test_seeds_repeat_themselves_and_differ(name: str) -> None:
    assert bodies(name) == bodies(name)
    assert bodies(name) != bodies(name, seed=1)
    for body in bodies(name):
        assert body["stream_options"] == {"include_usage": True}
        assert body["ignore_eos"]
    assert "ignore_eos" not in bodies(name, is_exact=False)[0]


def test_lengths_follow_the_servers_own_count() -> None:
    assert {words(body) for body in bodies("synthetic")} == {100}
    assert {words(body) for body in bodies("synthetic", words_per_token=0.5)} == {50}
    varied = bodies("synthetic", 400, spread=0.5)
    outputs = [body["max_tokens"] for body in varied]
    assert min(outputs) >= 10
    assert max(outputs) <= 30
    assert statistics.mean(outputs) == pytest.approx(20, rel=0.05)
    assert len({words(body) for body in varied}) > 50


def test_no_two_prompts_begin_alike_unless_they_should() -> None:
    synthetic = bodies("synthetic", 50)
    assert len({body["messages"][0]["content"][:16] for body in synthetic}) == 50
    shared = bodies("shared-prefix", 50)
    assert len({body["messages"][0]["content"] for body in shared}) == 1
    assert len({body["messages"][1]["content"] for body in shared}) == 50


def test_one_long_prompt_in_eight() -> None:
    assert [words(body) > 500 for body in bodies("long-context", 16)] == ([False] * 7 + [True]) * 2


def test_tools_and_json_take_turns() -> None:
    kinds = [("tools" in body, "response_format" in body) for body in bodies("tools", 3)]
    assert kinds == [(False, False), (True, False), (False, True)]


def test_conversations_end_with_a_question(tmp_path: Path) -> None:
    path = tmp_path / "talks.jsonl"
    other = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "now"}]
    lines = [{"conversations": TALK}, {"messages": other}, {"conversations": TALK[1:2]}]
    path.write_text("\n".join(map(json.dumps, lines)))
    some = bodies("conversations", 8, path=path)
    said = {tuple(message["role"] for message in body["messages"]) for body in some}
    assert said == {("user", "assistant", "user"), ("system", "user")}


def test_a_recording_is_replayed_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "recorded.jsonl"
    line = {"at_s": 1.5, "input_tokens": 30, "output_tokens": 7}
    path.write_text(json.dumps(line) + "\n\n" + json.dumps(line | {"at_s": 2.0}))
    shape = Shape(model="m", input_tokens=1, output_tokens=1, path=path)
    some = list(requests("replay", shape, 0))
    assert [asked.at_s for asked in some] == [1.5, 2.0]
    assert [(words(asked.body), asked.body["max_tokens"]) for asked in some] == [(30, 7)] * 2


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("replay", '{"at_s": 1}', "line 1: at_s"),
        ("replay", "no json", "line 1, is no JSON"),
        ("conversations", '{"conversations": []}', "no line has"),
        ("conversations", None, "needs --file"),
    ],
)
def test_what_is_no_data_set_is_refused(name, text, said, tmp_path: Path) -> None:
    path = None
    if text is not None:
        path = tmp_path / "f.jsonl"
        path.write_text(text)
    with pytest.raises(ValueError, match=said):
        bodies(name, path=path)
