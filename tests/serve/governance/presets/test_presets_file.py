"""The presets file, and what is wrong with one, in one line."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from serve.errors import StartupError
from serve.governance.presets.preset_rules import Chosen, Preset
from serve.governance.presets.presets_file import parse_presets, read_presets

WHOLE = """
version = "3"
[presets.support]
temperature = 0.2
top_k = 40
max_tokens = 300
at_most = ["max_tokens"]
answers = "letter"
[presets.qa]
temperature = 0
[answers.letter]
strip = ["whitespace", "code_fence", "reasoning"]
max_chars = 400
cut_at = "word"
must_match = "[A-E]"
on_mismatch = "pass"
[tenants.clinic]
preset = "support"
[keys."AbC123"]
answers = "letter"
"""


def test_a_file_with_everything(tmp_path: Path) -> None:
    path = tmp_path / "presets.toml"
    path.write_text(WHOLE, "utf-8")
    found = read_presets(path)
    assert found.presets["support"] == Preset(
        name="support",
        values={"temperature": 0.2, "top_k": 40, "max_tokens": 300},
        bounds=frozenset({"max_tokens"}),
        answers="letter",
    )
    assert found.presets["qa"].values == {"temperature": 0}
    assert set(found.presets) == {"technical", "creative", "qa", "support"}
    letter = found.answers["letter"]
    assert letter.must_match is not None
    assert (letter.verdict, letter.max_chars, letter.cut_at) == ("answer:letter@3", 400, "word")
    assert (letter.must_match.pattern, letter.passes) == ("[A-E]", True)
    assert found.tenants == {"clinic": Chosen(preset="support")}
    assert found.keys == {"AbC123": Chosen(answers="letter")}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("preset = 1", "Did you mean presets?"),
        ("[presets.a]\n", "it says nothing"),
        ("[presets.a]\ntemperature = 3", "temperature is 3: at least 0 and at most 2"),
        ("[presets.a]\nmax_tokens = 0", "max_tokens is 0"),
        ("[presets.a]\ntemprature = 1", "Did you mean temperature?"),
        ('[presets.a]\ntop_p = 1\nat_most = ["max_tokens"]', "of which it gives no value"),
        ('[presets.a]\nanswers = "b"', "There are: none"),
        ('[presets."a b"]\ntop_p = 1', "its name is not of letters"),
        ("[answers.a]\n", "it says nothing"),
        ('[answers.a]\nstrip = ["white"]', "Did you mean whitespace?"),
        ('[answers.a]\ncut_at = "word"\nstrip = ["reasoning"]', "goes with max_chars"),
        ('[answers.a]\nmust_match = "("', "RE2 does not take"),
        ('[answers.a]\nmax_chars = 1\non_mismatch = "pass"', "goes with must_match"),
        ('[tenants.a]\npreset = "creativ"', "Did you mean creative?"),
        ("[tenants.a]\n", "it says nothing"),
        ('[keys.a]\npreset = "qa"', "Fields: answers"),
        ('version = "a b"', "version is"),
    ],
)
def test_what_cannot_be_meant_says_why(text: str, why: str) -> None:
    with pytest.raises(StartupError) as refused:
        parse_presets(tomllib.loads(text))
    assert why in str(refused.value)


def test_a_file_that_is_no_toml(tmp_path: Path) -> None:
    path = tmp_path / "presets.toml"
    path.write_text("[", "utf-8")
    with pytest.raises(StartupError, match="it is no TOML"):
        read_presets(path)
