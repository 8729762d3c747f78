"""The masking file: what it says, and what it must not say."""

from __future__ import annotations

from pathlib import Path

import pytest

from serve.errors import StartupError
from serve.governance.masking.detectors.catalogue import DETECTORS, GROUPS
from serve.governance.masking.masking_file import parse_rules, read_rules
from serve.governance.masking.rules import RuleSet

FILE = """
version = "7"
[default]
mask = ["personal"]
pseudonymise = ["email", "employee"]
block = ["secrets"]
count = ["ip"]
[tenants.research]
off = ["secrets", "email"]
mask = ["employee"]
where = "prompts"
[patterns.employee]
pattern = 'EMP[0-9]{6}'
max_chars = 9
"""


def actions(own: RuleSet) -> dict[str, str]:
    return {rule.name: rule.action for rule in own.rules}


def test_what_a_table_names_goes_over_its_groups_and_over_the_default() -> None:
    rules = parse_rules(FILE)
    default = actions(rules.of("any"))
    assert set(default) == set(DETECTORS) - {"ip_private"} | {"employee"}
    assert (default["email"], default["id_card"]) == ("pseudonymise", "mask")
    assert {default[name] for name in GROUPS["secrets"]} == {"block"}
    research = actions(rules.of("research"))
    assert set(default) - set(research) == {*GROUPS["secrets"], "email"}
    assert research["employee"] == "mask"
    assert (rules.of("research").prompts, rules.of("research").answers) == (True, False)
    assert (rules.version, rules.default.rules[0].name) == ("7", "employee")
    assert parse_rules("[default]").version == parse_rules("[default]").version != "7"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[default", "no TOML"),
        ("", "masks nothing"),
        ("version = " + "9" * 5000, "digits"),
        ("[defaults]", "'defaults' is no field.*default"),
        ('[default]\nmask = ["emial"]', r"\[default\]: mask names 'emial'.*email"),
        ('[default]\nmask = "email"', "a list of strings"),
        ('[default]\nmask = ["email"]\nblock = ["email"]', "named twice"),
        ('[default]\nwhere = "logs"', 'where is .logs.: "both"'),
        ("tenants = 3", r"\[tenants\]: is not a table of tables"),
        ('[default]\n[tenants.a]\nmaks = ["ip"]', r'\[tenants."a"\]: .maks. is no field'),
        ('[default]\n[patterns.own]\npattern = "a"\nmax_chars = 3', "no table names it"),
        ('[default]\n[patterns.email]\npattern = "a"', "a detector already"),
        ('[default]\n[patterns.Own]\npattern = "a"', "small letters"),
        ("[default]\n[patterns.own]\nmax_chars = 3", "a pattern is needed"),
        ('[default]\n[patterns.own]\npattern = "a"', "max_chars is needed"),
        ('[default]\n[patterns.own]\npattern = "a("\nmax_chars = 3', "RE2 does not take it"),
        ('[default]\n[patterns.own]\npattern = "a"\nmax_chars = 9999', "at most 1024"),
        ('[default]\n[patterns.own]\npattern = "a"\nmax_chars = 3\nlabel = "é"', "label is"),
    ],
)
def test_a_line_that_cannot_be_meant(text: str, why: str) -> None:
    with pytest.raises(StartupError, match=why):
        parse_rules(text)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match=r"Masking file .*is not there"):
        read_rules(tmp_path / "none.toml")
    path = tmp_path / "bad.toml"
    path.write_text("[x]")
    with pytest.raises(StartupError, match=r"Masking file .*bad.toml: the top of the file"):
        read_rules(path)
