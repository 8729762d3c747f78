"""A refusal goes to a terminal: names in it are of whoever made the folder."""

from __future__ import annotations

from models.rules.refusals import Refusal


def test_it_says_file_rule_and_reason() -> None:
    assert str(Refusal("a/b.bin", "pickle", "loading it can run code")) == (
        "a/b.bin (pickle): loading it can run code"
    )


def test_no_control_character_of_a_name_reaches_the_terminal() -> None:
    shown = str(Refusal("a\x1b[2Jb\n.json", "name", "its name is odd"))
    assert shown.isprintable()
    assert shown.endswith("(name): its name is odd")
