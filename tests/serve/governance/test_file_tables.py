"""Tables of a TOML file: lists, truths, fractions, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from serve.errors import StartupError
from serve.governance.file_tables import Table, digest_of, read_document


def table(**fields: Any) -> Table:
    return Table("[x]", fields, ("a",))


def test_fields_of_the_right_kind() -> None:
    assert table(a=["b"]).texts("a", 1, 1) == ("b",)
    assert table().texts("a", 1, 1) == ()
    assert table(a=False).flag("a") is False
    assert table(a=1).number("a", 0, 1) == 1.0
    assert table(a="b").one_of("a", ("b", "c")) == "b"
    assert table(a={"b": 1}).inner("a") == {"b": 1}
    assert table(a="one\ntwo").line("a", 9) == "one\ntwo"


@pytest.mark.parametrize(
    ("read", "why"),
    [
        (lambda: table(a="b").texts("a", 1, 1), "a list of strings is needed"),
        (lambda: table(a=["b", "c"]).texts("a", 1, 1), "a has 2 entries: at most 1"),
        (lambda: table(a=[" "]).texts("a", 1, 1), "a string that says something"),
        (lambda: table(a=["bc"]).texts("a", 1, 1), "has 2 characters: at most 1"),
        (lambda: table(a=1).flag("a"), "true or false"),
        (lambda: table(a=True).number("a", 0, 1), "a number is needed"),
        (lambda: table(a=2).number("a", 0, 1), "at least 0 and at most 1"),
        (lambda: table(a="bb").one_of("a", ("b", "c")), "Did you mean b?"),
        (lambda: table(a=1).inner("a"), "no table of tables"),
        (lambda: table(a=1).line("a", 9), "a string is needed"),
        (lambda: table(a="b" * 10).line("a", 9), "10 characters: at most 9"),
    ],
)
def test_others_say_why(read: Any, why: str) -> None:
    with pytest.raises(StartupError) as refused:
        read()
    assert why.replace("no table", "not a table") in str(refused.value)
    assert str(refused.value).startswith("[x]: ")


def test_a_digest_is_of_what_a_file_says() -> None:
    assert digest_of({"a": 1, "b": ["c"]}) == digest_of({"b": ["c"], "a": 1})
    assert digest_of({"a": 1}) != digest_of({"a": 2})


def test_a_document(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text("a = 1", "utf-8")
    assert read_document(path, "File") == {"a": 1}
    path.write_bytes(b"\xff")
    with pytest.raises(StartupError, match="cannot be used"):
        read_document(path, "File")
