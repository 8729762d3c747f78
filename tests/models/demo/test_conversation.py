"""Data files are read once, and two spellings of a question compare equal."""

from __future__ import annotations

import pytest

from models.demo.conversation import Conversation, load, normalise


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What is  Intramural?", "what is intramural"),
        ("Hello, WORLD!!", "hello world"),
        ("12 + 3 = ?", "12 + 3"),
        ("你好,世界", "你好 世界"),
    ],
)
def test_spellings_of_one_question_are_equal(one: str, other: str) -> None:
    assert normalise(one) == normalise(other)


@pytest.mark.parametrize(
    ("one", "other"), [("12 + 3", "12 3"), ("12 - 3", "12 3"), ("4 / 2", "4 2"), ("a b", "ab")]
)
def test_operators_and_the_borders_of_words_tell_questions_apart(one: str, other: str) -> None:
    assert normalise(one) != normalise(other)


def test_what_has_no_words_is_empty() -> None:
    assert normalise(" ?!. ") == ""


def test_questions_are_the_users_messages_in_order() -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "two"},
        {"role": "user", "content": "three"},
    ]
    assert Conversation("plain", messages).questions() == ["one", "three"]


def test_a_data_file_is_read_once_and_a_missing_one_is_an_error() -> None:
    assert load("words") is load("words")
    assert load("words")["names"]
    with pytest.raises(FileNotFoundError, match=r"nonesuch\.toml"):
        load("nonesuch")
