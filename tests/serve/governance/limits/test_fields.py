"""Fields of a table: each bad value is refused with its place, its name and what is taken."""

from __future__ import annotations

import pytest

from serve.errors import StartupError
from serve.governance.limits.fields import Fields

NAMES = ("name", "most", "tokens_per_minute", "money_per_day")


def read(table: object) -> tuple[object, ...]:
    fields = Fields("here", table, NAMES)
    return fields.text("name"), fields.count("most", 10), fields.bounds()


def test_values_are_read_and_what_is_missing_is_none() -> None:
    table = {"name": "a", "tokens_per_minute": 5, "money_per_day": "1.5"}
    bounds = {"tokens_per_minute": 5, "money_per_day": 1_500_000}
    assert read(table) == ("a", None, bounds)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ([], "here: is not a table."),
        ({"nam": "a"}, r"'nam' is no field of it\..*name"),
        ({"name": "a\n"}, "name is 'a\\\\n': a string of printable characters"),
        ({"name": ""}, "name is '': a string"),
        ({"name": "a" * 257}, "257 characters: at most 256"),
        ({"most": True}, "most is True: a whole number"),
        ({"most": 1.0}, "most is 1.0: a whole number"),
        ({"most": 11}, "most is 11: at least 1 and at most 10"),
        ({"money_per_day": 1}, "money_per_day is 1: write money as a string"),
        ({"money_per_day": "0"}, "money_per_day is 0: to let nobody in, revoke the key"),
    ],
)
def test_a_bad_value_is_refused_by_name(table: object, message: str) -> None:
    with pytest.raises(StartupError, match=message):
        read(table)
