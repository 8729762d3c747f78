"""Prices: whole numbers, rounded up once for a request, and never more than was reserved."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.governance.limits.prices import MAX_PRICE_MICROS, Price, micros_of, money

PRICE = st.builds(
    lambda full, share, output: Price(input=full, cached_input=full * share // 100, output=output),
    st.integers(0, MAX_PRICE_MICROS),
    st.integers(0, 100),
    st.integers(0, MAX_PRICE_MICROS),
)
TOKENS = st.integers(0, 4_194_304)


@given(PRICE, TOKENS, TOKENS, TOKENS)
def test_a_request_costs_no_more_than_it_reserved(
    price: Price, prompt: int, completion: int, cached: int
) -> None:
    cached = min(cached, prompt)
    cost = price.cost(prompt=prompt, cached=cached, completion=completion)
    exact = Fraction(
        (prompt - cached) * price.input + cached * price.cached_input + completion * price.output,
        1_000_000,
    )
    assert exact <= cost < exact + 1
    assert cost <= price.most(prompt=prompt, completion=completion)


@given(st.integers(0, 10**12))
def test_money_is_read_as_it_is_written(micros: int) -> None:
    assert micros_of(money(micros)) == micros


@pytest.mark.parametrize(
    ("text", "micros"), [("0", 0), ("12.5", 12_500_000), ("0.000001", 1), ("1000000", 10**12)]
)
def test_money_is_exact(text: str, micros: int) -> None:
    assert micros_of(text) == micros


@pytest.mark.parametrize("text", ["", ".", "1.2.3", "+1", " 1", "1_000", "٣", "Infinity", 1, None])
def test_what_is_no_money_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="is "):
        micros_of(text)


def test_money_is_shown_with_its_currency() -> None:
    assert [money(0, "EUR"), money(1, "EUR"), money(12_500_000, "EUR")] == [
        "0.00 EUR",
        "0.000001 EUR",
        "12.50 EUR",
    ]
