"""Prices of tokens, in whole numbers only: amounts that are added for years may not drift.

Money is counted in millionths of the currency's unit. A price is for a million tokens, so in these
millionths it is a whole number where it has at most six decimal places::

    cost = ceil((fresh * input + cached * cached_input + completion * output) / 1,000,000)
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

MICROS = 1_000_000
"""Millionths in a unit of money, and tokens that a price is for."""
MAX_MICROS = 10**12
"""Largest budget: a million units of money."""
MAX_PRICE_MICROS = 10**10
"""Largest price: ten thousand units for a million tokens. No request's cost is above the largest
budget then."""
NUM_DECIMALS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """Millionths of the currency's unit for a million tokens.

    Attributes:
        input: of prompts.
        cached_input: of prompt tokens that a prefix cache had; at most ``input``.
        output: of what is generated, reasoning included.
    """

    input: int
    cached_input: int
    output: int

    def cost(self, *, prompt: int, cached: int, completion: int) -> int:
        """Millionths that so many tokens cost, rounded up once for the whole request.

        Args:
            cached: of the ``prompt`` tokens.
        """
        exact = (
            (prompt - cached) * self.input + cached * self.cached_input + completion * self.output
        )
        return -(-exact // MICROS)

    def most(self, *, prompt: int, completion: int) -> int:
        """Millionths that a request costs at most: nothing of its prompt may be cached."""
        return self.cost(prompt=prompt, cached=0, completion=completion)


def micros_of(text: object, most: int = MAX_MICROS) -> int:
    """An amount of money, as people write it: ``"12.50"`` is 12,500,000 millionths.

    Raises:
        ValueError: it is no string of digits with at most six decimals, or is too large. The
            message goes on from the name of what holds it.
    """
    if not isinstance(text, str):
        raise ValueError(  # noqa: TRY004
            f'is {text!r}: write money as a string of digits, such as "12.50", '
            "for binary fractions cannot hold it"
        )
    try:
        amount = Decimal(text)
    except InvalidOperation:
        raise ValueError(f'is {text!r}: write digits, such as "12.50"') from None
    if not amount.is_finite() or not text.replace(".", "", 1).isdecimal() or not text.isascii():
        raise ValueError(f'is {text!r}: write digits, such as "12.50"')
    micros = amount * MICROS
    if micros > most:
        raise ValueError(f"is {text}: at most {most // MICROS:,}")
    if micros != micros.to_integral_value():
        raise ValueError(f"is {text}: it has more than {NUM_DECIMALS} decimal places")
    return int(micros)


def money(micros: int, currency: str = "") -> str:
    """An amount for people: ``12.50 EUR``; two decimals at least, and no more than it has."""
    whole, rest = divmod(micros, MICROS)
    decimals = f"{rest:06d}".rstrip("0").ljust(2, "0")
    return f"{whole}.{decimals} {currency}".rstrip()
