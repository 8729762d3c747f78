"""Answers as real models write them: the right ones are found, the wrong ones are not."""

from __future__ import annotations

import json

import pytest

from benchmarks.quality.command import ITEMS
from benchmarks.quality.graders import GRADERS, grade
from benchmarks.quality.sequences import read_items

CODE = {"function": "fib", "cases": [[[0], 0], [[10], 55]]}
FIB = "def fib(n):\n    return n if n < 2 else fib(n - 1) + fib(n - 2)\n"


@pytest.mark.parametrize(
    ("answer", "expect"),
    [
        ("The capital of France is **Paris**.", {"any": ["Paris"]}),
        ("首都是巴黎。", {"any": ["Paris", "巴黎"]}),
        ("There are seven days.", {"any": ["7", "seven"]}),
        ("一年有12个月。", {"any": ["12", "十二"]}),
        ("25加38等于63。", {"says": 63}),
        ("17 + 25 = 42.", {"says": 42}),
        ("The answer is $1,234.00", {"says": 1234}),
        ("It is 42。", {"says": 42}),
        ("−3", {"says": -3}),
        ('"Blue river 42".', {"one_of": ["blue river 42"]}),
        ("Yes, it is.", {"matches": r"^\W*yes\b"}),
        ('Here you are:\n```json\n{"name": "Anna", "age": 31}\n```', {"object": {"age": 31}}),
        ('{"price": 45.0}', {"object": {"price": 45}}),
        ("Sure! [1, 2, 3] it is", {"list": [1, 2, 3]}),
        (f"Of course:\n```python\n{FIB}```\nIt works.", {"code": CODE}),
        (FIB, {"code": CODE}),
        ("fine", {"without": ["sorry"]}),
        ("42", {"number": 42}),
    ],
)
def test_right_answers(answer, expect):
    assert grade(answer, expect)


@pytest.mark.parametrize(
    ("answer", "expect"),
    [
        ("Parisian", {"any": ["Paris"]}),
        ("It is 142, or 42.5, or v42.", {"says": 42}),
        ("blue river 42 it is", {"one_of": ["blue river 42"]}),
        ("No. Yes!", {"matches": r"^\W*yes\b"}),
        ('{"age": "31"}', {"object": {"age": 31}}),
        ('{"ok": 1}', {"object": {"ok": True}}),
        ("{'age': 31}", {"object": {"age": 31}}),
        ("[1, 2]", {"list": [1, 2, 3]}),
        ("no code", {"code": CODE}),
        ("def fib(n):\n    return 55", {"code": CODE}),
        ("sorry, no", {"without": ["sorry"]}),
        ("", {"any": ["x"]}),
        ("[" * 5000, {"list": [1]}),
    ],
)
def test_wrong_answers(answer, expect):
    assert not grade(answer, expect)


def test_an_item_without_expectations_is_refused():
    with pytest.raises(ValueError, match="without expectations"):
        grade("x", {})


def test_the_built_in_questions():
    items = read_items(ITEMS)
    assert 50 <= len(items) <= 80
    assert len({item["id"] for item in items}) == len(items)
    assert len({item["messages"][0]["content"] for item in items}) == len(items)
    kinds = {kind for item in items for kind in item["expect"]}
    assert kinds <= set(GRADERS)
    assert {"any", "says", "object", "list", "code", "matches", "one_of"} <= kinds
    asked = [item["messages"][0]["content"] for item in items]
    assert sum(any("一" <= sign <= "鿿" for sign in text) for text in asked) >= 12


@pytest.mark.parametrize("answer", ["", "I do not know.", "42", "是", "{}", "def f(): pass"])
def test_no_answer_fits_many_questions(answer):
    right = [item["id"] for item in read_items(ITEMS) if grade(answer, item["expect"])]
    assert len(right) <= 1


def test_the_file_is_one_object_a_line():
    for line in ITEMS.read_text("utf-8").splitlines():
        assert json.loads(line).keys() == {"id", "category", "messages", "expect"}
