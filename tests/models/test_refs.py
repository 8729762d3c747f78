from __future__ import annotations

import pytest

from models.errors import InvalidRefError
from models.refs import ModelRef, QuantScheme


def test_parse_and_format_are_inverse():
    for text in ("Qwen/Qwen2-0.5B-Instruct@main", "a/b@v1.0", "a/b@" + "0" * 40):
        assert str(ModelRef.parse(text)) == text


def test_revision_defaults_to_main_and_is_not_pinned():
    ref = ModelRef.parse("owner/name")
    assert ref == ModelRef(repo="owner/name", revision="main")
    assert not ref.is_pinned
    assert ModelRef.parse("owner/name@" + "a1" * 20).is_pinned


@pytest.mark.parametrize(
    "text",
    [
        *("", "name", "a/b/c", "/b", "a/", "../b", "a/..", "a/b@", "a/b@../x", "a/b@x@y"),
        *("a b/c", "a/b\n", "a/b@x\0", "-a/b", "a/b.", "a--b/c", "https://x/y", "é/b"),
    ],
)
def test_what_is_no_reference_is_refused(text):
    with pytest.raises(InvalidRefError):
        ModelRef.parse(text)


def test_schemes_are_their_flags():
    assert [str(scheme) for scheme in QuantScheme] == [
        "none",
        "int8",
        "int8-weight-only",
        "int8-w8a8",
        "int4",
        "fp8",
        "nf4",
        "bnb-int8",
    ]
