"""Strict JSON: what two parsers could read differently is refused (threats T9)."""

from __future__ import annotations

import contextlib
import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve.api.http import strict_json
from serve.api.http.strict_json import (
    MANY_VALUES,
    MAX_DEPTH,
    MAX_DIGITS,
    MAX_NAMES,
    MAX_STRINGS,
    MAX_VALUES,
    parse_object,
)
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
    "an overflow in Java's spelling": b'{"a":1.0E400}',
    "an overflow of 250 digits and a small exponent": b'{"a":' + b"1" * 250 + b"e99}",
    "an overflow of 301 digits and an exponent": b'{"a":' + b"1" * 301 + b"e9}",
    "a very long integer": b'{"a":' + b"9" * 100_000 + b"}",
    "two names that are one without surrogates": b'{"\\ud800":1,"\\udfff":2}',
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
    "too many digits": b'{"a":' + b"9" * (MAX_DIGITS + 1) + b"}",
    "too many digits below 0": b'{"a":-' + b"9" * (MAX_DIGITS + 1) + b"}",
    "too many values": b'{"a":[' + b"1," * MAX_VALUES + b"1]}",
    "too many strings": b'{"a":[' + b'"",' * MAX_STRINGS + b'""]}',
    "too many names": json.dumps({str(i): 0 for i in range(MAX_NAMES + 1)}).encode(),
}


@pytest.mark.parametrize("what", REFUSED)
def test_it_refuses(what: str) -> None:
    with pytest.raises(InvalidJson) as refusal:
        parse_object(REFUSED[what])
    assert len(refusal.value.message) < 200


ACCEPTED: dict[bytes, Any] = {
    b" {} \n": {},
    b'{"a":9223372036854775807}': {"a": 2**63 - 1},
    b'{"a":9223372036854775808,"b":-9223372036854775809}': {"a": 2**63, "b": -(2**63) - 1},
    b'{"maximum":18446744073709551615}': {"maximum": 2**64 - 1},
    b'{"a":' + b"7" * 400 + b"}": {"a": int("7" * 400)},
    b'{"a":-0.0,"b":1E3,"c":0.1e-999}': {"a": -0.0, "b": 1000.0, "c": 0.0},
    b'{"a":"\\ud800"}': {"a": "\ufffd"},
    b'{"a":"\\uDC00x"}': {"a": "\ufffdx"},
    b'{"a":"\\udc00\\ud800"}': {"a": "\ufffd\ufffd"},
    b'{"a":"\\ud83d\\ud83d\\ude42"}': {"a": "\ufffd🙂"},
    b'{"a":"\\ud83d\\n\\ude42"}': {"a": "\ufffd\n\ufffd"},
    b'{"\\ud800":1,"b":2}': {"\ufffd": 1, "b": 2},
    b'{"a":[{"b":["\\udfff"]}]}': {"a": [{"b": ["\ufffd"]}]},
    b'{"a":"\\\\ud800"}': {"a": "\\ud800"},
    b'{"a":"\\\\\\"[[[","b":"\\\\"}': {"a": '\\"[[[', "b": "\\"},
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
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
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


def test_a_number_is_told_as_it_was_written() -> None:
    parsed = parse_object(b'{"a":[1E3,{"b":-0.50}],"c":"1","d":18446744073709551616}')
    assert parsed.written(("a", 0)) == "1E3"
    assert parsed.written(("a", 1, "b")) == "-0.50"
    assert parsed.written(("d",)) == "18446744073709551616"
    for path in (("c",), ("e",), ("a", 9), ("a",), ("c", "x"), ()):
        assert parsed.written(path) is None


def test_a_number_out_of_range_is_shown_as_it_was_written() -> None:
    with pytest.raises(InvalidJson, match=r"the number -1E\+400, which is too large"):
        parse_object(b'{"a":1,"b":-1E+400}')


@pytest.mark.parametrize("num_suspects", [0, 1, 3])
def test_only_suspect_numbers_are_looked_at(
    num_suspects: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One long number among many must not make the many slow."""
    looked_at: list[bytes] = []
    monkeypatch.setattr(strict_json, "_check_number", looked_at.append)
    parse_object(b'{"a":[' + b"1,18446744073709551615," * 1000 + b"-1e200," * num_suspects + b"1]}")
    assert looked_at == [b"-1e200"] * num_suspects


def test_many_numbers_let_others_have_their_turn() -> None:
    """The parser calls a function of ours for each, for between two of these threads change."""
    few, many = ([1, 2.5] * (count // 2) for count in (1000, 2 * MANY_VALUES))
    assert parse_object(json.dumps({"a": few}).encode()) == {"a": few}
    calls = [0, 0]
    real, integer = strict_json._real, strict_json._integer
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            strict_json, "_real", lambda text: calls.__setitem__(0, calls[0] + 1) or real(text)
        )
        patch.setattr(
            strict_json,
            "_integer",
            lambda text: calls.__setitem__(1, calls[1] + 1) or integer(text),
        )
        assert parse_object(json.dumps({"a": many}).encode()) == {"a": many}
    assert calls == [MANY_VALUES, MANY_VALUES]


def test_a_long_text_of_halves_is_mended_in_slices() -> None:
    count = 2 * strict_json.SLICE_CHARS + 1
    value = parse_object(b'{"a":"' + b"x\\udc00" * count + b'"}')
    assert value == {"a": "x\ufffd" * count}
