from __future__ import annotations

import pytest

from models.rules import names


@pytest.mark.parametrize(
    "name", ["config.json", "sub/a b.txt", "é.txt", "模型.json", "..a", "a..b"]
)
def test_plain_names(name):
    assert names.fault(name) is None


@pytest.mark.parametrize(
    "name",
    [
        *("", "/a", "../a", "a/../b", "./a", "a//b", "a/", "a\\b", "C:x", "~/x", "a\0", "a\nb"),
        *("e\u0301", "a\u202eb", "a\u200bb", "\ud800", "x" * 256),
    ],
)
def test_names_that_could_stand_for_others(name):
    assert names.fault(name)


@pytest.mark.parametrize(
    ("one", "other"), [("a.json", "A.json"), ("ﬁle", "file"), ("straße", "STRASSE"), ("K", "k")]
)
def test_names_that_clash(one, other):
    assert names.clash(["x", one, other]) == (one, other)
    assert names.clash([one, "x", one]) is None


def test_names_are_said_without_what_a_terminal_obeys():
    assert names.printable("a b\x1b[2J\u202e\udcffé\n") == "a b\\x1b[2J\\u202e\\udcffé\\n"
