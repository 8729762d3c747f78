"""Strict reading of tokens. test_jwt_tokens.py has the matrix of those that are refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.governance.identity.strict_claims import (
    MAX_DEPTH,
    TokenRefusedError,
    decoded,
    header_of,
    payload_of,
    strict_object,
    words_of,
)
from tests.serve.governance.token_makers import CLAIMS, b64, token


def test_what_is_good_is_read() -> None:
    text = token()
    assert header_of(text) == ("RS256", "rsa")
    assert payload_of(text) == CLAIMS


@given(st.binary(min_size=2, max_size=40))
def test_a_part_has_one_spelling(raw: bytes) -> None:
    text = b64(raw)
    assert decoded(text) == raw
    others = {text + "=", text + "A"[: len(raw) % 3 == 0], text.replace("-", "+").replace("_", "/")}
    for other in others - {text}:
        with pytest.raises(TokenRefusedError):
            decoded(other)


@given(st.text("aAzZ09._-=+/ \x00\né", max_size=60))
def test_any_text_is_a_token_or_refused(text: str) -> None:
    with pytest.raises(TokenRefusedError):
        header_of(text)


def test_objects_are_bounded_in_depth() -> None:
    inner = MAX_DEPTH - 1
    assert strict_object(b'{"a":' + b"[" * inner + b"]" * inner + b"}")
    with pytest.raises(TokenRefusedError):
        strict_object(b'{"a":' + b"[" * (inner + 1) + b"]" * (inner + 1) + b"}")


def test_words_are_a_text_or_a_list() -> None:
    assert words_of("a  b") == words_of(["a", "b"]) == ("a", "b")
    for other in (None, 5, [5], {"a": 1}):
        with pytest.raises(TokenRefusedError):
            words_of(other)
