from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.rules import strict_json
from models.rules.strict_json import MAX_DEPTH, JsonFault

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(document=JSON)
def test_plain_documents_are_read(document):
    assert strict_json.parse(json.dumps(document).encode()) == document


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"\xff", "not UTF-8"),
        (b"\xff\xfe{\x00}\x00", "not UTF-8"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b"{", "not JSON"),
        (b"", "not JSON"),
        (b'{"a": 1, "b": {"c": 1, "c": 1}}', "'c' twice"),
        (b'{"a": 1, "\\u0061": 2}', "'a' twice"),
        (b"[" * (MAX_DEPTH + 2) + b"]" * (MAX_DEPTH + 2), "levels deep"),
        (b"[" * 100_000, "levels deep"),
        (b"9" * 5000, "not JSON"),
    ],
)
def test_what_readers_differ_in_is_refused(raw, says):
    with pytest.raises(JsonFault, match=says):
        strict_json.parse(raw)


def test_every_pair_is_seen_before_a_fault():
    seen = []
    with pytest.raises(JsonFault, match="twice"):
        strict_json.parse(b'{"a": {"x": 1}, "a": 2}', on_pair=lambda *pair: seen.append(pair))
    assert seen == [("x", 1), ("a", {"x": 1}), ("a", 2)]


def test_size(tmp_path):
    (tmp_path / "x").write_bytes(b"[1, 2]")
    assert strict_json.read(tmp_path / "x", max_bytes=6) == [1, 2]
    with pytest.raises(JsonFault, match="has 6 bytes; at most 5"):
        strict_json.read(tmp_path / "x", max_bytes=5)
