"""Pseudonyms: by first sight, equal for equal conversations, never somebody else's word."""

from __future__ import annotations

from serve.governance.masking.pseudonyms import SHAPE, Pseudonyms


def test_numbers_follow_first_sight() -> None:
    own = Pseudonyms()
    assert own.of("EMAIL", "a", "A") == "<EMAIL_1>"
    assert own.of("EMAIL", "b", "B") == "<EMAIL_2>"
    assert own.of("PHONE", "a", "1") == "<PHONE_1>"
    assert own.of("EMAIL", "a", "another spelling") == "<EMAIL_1>"
    assert own.values == {"<EMAIL_1>": "A", "<EMAIL_2>": "B", "<PHONE_1>": "1"}


def test_a_word_that_somebody_wrote_is_not_given_out() -> None:
    own = Pseudonyms(["<EMAIL_1>"])
    own.reserve("<EMAIL_2>")
    assert own.of("EMAIL", "a", "A") == "<EMAIL_3>"
    own.reserve("<EMAIL_3>")  # ours: it stays
    assert own.of("EMAIL", "a", "A") == "<EMAIL_3>"


def test_a_copy_goes_on_by_itself() -> None:
    first = Pseudonyms()
    first.of("EMAIL", "a", "A")
    second = first.copy()
    assert second.of("EMAIL", "b", "B") == first.of("EMAIL", "c", "C") == "<EMAIL_2>"
    assert (second.values["<EMAIL_2>"], first.values["<EMAIL_2>"]) == ("B", "C")
    assert all(SHAPE.fullmatch(word) for word in second.values)
