"""Strict JSON: what two parsers could read differently is refused (threats T9)."""

from __future__ import annotations

import contextlib
import json
import math
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve.api.http import strict_json
from serve.api.http.strict_json import MAX_DEPTH, MAX_INT, MAX_NAMES, parse_object
from serve.errors import InvalidJson

REFUSED = {
    "nothing": b"",
    "blanks": b" \n ",
    "a NaN": b'{"a":NaN}',
    "an infinity": b'{"a":Infinity}',
    "minus infinity": b'{"a":-Infinity}',
    "an overflow": b'{"a":1e999}',
    "a negative overflow": b'{"a":-1E+999}',
    "an overflow without exponent": b'{"a":1' + b"0" * 400 + b".0}",
    "an overflow behind a string": b'{"b":"\\"","a":[1e400]}',
    "2**63": b'{"a":9223372036854775808}',
    "-2**63": b'{"a":-9223372036854775808}',
    "a very long integer": b'{"a":' + b"9" * 100_000 + b"}",
    "a lone surrogate": b'{"a":"\\ud800"}',
    "a lone low surrogate": b'{"a":"\\uDC00x"}',
    "swapped surrogates": b'{"a":"\\udc00\\ud800"}',
    "a lone surrogate in a name": b'{"\\ud800":1}',
    "a lone surrogate deep down": b'{"a":[{"b":["\\udfff"]}]}',
    "a name twice": b'{"a":1,"a":1}',
    "a name twice by escapes": b'{"a":1,"\\u0061":1}',
    "a name twice deep down": b'{"m":[{"a":1,"b":{"c":1,"c":2}}]}',
    "UTF-16": '{"a":1}'.encode("utf-16"),
    "UTF-16 without a mark": '{"a":1}'.encode("utf-16-le"),
    "UTF-32": '{"a":1}'.encode("utf-32"),
    "a byte order mark": b'\xef\xbb\xbf{"a":1}',
    "latin-1": '{"a":"é"}'.encode("latin-1"),
    "an overlong encoding": b'{"a":"\xc0\xaf"}',
    "an encoded surrogate": b'{"a":"\xed\xa0\x80"}',
    "an array": b"[]",
    "a string": b'"a"',
    "a number": b"1",
    "a null": b"null",
    "two values": b"{}{}",
    "a trailing comma": b'{"a":1,}',
    "a comment": b'{"a":1}//x',
    "single quotes": b"{'a':1}",
    "a control character": b'{"a":"\x00"}',
    "a leading zero": b'{"a":01}',
    "a plus sign": b'{"a":+1}',
    "a bare point": b'{"a":.5}',
    "a hexadecimal": b'{"a":0x10}',
    "digits of another script": '{"a":١}'.encode(),
    "an open string": b'{"a":"',
    "an open escape": b'{"a":"\\',
    "an open object": b'{"a":1',
    "too deep arrays": b'{"a":' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}",
    "too deep objects": b'{"a":' * (MAX_DEPTH + 1) + b"1" + b"}" * (MAX_DEPTH + 1),
    "absurdly deep": b'{"a":' + b"[" * 500_000,
    "too many arrays": b'{"a":[' + b"[]," * 50_000 + b"1]}",
    "too many names": json.dumps({str(i): 0 for i in range(MAX_NAMES + 1)}).encode(),
}


@pytest.mark.parametrize("what", REFUSED)
def test_it_refuses(what: str) -> None:
    with pytest.raises(InvalidJson) as refusal:
        parse_object(REFUSED[what])
    assert len(refusal.value.message) < 200


ACCEPTED: dict[bytes, Any] = {
    b" {} \n": {},
    b'{"a":9223372036854775807}': {"a": MAX_INT},
    b'{"a":-9223372036854775807}': {"a": -MAX_INT},
    b'{"a":1e308,"b":0e999999}': {"a": 1e308, "b": 0.0},
    b'{"a":0.12345678901234567890123}': {"a": 0.12345678901234568},
    b'{"a":"\\ud83d\\ude42"}': {"a": "🙂"},
    '{"a":"你好"}'.encode(): {"a": "你好"},
    b'{"a":"[[[[{{{{ NaN 1e999 \\" ]"}': {"a": '[[[[{{{{ NaN 1e999 " ]'},
    b'{"a":"' + b"[" * 1000 + b'"}': {"a": "[" * 1000},
    b'{"a":[' + b"[]," * 99 + b"[]]}": {"a": [[]] * 100},
}


@pytest.mark.parametrize("body", ACCEPTED, ids=lambda body: body[:30])
def test_it_accepts(body: bytes) -> None:
    assert parse_object(body) == ACCEPTED[body]


def test_the_deepest_that_is_allowed() -> None:
    inner = MAX_DEPTH - 1
    assert parse_object(b'{"a":' + b"[" * inner + b"]" * inner + b"}")


def test_adversarial_strings_cost_linear_time() -> None:
    # Quadratic scans of these took minutes; there is no clock here, only the suite's patience.
    for body in (
        b'{"a":"' + b'\\"' * 500_000,
        b'{"a":' + b'"' * 1_000_001,
        b'{"' + b"\\" * 1_000_000,
    ):
        with pytest.raises(InvalidJson):
            parse_object(body)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-MAX_INT, MAX_INT) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def _is_finite(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(map(_is_finite, value.values()))
    return not isinstance(value, list) or all(map(_is_finite, value))


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.text(), VALUES, max_size=4))
def test_it_agrees_with_the_standard_parser_on_what_it_accepts(value: dict[str, Any]) -> None:
    body = json.dumps(value).encode()
    if _is_finite(value):
        assert parse_object(body) == json.loads(body)
    else:
        with pytest.raises(InvalidJson):
            parse_object(body)


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_an_object_or_a_refusal(body: bytes) -> None:
    with contextlib.suppress(InvalidJson):
        assert isinstance(parse_object(body), dict)


def body_of(numbers: bytes) -> bytes:
    return b'{"a":[' + numbers + b"]}"


@pytest.mark.parametrize(
    "number",
    [
        *(
            "9223372036854775807",
            "-9223372036854775807",
            "1e308",
            "-1.7e+308",
            "1e-999",
            "1E-00999",
        ),
        *("1234567890123456789012345.5", "0." + "0" * 400 + "1e400", "1" + "0" * 400 + "e-300"),
        *("1e00000000000000000000002", "0.1234567890123456789", "0e999"),
    ],
)
def test_a_large_number_among_small_ones_is_looked_at_alone(
    monkeypatch: pytest.MonkeyPatch, number: str
) -> None:
    seen: list[bytes] = []
    integer, reals = strict_json._check_integer, strict_json._check_reals
    monkeypatch.setattr(
        strict_json, "_check_integer", lambda digits: (seen.append(digits), integer(digits))
    )
    monkeypatch.setattr(
        strict_json, "_check_reals", lambda numbers: (seen.extend(numbers), reals(numbers))
    )
    for raw in (b"1," * 5000 + number.encode(), number.encode() + b",-2.5" * 5000):
        seen.clear()
        parsed = parse_object(body_of(raw))
        assert len(parsed["a"]) == 5001
        assert set(seen) <= {number.encode()}
        assert len(seen) <= 2


@pytest.mark.parametrize(
    "number",
    [
        *("9223372036854775808", "-9223372036854775808", "9" * 5000, "-" + "9" * 5000, "1e999"),
        *("-1E+400", "1e0000000000000000000000400", "1" + "0" * 400 + ".0", "123.5e+307", "1" * 21),
    ],
)
def test_a_number_out_of_range_is_found_anywhere(number: str) -> None:
    for raw in (number, "1,2," + number, number + ',{"b":1}', f'"x",{number},1e5,"1e999"'):
        with pytest.raises(InvalidJson, match=r"64 bits|too large"):
            parse_object(body_of(raw.encode()))


@pytest.mark.parametrize(
    "raw",
    [
        *("1e999" * 3, "1-" + "9" * 5000, "9" * 5000 + "-", "1e999-1e999", "+" * 40, "--1e999"),
        *("1.1.1e999", "e999 " * 100, "1e999x", "01234567890123456789", "1_" + "0" * 30),
        *("true1e001", "1e001e001", "." * 30, "1234567890123456789.", "0x" + "1" * 30),
        *("1" + '"x"' * 3 + "9" * 5000, "9" * 5000 + '"', '"' + "9" * 5000),
    ],
)
def test_what_is_no_number_is_no_json(raw: str) -> None:
    for numbers in (raw, "1,2," + raw, raw + ",3"):
        with pytest.raises(InvalidJson):
            parse_object(body_of(numbers.encode()))


def test_digits_in_strings_are_no_numbers() -> None:
    text = "9" * 5000 + " 1e999"
    assert parse_object(orjson.dumps({"a": text, text: [1, text]})) == {"a": text, text: [1, text]}
