"""Graders of answers by a model that talks as it likes: the built-in model's, for an answer that
can only be right or wrong, and these, which look for the right one in it:

    {"any": ["Paris", "巴黎"]}                       one of the terms occurs, whatever the case
    {"says": 42}                                     the number occurs, in digits, on its own
    {"one_of": ["yes"]}                              the answer is one of these words, and no more
    {"matches": "2026-0?3-0?9"}                      a regular expression of ours is found
    {"object": {"name": "Anna"}}                     its JSON has these fields with these values
    {"list": [1, 2, 3]}                              its JSON is this list
    {"code": {"function": "f", "cases": [[[3], 9]]}} its Python gives these results
    {"without": ["sorry"]}                           none of the terms occurs

Code is not run: ``small_python.py`` walks over it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from benchmarks.quality import small_python
from benchmarks.quality.python_operations import Refused
from models.demo import graders as strict

_FENCE = re.compile(r"```[\w+-]*[ \t]*\n(.*?)(?:```|\Z)", re.DOTALL)
# Chinese characters are \w as well, and stand right beside what is looked for.
_BEFORE, _AFTER = r"(?<![A-Za-z0-9_.])", r"(?![A-Za-z0-9_]|\.\d)"
_AROUND = " \t\r\n.,;:!?\"'`*()。，！？“”「」"


def grade(answer: str, expect: Mapping[str, Any]) -> bool:
    """Whether every expectation of an item holds.

    Raises:
        ValueError: there is none, which would let anything pass.
        KeyError: one has no grader.
    """
    if not expect:
        raise ValueError("an item without expectations cannot be graded")
    return all(GRADERS[kind](answer, wanted) for kind, wanted in expect.items())


def any_of(answer: str, expected: list[str]) -> bool:
    """One of the terms occurs as a whole: next to it are no Latin letters or digits."""
    return any(
        re.search(rf"{_BEFORE}{re.escape(term)}{_AFTER}", answer, re.IGNORECASE)
        for term in expected
    )


def says(answer: str, expected: float) -> bool:
    """The number stands somewhere on its own; ``1,234`` and ``1234.0`` are 1234."""
    plain = re.sub(r"(?<=\d)[,，](?=\d{3}\b)", "", answer)
    numbers = re.findall(rf"{_BEFORE}[-−]?\d+(?:\.\d+)?{_AFTER}", plain)
    return any(float(number.replace("−", "-")) == expected for number in numbers)


def one_of(answer: str, expected: list[str]) -> bool:
    """The answer is one of these, signs around it apart."""
    return answer.strip(_AROUND).casefold() in {term.casefold() for term in expected}


def matches(answer: str, expected: str) -> bool:
    """The expression is found."""
    return re.search(expected, answer, re.IGNORECASE) is not None


def has_object(answer: str, expected: Mapping[str, Any]) -> bool:
    """The answer's first JSON object has these fields, and perhaps more."""
    first_object = next((value for value in _values(answer) if isinstance(value, dict)), None)
    return first_object is not None and all(
        name in first_object and _same(first_object[name], value)
        for name, value in expected.items()
    )


def has_list(answer: str, expected: list[Any]) -> bool:
    """The answer's first JSON list is this one."""
    first_list = next((value for value in _values(answer) if isinstance(value, list)), None)
    return first_list is not None and _same(first_list, expected)


def has_code(answer: str, expected: Mapping[str, Any]) -> bool:
    """The function of the answer's Python gives the expected result in every case."""
    for source in (*_FENCE.findall(answer), answer):
        try:
            results = [
                small_python.call(source, expected["function"], json.loads(json.dumps(arguments)))
                for arguments, _ in expected["cases"]
            ]
        except Refused:
            continue
        wanted = [result for _, result in expected["cases"]]
        if all(_same(_listed(a), b) for a, b in zip(results, wanted, strict=True)):
            return True
    return False


def without(answer: str, expected: list[str]) -> bool:
    """None of the terms occurs."""
    return not any_of(answer, expected)


GRADERS: Mapping[str, Callable[[str, Any], bool]] = {
    **strict.GRADERS,
    "any": any_of,
    "says": says,
    "one_of": one_of,
    "matches": matches,
    "object": has_object,
    "list": has_list,
    "code": has_code,
    "without": without,
}


def _values(answer: str) -> Iterator[Any]:
    """Every JSON object and list of the answer that is not within another."""
    decoder = json.JSONDecoder()
    place = 0
    while (begin := re.compile(r"[{\[]").search(answer, place)) is not None:
        try:
            value, place = decoder.raw_decode(answer, begin.start())
        except (ValueError, RecursionError):
            place = begin.end()
            continue
        yield value


def _listed(value: Any) -> Any:
    """Tuples as lists: cases are written in JSON."""
    return [_listed(item) for item in value] if isinstance(value, list | tuple) else value


def _same(answer: Any, wanted: Any) -> bool:
    """Equality that tells 1 from true and not 1 from 1.0, at any depth."""
    if isinstance(answer, bool) or isinstance(wanted, bool):
        return answer is wanted
    if isinstance(wanted, list):
        is_list = isinstance(answer, list) and len(answer) == len(wanted)
        return is_list and all(map(_same, answer, wanted))
    if isinstance(wanted, Mapping):
        has_all = isinstance(answer, Mapping) and set(answer) == set(wanted)
        return has_all and all(_same(answer[name], value) for name, value in wanted.items())
    return (type(answer) is not str and type(wanted) is not str and answer == wanted) or (
        type(answer) is str and type(wanted) is str and answer.strip() == wanted
    )
