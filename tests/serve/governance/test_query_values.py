"""Days and page sizes of reports' routes: strict, and told with what was given."""

from __future__ import annotations

from datetime import date

import pytest

from serve.errors import InvalidRequest
from serve.governance.query_values import day_of, limit_of


def test_what_is_not_given_has_its_default() -> None:
    assert day_of("from", None) is None
    assert limit_of(None, default=100, most=1000) == 100


def test_what_is_given_is_taken() -> None:
    assert day_of("from", "2026-11-30") == date(2026, 11, 30)
    assert limit_of("1000", default=100, most=1000) == 1000


@pytest.mark.parametrize("text", ["", "2026-2-1", "2026-02-30", "20261130", "2026-11-30T00"])
def test_no_day(text: str) -> None:
    with pytest.raises(InvalidRequest, match=r"from is .* a day is needed") as refused:
        day_of("from", text)
    assert refused.value.param == "from"


@pytest.mark.parametrize("text", ["", "0", "-1", "1001", "1.5", "٣", "9" * 20])
def test_no_page_size(text: str) -> None:
    with pytest.raises(InvalidRequest, match="a whole number from 1 to 1000"):
        limit_of(text, default=100, most=1000)
