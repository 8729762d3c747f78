"""One script a verb, each with what all share, and no number of more than 14 digits in print."""

from __future__ import annotations

import re

from serve.storage.counting import account_rules as rules
from serve.storage.counting import valkey_scripts


def test_there_is_a_script_for_every_verb() -> None:
    scripts = valkey_scripts.load()
    assert set(scripts) == set(valkey_scripts.VERBS)
    assert len({script.sha for script in scripts.values()}) == len(scripts)


def test_bounds_are_those_of_python() -> None:
    text = valkey_scripts.load()["settle"].text
    bounds = dict(re.findall(r"^local (MAX_\w+) = (\d+)$", text, re.MULTILINE))
    assert bounds == {"MAX_LEVEL": str(rules.MAX_LEVEL), "MAX_MS": str(rules.MAX_MS)}


def test_every_script_says_what_it_is_given() -> None:
    for verb, script in valkey_scripts.load().items():
        own = script.text.split("-- What is told of an account")[1]
        assert "--   KEYS: clock" in own, verb
        assert "--   ARGV: " in own, verb
