"""The evaluation is written from the data files and a seed alone."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from models.demo import make_eval
from models.demo.graders import GRADERS


def test_the_file_is_what_the_generator_writes() -> None:
    written = make_eval.PATH.read_text(encoding="utf-8").splitlines()
    assert written == make_eval.lines()
    assert len(written) >= 300


def test_every_item_can_be_graded_and_ends_with_what_is_to_be_answered() -> None:
    for item in make_eval.items():
        assert item.expect
        assert set(item.expect) <= set(GRADERS)
        assert item.messages[-1]["role"] in {"user", "tool"}


def test_ids_are_unique_and_count_within_their_category() -> None:
    rows = [json.loads(line) for line in make_eval.lines()]
    assert len({row["id"] for row in rows}) == len(rows)
    for category, count in Counter(row["category"] for row in rows).items():
        assert f"{category.replace(' ', '-')}-{count:03d}" in {row["id"] for row in rows}


def test_categories_have_the_counts_that_were_asked_for() -> None:
    counts = Counter(item.category for item in make_eval.items())
    asked = make_eval.COUNTS
    assert counts["sums"] == asked["sums"]
    assert counts["copying"] == asked["copying"] + asked["name"]
    assert (counts["tool call"], counts["tool result"]) == (asked["call"], asked["result"])


def test_another_seed_asks_nothing_that_the_evaluation_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "other.jsonl"
    monkeypatch.setattr("sys.argv", ["make_eval", "--seed", "5", "--output", str(path)])
    make_eval.main()

    def last(line: str) -> str:
        return str(json.loads(line)["messages"][-1]["content"])

    drawn = path.read_text(encoding="utf-8").splitlines()
    assert len(drawn) > 100
    assert not {last(line) for line in drawn} & {last(line) for line in make_eval.lines()}
