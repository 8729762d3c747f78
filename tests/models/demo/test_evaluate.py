"""Scores are counted by category, and written where the card reads them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from models.demo import evaluate
from models.demo.evaluate import Graded, scores, table


def graded(category: str, right: bool) -> Graded:
    return Graded({"category": category}, "an answer", right)


def test_scores_are_right_answers_of_items_and_all_comes_last() -> None:
    found = scores([graded("sums", True), graded("json", False), graded("sums", False)])
    assert found == {"sums": (1, 2), "json": (0, 1), "all": (1, 3)}
    assert list(found)[-1] == "all"


def test_the_table_has_a_row_for_each_and_shares_with_one_digit() -> None:
    assert table({"sums": (2, 3), "all": (2, 3)}).splitlines() == [
        "| category | right | items | share |",
        "|---|--:|--:|--:|",
        "| sums | 2 | 3 | 66.7% |",
        "| all | 2 | 3 | 66.7% |",
    ]


def test_the_scores_are_recorded_beside_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "training.json"
    path.write_text('{"steps": 3, "evaluation": {"old": [1, 1]}}')
    evaluate.record({"all": (1, 2)}, path)
    assert json.loads(path.read_text()) == {"steps": 3, "evaluation": {"all": [1, 2]}}


def test_items_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "items.jsonl"
    path.write_text('{"id": "a"}\n{"id": "é"}\n', encoding="utf-8")
    assert evaluate.read_items(path) == [{"id": "a"}, {"id": "é"}]


def test_each_answer_is_graded_by_its_own_item(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "items.jsonl"
    items = [{"category": "sums", "expect": {"number": n}} for n in (1, 2)]
    path.write_text("\n".join(map(json.dumps, items)))
    monkeypatch.setattr(evaluate, "answers", lambda weights, items: ["It is 1.", "It is 3."])
    found = evaluate.evaluate(tmp_path, path)
    assert [(one.answer, one.right) for one in found] == [("It is 1.", True), ("It is 3.", False)]


def test_wrong_answers_are_told_apart_from_the_result(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    item = {"id": "sums-001", "category": "sums", "messages": [{"content": "1 + 1?"}]}
    monkeypatch.setattr(evaluate, "evaluate", lambda *_: [Graded(item, "3", False)])
    monkeypatch.setattr("sys.argv", ["evaluate", "--json", "--wrong"])
    evaluate.main()
    said = capsys.readouterr()
    assert json.loads(said.out)["all"] == {"right": 0, "items": 1}
    assert said.err == "sums-001: '1 + 1?' -> '3'\n"
