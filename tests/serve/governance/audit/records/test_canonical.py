"""Entries: the same bytes for the same values, and never more than an entry holds."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.governance.audit.records.canonical import (
    MAX_ITEMS,
    MAX_TEXT_CHARS,
    EntryTooLargeError,
    decoded,
    encoded,
    short,
    shortened,
)

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
PLAIN = TEXTS | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1)
NAMES = st.text("abc_", min_size=1, max_size=3)
VALUES = PLAIN | st.lists(PLAIN, max_size=2) | st.dictionaries(NAMES, PLAIN, max_size=2)


@given(st.dictionaries(NAMES, VALUES, max_size=3))
def test_an_entry_is_the_canonical_json_of_its_record(record: dict[str, object]) -> None:
    entry = encoded(record)
    # RFC 8785 for ASCII names and whole numbers: sorted, no white space, the shortest escapes.
    plain = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert entry == plain.encode()
    assert encoded(dict(reversed(record.items()))) == entry
    assert decoded(entry) == record


def test_what_is_too_long_is_no_entry() -> None:
    assert len(encoded({"a": "x" * (65_535 - 8)})) == 65_535
    with pytest.raises(EntryTooLargeError, match="65536 bytes: at most 65535"):
        encoded({"a": "x" * (65_536 - 8)})


def test_texts_are_cut_to_fit() -> None:
    assert short("x" * 1000) == "x" * MAX_TEXT_CHARS
    assert short("a\ud800b").isprintable()
    encoded({"a": short("\ud800")})
    assert shortened(["x"] * MAX_ITEMS) == ["x"] * MAX_ITEMS
    many = shortened(["x"] * 1000)
    assert len(many) == MAX_ITEMS
    assert many[-1] == "and 937 more"


@pytest.mark.parametrize("entry", [b"", b"{", b"[1]", b'"a"', b"\xff"])
def test_what_is_no_record_is_an_empty_one(entry: bytes) -> None:
    assert decoded(entry) == {}
