"""The graders accept right answers and, above all, refuse wrong ones."""

from __future__ import annotations

import pytest

from models.demo.graders import grade


@pytest.mark.parametrize(
    ("answer", "expected", "right"),
    [
        ("42", 42, True),
        ("17 + 25 = 42.", 42, True),
        ("14 - 90 = -76.", -76, True),
        ("3 - 8 = -5", -5, True),
        ("17 + 25 = 43.", 42, False),
        ("17 + 25 = 421.", 42, False),
        ("42 + 1 = 43.", 42, False),
        ("14 - 90 = 76.", -76, False),
        ("90 - 14 = -76.", 76, False),
        ("42.5", 42, False),
        ("forty-two", 42, False),
        ("", 0, False),
    ],
)
def test_number_is_exact(answer: str, expected: int, right: bool) -> None:
    assert grade(answer, {"number": expected}) is right


@pytest.mark.parametrize(
    ("answer", "terms", "right"),
    [
        ("Run `make serve`.", ["make serve"], True),
        ("The capital of France is Paris.", ["paris"], True),
        ("Hashes only; ONLY HASHES.", ["only hashes"], True),
        ("默认地址是 http://127.0.0.1:8000。", ["http://127.0.0.1:8000"], True),
        ("It is sunny and -3 degrees in Oslo.", ["-3", "sunny"], True),
        ("Run `make server`.", ["make serve"], False),
        ("Run `make test`.", ["make serve"], False),
        ("I am bored.", ["red"], False),
        ("It is 80 degrees.", ["8"], False),
        ("It is -3 degrees.", ["3"], False),
        ("It is 3.5 degrees.", ["3"], False),
        ("The schemes are int8 and int4.", ["int8", "int4", "fp8"], False),
        ("", ["x"], False),
    ],
)
def test_terms_are_whole_and_all_needed(answer: str, terms: list[str], right: bool) -> None:
    assert grade(answer, {"terms": terms}) is right


@pytest.mark.parametrize(
    ("answer", "right"),
    [("red stone", True), (" red stone\n", True), ("red stones", False), ("Red stone", False)],
)
def test_text_is_the_whole_answer(answer: str, right: bool) -> None:
    assert grade(answer, {"text": "red stone"}) is right


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ('{"name": "Anna", "age": 31}', True),
        ('{"age": 31, "name": "Anna"}', True),
        ('{"name": "Anna", "age": "31"}', False),
        ('{"name": "Anna", "age": 31, "city": "Rome"}', False),
        ('{"name": "Anna"}', False),
        ('{"name": "Anna", "age": 31', False),
        ('Here: {"name": "Anna", "age": 31}', False),
        ("null", False),
    ],
)
def test_json_has_exactly_the_fields(answer: str, right: bool) -> None:
    assert grade(answer, {"json": {"name": "Anna", "age": 31}}) is right


def test_json_tells_true_from_one() -> None:
    assert not grade('{"active": 1}', {"json": {"active": True}})
    assert grade('{"active": true}', {"json": {"active": True}})


@pytest.mark.parametrize(
    ("body", "right"),
    [
        ('{"name": "add", "arguments": {"a": 1, "b": 2}}', True),
        ('{"name": "add", "arguments": {"b": 2, "a": 1}}', True),
        ('{"name": "sub", "arguments": {"a": 1, "b": 2}}', False),
        ('{"name": "add", "arguments": {"a": 2, "b": 1}}', False),
        ('{"name": "add", "arguments": {"a": "1", "b": "2"}}', False),
        ('{"name": "add", "arguments": {"a": 1}}', False),
        ('{"name": "add", "arguments": {"a": 1, "b": 2}', False),
    ],
)
def test_call_needs_name_and_arguments(body: str, right: bool) -> None:
    expect = {"call": {"name": "add", "arguments": {"a": 1, "b": 2}}}
    assert grade(f"<tool_call>\n{body}\n</tool_call>", expect) is right
    assert not grade(body, expect)
    assert not grade(f"<tool_call>\n{body}\n</tool_call> and more", expect)


def test_nothing_expected_is_an_error() -> None:
    with pytest.raises(ValueError, match="without expectations"):
        grade("anything", {})
    with pytest.raises(KeyError):
        grade("anything", {"vibes": "good"})


def test_every_expectation_counts() -> None:
    assert not grade("17 + 25 = 42.", {"number": 42, "terms": ["Paris"]})
