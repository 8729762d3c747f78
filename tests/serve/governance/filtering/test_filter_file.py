"""The content filter's file, and what is wrong with one, in one line."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from serve.errors import StartupError
from serve.governance.filtering.filter_file import parse_filter, read_filter
from serve.governance.filtering.rules import CATEGORIES, Rule

RULE = '[[rules]]\nname = "r"\ncategory = "hate"\nwords = ["x"]\n'


def test_a_file_with_everything(tmp_path: Path) -> None:
    path = tmp_path / "filter.toml"
    path.write_text(
        'version = "7"\n'
        '[[rules]]\nname = "weapons"\nversion = "8"\ncategory = "illicit/violent"\n'
        'words = ["pipe bomb"]\npatterns = ["detonat(e|or)s?"]\naction = "count"\n'
        'on = ["output"]\nwhole_words = false\ntenant = "clinic"\n'
        '[[rules]]\nname = "house"\ncategory = "house/rules"\nwords = ["坏人"]\n'
        "[tenants.lab]\ndefault_rules = false\n",
        "utf-8",
    )
    found = read_filter(path)
    assert found.version == "7"
    assert found.rules == (
        Rule(
            name="weapons",
            version="8",
            category="illicit/violent",
            action="count",
            words=("pipe bomb",),
            patterns=("detonat(e|or)s?",),
            is_whole=False,
            on=frozenset({"output"}),
            tenant="clinic",
        ),
        Rule(name="house", version="7", category="house/rules", words=("坏人",), is_whole=True),
    )
    assert found.categories == (*CATEGORIES, "house/rules")
    assert found.without_default == {"lab"}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (RULE, "a version is needed"),
        ('version = "1"\n', "there are none"),
        ('version = "1"\nrulez = 1\n' + RULE, "Did you mean rules?"),
        ('version = "1"\n' + RULE + RULE, "no. 2, 'r': another rule has the same name"),
        ('version = "1"\n' + RULE.replace("hate", "Hate"), "category is 'Hate'"),
        ('version = "1"\n' + RULE.replace("hate", "harasment"), "did you mean harassment?"),
        ('version = "1"\n' + RULE.replace('words = ["x"]', ""), "it looks for nothing"),
        ('version = "1"\n' + RULE.replace('"x"', '"\u200b"'), "no character that is seen"),
        ('version = "1"\n' + RULE.replace('"x"', "3"), "words, no. 1, is 3"),
        ('version = "1"\n' + RULE + 'patterns = ["a+"]', "the pattern 'a+' cannot be used"),
        ('version = "1"\n' + RULE + 'action = "blok"', "Did you mean block?"),
        ('version = "1"\n' + RULE + 'on = ["in"]', "on has 'in'"),
        ('version = "1"\n' + RULE + "whole_words = 1", "true or false is needed"),
        ('version = "1"\n' + RULE + "[tenants.lab]\n", "it says nothing"),
    ],
)
def test_what_cannot_be_meant_says_why(text: str, why: str) -> None:
    with pytest.raises(StartupError) as refused:
        parse_filter(tomllib.loads(text))
    assert why in str(refused.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="is not there"):
        read_filter(tmp_path / "none.toml")
