"""Graders, which decide whether an answer holds what its question asked for.

Each grader takes the text that the model wrote and what the evaluation expects. They look at the
content alone and are strict about it: numbers, names and arguments must be exact. An expectation
has one key, which is the grader's name:

    {"number": 42}                                   the last integer of the answer
    {"terms": ["make serve"]}                        every term occurs, whatever the case
    {"text": "red stone"}                            the whole answer
    {"json": {"name": "Anna"}}                       the answer parses to this object
    {"call": {"name": "add", "arguments": {...}}}    one tool call, and nothing else
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

CALL = re.compile(r"\s*<tool_call>\s*(.*?)\s*</tool_call>\s*", re.DOTALL)
INTEGER = re.compile(r"(?<![\w.])-?\d+(?![\w]|\.\d)")


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return None


def _same(value: Any, expected: Any) -> bool:
    """Equality at any depth, in which 1 and true differ."""
    return json.dumps(value, sort_keys=True) == json.dumps(expected, sort_keys=True)


def number(answer: str, expected: int) -> bool:
    """The last integer that stands alone in the answer is the expected one."""
    numbers = INTEGER.findall(answer)
    return bool(numbers) and int(numbers[-1]) == expected


def terms(answer: str, expected: list[str]) -> bool:
    """Every term occurs as a whole: "red" is not found in "bored", nor "8" in "80"."""
    folded = answer.casefold()
    return all(_occurs(folded, term.casefold()) for term in expected)


def _occurs(text: str, term: str) -> bool:
    ascii_word = r"[a-z0-9_]"
    before = rf"(?<!{ascii_word})" if re.match(ascii_word, term) else ""
    after = rf"(?!{ascii_word})" if re.match(ascii_word, term[-1]) else ""
    if re.fullmatch(r"-?\d+", term):
        before, after = r"(?<![\w.\-])", r"(?!\w|\.\d)"
    return re.search(before + re.escape(term) + after, text) is not None


def text(answer: str, expected: str) -> bool:
    """The answer is the expected text, spaces around it apart."""
    return answer.strip() == expected


def json_object(answer: str, expected: dict[str, Any]) -> bool:
    """The answer is one JSON object with exactly the expected fields and values."""
    return _same(_parsed(answer), expected)


def call(answer: str, expected: dict[str, Any]) -> bool:
    """The answer is exactly one tool call with the expected name and arguments."""
    match = CALL.fullmatch(answer)
    return match is not None and _same(_parsed(match[1]), expected)


GRADERS: dict[str, Callable[[str, Any], bool]] = {
    "number": number,
    "terms": terms,
    "text": text,
    "json": json_object,
    "call": call,
}


def grade(answer: str, expect: dict[str, Any]) -> bool:
    """Grade an answer by every expectation of an item.

    Raises:
        ValueError: If there is no expectation, which would let anything pass.
        KeyError: If an expectation has no grader.
    """
    if not expect:
        raise ValueError("An item without expectations cannot be graded: anything would pass.")
    return all(GRADERS[kind](answer, expected) for kind, expected in expect.items())
