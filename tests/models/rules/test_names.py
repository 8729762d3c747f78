from __future__ import annotations

import json

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


def test_a_text_in_quotes_is_json_on_one_line_of_what_can_be_seen():
    text = 'a"\\\0\n\x1b\x9b\u202e\u2028\U000e0001é模'
    shown = names.quoted(text)
    assert json.loads(shown) == text
    assert shown == '"a\\"\\\\\\u0000\\n\\u001b\\u009b\\u202e\\u2028\\udb40\\udc01é模"'
    assert shown.isprintable()


@pytest.mark.parametrize("text", ["a b", "é模", "a\u200db", "\udcff"])
def test_texts_of_one_line(text):
    assert names.is_one_line(text)


@pytest.mark.parametrize("text", ["a\n", "\0", "\x1b", "\x7f", "\x85", "\u2028", "\u2029"])
def test_texts_that_a_line_cannot_show(text):
    assert not names.is_one_line(text)
