"""Expressions mean what Python means by them, or are refused."""

from __future__ import annotations

import ast

import pytest

from benchmarks.quality import python_expressions
from benchmarks.quality.python_expressions import Expressions
from benchmarks.quality.python_operations import Refused

NAMES = {"x": 3, "s": "abc", "l": [1, 2, 3], "d": {"a": 1}}


class Alone(Expressions):
    """Expressions whose functions give their first argument back."""

    def run(self, function, arguments):
        return arguments[0]


def value(text: str, functions: str = ""):
    found = Alone([node for node in ast.parse(functions).body if isinstance(node, ast.FunctionDef)])
    return found.value(ast.parse(text, mode="eval").body, {**NAMES, "l": list(NAMES["l"])})


@pytest.mark.parametrize(
    "text",
    [
        "x < 4 < 5 != 6",
        "x > 4 < 1 / 0",
        "x and s or l",
        "0 or '' or []",
        "x == 3 and not s",
        "'y' if x > 3 else -x",
        "l[-1] + l[0:2][1]",
        "s[::-1]",
        "[a * b for a in l if a > 1 for b in l]",
        "{a: a % 2 for a in l}",
        "{a % 2 for a in l}",
        "sum(a for a in l)",
        "f'{x} and {s}'",
        "(x, [s], {x}, {'k': x})",
        "d.get('b', x)",
    ],
)
def test_it_means_what_python_means(text) -> None:
    assert value(text) == eval(text, dict(NAMES))  # our own text, above


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("y", "y is not known"),
        ("lambda: 1", "Lambda is not known"),
        ("s.upper", "Attribute is not known"),
        ("max(l, key=x)", "such arguments"),
        ("f'{x:>9}'", "formats"),
        ("f'{x!r}'", "formats"),
        ("(lambda: 1)()", "such a call"),
        ("[*l]", "Starred"),
    ],
)
def test_what_is_not_known_is_refused(text, message) -> None:
    with pytest.raises(Refused, match=message):
        value(text)


def test_a_comprehension_leaves_no_name_behind() -> None:
    with pytest.raises(Refused, match="a is not known"):
        value("[[a for a in l], a]")


def test_a_function_of_the_source_comes_before_a_builtin() -> None:
    assert value("len(l)") == 3
    assert value("len(l)", "def len(v):\n return 9") == [1, 2, 3]


def test_steps_are_counted(monkeypatch) -> None:
    monkeypatch.setattr(python_expressions, "MOST_STEPS", 4)
    assert value("1 + 2") == 3
    with pytest.raises(Refused, match="too many steps"):
        value("1 + 2 + 3")


def test_targets_are_names_several_of_them_and_items() -> None:
    names = NAMES | {"d": {"a": 1}}
    holder = ast.parse("(x, d['b'], [s, y]) = 0").body[0].targets[0]
    Alone([]).assign(holder, [1, 2, "pq"], names)
    assert (names["x"], names["d"], names["s"], names["y"]) == (1, {"a": 1, "b": 2}, "p", "q")
    with pytest.raises(Refused, match="Attribute cannot be assigned"):
        Alone([]).assign(ast.parse("x.y = 0").body[0].targets[0], 1, names)
