"""The limits file: TOML, read whole, and refused whole where one line of it cannot be meant::

    time_zone = "Europe/Berlin"        of days and months; UTC where it is not given
    currency = "EUR"                   of all prices

    [prices."demo"]                    for a million tokens; strings, for they are exact
    input = "0.50"
    cached_input = "0.05"              as input where it is not given
    output = "1.50"

    [tenants.research]                 declares a tenant that no key has (yet)
    weight = 2                         of its share of the engine

    [[limits]]
    name = "each user"
    user = "*"                         key, user, tenant, model: a name, or each one for itself
    tokens_per_minute = 20000
    money_per_month = "25.00"
    mode = "enforce"                   or "observe": count and mark, refuse nobody

docs/limits.md explains each field.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from serve.errors import StartupError
from serve.governance.file_tables import read_text
from serve.governance.limits.existence import Known, strangers, unpriced
from serve.governance.limits.fields import Fields
from serve.governance.limits.periods import Calendar
from serve.governance.limits.prices import MAX_PRICE_MICROS, Price
from serve.governance.limits.rules import KEY_LIMIT, MEASURES, Limit, Rules, most_at_once

MAX_FILE_BYTES = 1 << 20
MAX_LIMITS = 1000
MAX_AT_ONCE = 48
"""Amounts that may apply to one request; a store takes 64 claims, and a key has limits of its own.
"""
MAX_WEIGHT = 1000

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}")
_CURRENCY = re.compile(r"[A-Z]{3}")
_SUBJECTS = ("key", "user", "tenant", "model")
_MODES = {"enforce": True, "observe": False}


def read_rules(path: Path, known: Known) -> Rules:
    """Read a limits file.

    Raises:
        StartupError: it cannot be read, or a line of it cannot be meant.
    """
    text = read_text(path, "Limits file", MAX_FILE_BYTES)
    try:
        return parse_rules(text, known)
    except StartupError as error:
        raise StartupError(f"Limits file {path}: {error}") from None


def parse_rules(text: str, known: Known) -> Rules:
    """The rules of a limits file's text.

    Raises:
        StartupError: it is no TOML, or a line of it cannot be meant.
    """
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise StartupError(f"it is no TOML: {error}") from None
    allowed = ("time_zone", "currency", "prices", "tenants", "limits")
    top = Fields("the top of the file", document, allowed)
    prices = _prices(document.get("prices", {}), known)
    weights = _weights(document.get("tenants", {}))
    limits = _limits(document.get("limits", []), known, weights, prices)
    return Rules(
        limits=limits,
        prices=prices,
        aliases=known.aliases,
        currency=_currency(top, has_prices=bool(prices)),
        calendar=_calendar(top),
        weights=weights,
    )


def limit_of_key(stored: Mapping[str, Any]) -> Limit:
    """The limits that are stored with a key, as a limit of that key; 0 lets it do nothing.

    Raises:
        StartupError: a field of it cannot be meant.
    """
    fields = Fields("limits of the key", stored, MEASURES)
    return Limit(name=KEY_LIMIT, key="*", bounds=fields.bounds(least=0))


def _currency(top: Fields, *, has_prices: bool) -> str:
    currency = top.text("currency")
    if currency is None:
        if has_prices:
            top.refuse('there are prices and no currency: add currency = "EUR", or another')
        return ""
    if not _CURRENCY.fullmatch(currency):
        top.refuse(f"currency is {currency!r}: three capital letters are needed (ISO 4217)")
    return currency


def _calendar(top: Fields) -> Calendar:
    try:
        return Calendar(top.text("time_zone") or "UTC")
    except ValueError as error:
        top.refuse(f"time_zone {error}")


def _prices(tables: object, known: Known) -> dict[str, Price]:
    """Prices by the model's own name."""
    prices: dict[str, Price] = {}
    for name, table in _named(tables, "[prices]"):
        fields = Fields(f'[prices."{name}"]', table, ("input", "cached_input", "output"))
        if name not in known.aliases:
            served = ", ".join(known.aliases)
            fields.refuse(f"no model of that name is served here. Served: {served}")
        model = known.aliases[name]
        if model in prices:
            fields.refuse(f"the model {model!r} has a price already, by another of its names")
        prices[model] = _price(fields)
    return prices


def _price(fields: Fields) -> Price:
    full, cached, output = (
        fields.money(name, MAX_PRICE_MICROS) for name in ("input", "cached_input", "output")
    )
    if full is None or output is None:
        fields.refuse("input and output are needed")
    cached = full if cached is None else cached
    if cached > full:
        fields.refuse("cached_input is more than input: a request reserves the price of input")
    return Price(input=full, cached_input=cached, output=output)


def _weights(tables: object) -> dict[str, int]:
    weights = {}
    for name, table in _named(tables, "[tenants]"):
        fields = Fields(f'[tenants."{name}"]', table, ("weight",))
        weights[name] = fields.count("weight", MAX_WEIGHT) or 1
    return weights


def _named(tables: object, place: str) -> list[tuple[str, object]]:
    if not isinstance(tables, Mapping):
        raise StartupError(f"{place}: is not a table of tables.")
    return list(tables.items())


def _limits(
    tables: object, known: Known, weights: Mapping[str, int], prices: Mapping[str, Price]
) -> tuple[Limit, ...]:
    if not isinstance(tables, list):
        raise StartupError("[[limits]]: is not a list of tables: write [[limits]] before each.")
    if len(tables) > MAX_LIMITS:
        raise StartupError(f"[[limits]]: there are {len(tables)}: at most {MAX_LIMITS}.")
    limits: list[Limit] = []
    for number, table in enumerate(tables, start=1):
        limit, fields = _limit(number, table, known)
        if limit.name in {other.name for other in limits}:
            fields.refuse("another limit has the same name: errors and metrics tell them by it")
        for why in (*strangers(limit, known, weights), *unpriced(limit, known, prices)):
            fields.refuse(why)
        limits.append(limit)
    num_claims = most_at_once(limits)
    if num_claims > MAX_AT_ONCE:
        raise StartupError(
            f"[[limits]]: up to {num_claims} amounts could apply to one request: at most "
            f"{MAX_AT_ONCE}."
        )
    return tuple(limits)


def _limit(number: int, table: object, known: Known) -> tuple[Limit, Fields]:
    place = f"[[limits]] no. {number}"
    if isinstance(table, Mapping) and isinstance(table.get("name"), str):
        place += f", {table['name'][:64]!r}"
    fields = Fields(place, table, ("name", *_SUBJECTS, "mode", *MEASURES))
    name = fields.text("name")
    if name is None or not _NAME.fullmatch(name):
        fields.refuse(
            "a name is needed: up to 64 letters, digits, spaces, dots, dashes and underscores"
        )
    if name == KEY_LIMIT:
        fields.refuse(f"the name {KEY_LIMIT!r} is that of the limits stored with keys")
    bounds = fields.bounds()
    if not bounds:
        fields.refuse(f"it limits nothing. Give at least one of {', '.join(MEASURES)}")
    key, user, tenant, model = (fields.text(kind) for kind in _SUBJECTS)
    limit = Limit(
        name=name,
        key=key,
        user=user,
        tenant=tenant,
        model=known.aliases.get(model, model) if model is not None else None,
        bounds=bounds,
        is_enforced=_is_enforced(fields),
    )
    return limit, fields


def _is_enforced(fields: Fields) -> bool:
    mode = fields.text("mode") or "enforce"
    if mode not in _MODES:
        fields.refuse(f'mode is {mode!r}: "enforce" or "observe"')
    return _MODES[mode]
